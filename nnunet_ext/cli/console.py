"""Shared by the verbs: where to print, how errors, progress and numbers look."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

T = TypeVar("T")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Print a line on stdout as it is, unwrapped, so that a path or a command can be copied."""
    out.print(text, markup=False, soft_wrap=True)


def print_error(message: str) -> None:
    """Print a message for the user on stderr, free of markup."""
    err.print("[bold red]Error:[/] ", end="")
    err.print(message, markup=False, soft_wrap=True)


def track(items: Iterable[T], total: int, description: str) -> Iterator[T]:
    """Yield `items` while a progress bar of `total` steps runs on stderr (none when redirected)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        yield from progress.track(items, total=total, description=description)


def number_table(first: str, headings: Iterable[str], min_width: int = 12, **settings: Any) -> Table:
    """Return an empty table: a column of names, then columns of numbers.

    Parameters
    ----------
    first : str
        Heading of the names.
    headings : iterable of str
        Those of the numbers.
    min_width : int
        Characters that the names keep in a narrow terminal.
    **settings
        Of `rich.table.Table`: title, caption, box.
    """
    table = Table(**settings)
    table.add_column(first, min_width=min_width)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def decimal(value: float) -> str:
    """Write a score or a mean for a table: four decimals, two from 10 on, a dash for NaN."""
    if math.isnan(value):
        return "–"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> count(1, "case"), count(2, "case")
    ('1 case', '2 cases')
    """
    return f"{number} {noun}{'s' * (number != 1)}"
