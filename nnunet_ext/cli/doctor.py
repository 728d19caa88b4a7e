"""``nnunet_ext doctor``: is everything in place to train?"""

from __future__ import annotations

import typer
from rich.table import Table
from rich.text import Text

from nnunet_ext.cli.console import err, out, say

_SYMBOLS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "bad": ("fix", "bold red")}


def doctor() -> None:
    """Check versions, nnU-Net's three folders, and whether nnU-Net finds the trainers.

    Exit code 1 if training could not start; the table says how to get what is missing.

    Example: nnunet_ext doctor
    """
    from nnunet_ext.plugin.doctor import examine

    with err.status("loading nnU-Net …"):
        checks = list(examine())
    table = Table("what", "", "found")
    for check in checks:
        table.add_row(check.subject, Text(*_SYMBOLS[check.state]), Text(check.found, overflow="fold"))
    out.print(table)
    # Below the table and unwrapped, so that a command can be copied.
    for check in checks:
        if check.remedy:
            say(f"{check.subject}: {check.remedy}")
    failures = sum(check.state == "bad" for check in checks)
    if failures:
        out.print(f"Training cannot start yet: {failures} to fix.")
        raise typer.Exit(1)
    out.print("Ready to train. 'nnunet_ext trainers' lists what there is.")
