"""Shared by the verbs: where to print, how errors, progress and numbers look.

Nothing that is printed is taken for markup, as names of files and classes may look like it; what has a style
is a `rich.text.Text`. What may be copied, a path or a command, is printed by `say` or `say_command`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nnunet_ext import errors
from nnunet_ext.progress import shown

T = TypeVar("T")

_CONTROL = {code: "?" for code in (*range(32), 127, *range(128, 160)) if chr(code) not in "\n\t"}
_CONTROL |= dict.fromkeys(range(0xD800, 0xE000), "?")  # bytes of a file name that is not UTF-8


class PlainConsole(Console):
    """A console that prints every string as it is, but for control characters: no markup, no emoji."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Return what to print for a string; called by rich."""
        return super().render_str(text.translate(_CONTROL), **settings)


out = PlainConsole()
err = PlainConsole(stderr=True)


def say(text: str) -> None:
    """Print a line on stdout, unwrapped, so that a path in it can be copied."""
    out.print(text, soft_wrap=True)


def say_command(*words: object, label: str = "Next") -> None:
    """Print "Next: " and a command on one line, quoted so that a shell takes it as it is meant.

    Parameters
    ----------
    *words
        Of the command: text, numbers, paths.
    label : str
        What stands before the colon; without one the command is indented instead.
    """
    say(f"{label}: {errors.command(*words)}" if label else f"  {errors.command(*words)}")


def print_error(message: str) -> None:
    """Print a message for the user on stderr."""
    warn(message, "Error:", "bold red")


def warn(message: str, label: str = "Note:", style: str = "bold yellow") -> None:
    """Print a message on stderr, unwrapped, behind a coloured label."""
    err.print(Text.assemble((label, style), f" {message}".translate(_CONTROL)), soft_wrap=True)


def track(items: Iterable[T], total: int, description: str) -> Iterator[T]:
    """Yield `items` and show on stderr how many of `total` are done: a bar, or now and then a line."""
    yield from shown(items, total, description, err)


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
