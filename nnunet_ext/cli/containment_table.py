"""How `nnunet_ext evaluate` prints whether inner classes lie in their outer ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from nnunet_ext.cli.instance_tables import ratio

if TYPE_CHECKING:
    from nnunet_ext.metrics.summary import Summary

ROWS = {
    "ExposedSurface": "exposed surface",
    "ExposedComponents": "exposed components",
    "ExposedVoxels": "voxels in those",
}


def containment_table(summary: Summary) -> Table:
    """Under each nested class its shares, of the predictions and of the references."""
    cases = summary["metric_per_case"]
    table = Table(
        title="Containment",
        caption="↓ lower is better; ref.: the same of the reference itself; –: class absent",
    )
    table.add_column("class\n  share", min_width=26)
    for heading in ("mean of\ncases ↓", "pooled ↓", "n cases", "ref.\nmean", "ref.\npooled"):
        table.add_column(heading, justify="right", no_wrap=True)
    for key, nested in summary["nesting"].items():
        mean, pooled = summary["mean"][key], summary["pooled"][key]
        table.add_section()
        name = f"{summary['class_names'][key]} {key} in {nested['outer_name']}"
        table.add_row(escape(name), style="bold")
        for share, row in ROWS.items():
            present = sum(not math.isnan(case["metrics"][key][share]) for case in cases)
            of_prediction = ratio(mean[share]), ratio(pooled[share]), str(present)
            table.add_row(
                f"  {row}", *of_prediction, ratio(mean[f"{share}_ref"]), ratio(pooled[f"{share}_ref"])
            )
    return table
