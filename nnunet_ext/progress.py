"""How far a long piece of work has come: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")

FIRST_LINE = 10.0  # seconds; what is done sooner says nothing
_RAREST = 120.0


def shown(
    items: Iterable[T], total: int, description: str, console: Console, transient: bool = False
) -> Iterator[T]:
    """Yield `items` and show on a console how many of `total` have gone by.

    Parameters
    ----------
    items : iterable
        What is worked on.
    total : int
        How many there are.
    description : str
        What is being done, in a word or two.
    console : rich.console.Console
        Where: a bar if it is a terminal; else a line after ten seconds, then ever more rarely, down to one
        in two minutes, also while a single item takes long.
    transient : bool
        Whether the bar goes when all is done.
    """
    if not console.is_terminal:
        yield from _with_lines(items, total, description, console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=transient) as bar:
        yield from bar.track(items, total=total, description=description)


def _with_lines(items: Iterable[T], total: int, description: str, console: Console) -> Iterator[T]:
    done, start = [0], time.monotonic()

    def line() -> str:
        seconds = time.monotonic() - start
        left = f", about {_duration(seconds / done[0] * (total - done[0]))} left" if done[0] else ""
        return f"{description}: {done[0]} of {total} after {_duration(seconds)}{left}"

    with _now_and_then(lambda: console.print(line(), markup=False, highlight=False, soft_wrap=True)):
        for item in items:
            yield item
            done[0] += 1


@contextmanager
def _now_and_then(say: Callable[[], None]) -> Iterator[None]:
    """Call `say` from a thread of its own, ever more rarely, until the context ends."""
    ended = threading.Event()

    def speak() -> None:
        pause = FIRST_LINE
        while not ended.wait(pause):
            say()
            pause = min(2 * pause, _RAREST)

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _duration(seconds: float) -> str:
    """Return "40 s" or "3 min" or "2.5 h".

    Examples
    --------
    >>> _duration(40), _duration(185), _duration(9000)
    ('40 s', '3 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
