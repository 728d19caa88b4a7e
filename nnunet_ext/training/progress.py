"""A bar over the iterations of an epoch, which nnU-Net itself passes in silence."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class IterationProgress:
    """A bar that vanishes when its epoch is done; silent unless stdout is a terminal.

    Parameters
    ----------
    wanted : bool
        False on every DDP process but the first.
    """

    def __init__(self, wanted: bool = True) -> None:
        self._wanted = wanted
        self._bar: Progress | None = None

    def start(self, description: str, total: int) -> None:
        """Show a new bar of `total` iterations in place of any earlier one."""
        self.stop()
        if not self._wanted or not sys.stdout.isatty():
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=Console(file=sys.stdout), transient=True)
        self._bar.add_task(description, total=total, loss="–")
        self._bar.start()

    def advance(self, loss: float) -> None:
        """Count one iteration and show its loss."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], advance=1, loss=f"{float(loss):.4g}")

    def stop(self) -> None:
        """Remove the bar and give the terminal back; safe to call at any time."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
