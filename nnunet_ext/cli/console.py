"""Shared pieces of the verbs: where to print, how errors and progress look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_error(message: str) -> None:
    """Print a message for the user on stderr, free of markup."""
    err.print("[bold red]Error:[/] ", end="")
    err.print(message, markup=False, soft_wrap=True)


def track(items: Iterable[T], total: int, description: str) -> Iterator[T]:
    """Yield `items` while a progress bar of `total` steps runs on stderr (none when redirected)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        yield from progress.track(items, total=total, description=description)
