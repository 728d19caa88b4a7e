"""Work on many items in several processes, and show how far it has come."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from nnunet_ext.errors import UserError

T = TypeVar("T")
R = TypeVar("R")

WORTH_PROCESSES = 20.0  # seconds of remaining work; starting a process imports nnU-Net, about 10 s
_REMEDY = (
    "Start again with a smaller nnUNet_def_n_proc (an environment variable of nnU-Net): "
    "finished cases are kept."
)

#: (items, how many, what is being done) -> the same items, shown as they go by
Progress: TypeAlias = Callable[[Iterable[Any], int, str], Iterator[Any]]


def silent(items: Iterable[Any], total: int, description: str) -> Iterator[Any]:
    """Yield `items` and show nothing: the default of every `Progress` argument."""
    yield from items


def as_they_finish(work: Callable[[T], R], items: Sequence[T], processes: int, remedy: str) -> Iterator[R]:
    """Yield ``work(item)`` for all items in the order in which they are done.

    Parameters
    ----------
    work : callable
        Picklable. What it returns is kept if another item fails later: the caller has it already.
    items : sequence
        What it is called with.
    processes : int
        The most worker processes; with one, or for one item, all is done in this process.
    remedy : str
        What to do if a worker dies, whole sentences: the end of the error text.

    Raises
    ------
    UserError
        If a worker process dies.
    """
    if (workers := min(processes, len(items))) < 2:
        yield from map(work, items)
        return
    with _pool(workers, remedy) as pool:
        for future in as_completed([pool.submit(work, item) for item in items]):
            yield future.result()


def in_order(work: Callable[[T], R], items: Sequence[T], processes: int, remedy: str) -> Iterator[R]:
    """Yield ``work(item)`` for all items in their own order; otherwise as `as_they_finish`."""
    if (workers := min(processes, len(items))) < 2:
        yield from map(work, items)
        return
    with _pool(workers, remedy) as pool:
        yield from pool.map(work, items)


@contextmanager
def _pool(workers: int, remedy: str) -> Iterator[ProcessPoolExecutor]:
    # spawn, as nnU-Net does: a fork would copy the threads of the progress bar and of torch, and can hang
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise UserError(f"A worker process died, perhaps for lack of memory. {remedy}") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Let this worker end when its parent is killed: it would wait for work for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def over_cases(work: Callable[[T], R], cases: Sequence[T], description: str, processes: int) -> Iterator[R]:
    """Yield ``work(case)`` for all cases, in the order in which they are done, and draw a progress bar.

    Parameters
    ----------
    work : callable
        Picklable.
    cases : sequence
        What it is called with.
    description : str
        Beside the bar, which is drawn if stdout is a terminal.
    processes : int
        The most to start. None is started if the first cases show that it would not pay.

    Raises
    ------
    UserError
        If a worker process dies.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=sys.stdout)
    with Progress(*columns, console=console, transient=True, disable=not sys.stdout.isatty()) as bar:
        yield from bar.track(_results(work, cases, processes), len(cases), description=description)


def _results(work: Callable[[T], R], cases: Sequence[T], processes: int) -> Iterator[R]:
    start = time.monotonic()
    for done, case in enumerate(cases):
        left = len(cases) - done
        seconds = (time.monotonic() - start) / done * left if done else 0.0
        if processes > 1 and left > 1 and seconds > WORTH_PROCESSES:
            yield from as_they_finish(work, cases[done:], processes, _REMEDY)
            return
        yield work(case)


@contextlib.contextmanager
def one_at_a_time(lock: Path, waiting: Callable[[], None]) -> Iterator[bool]:
    """Let one process at a time through; a process that dies lets the next one in.

    Parameters
    ----------
    lock : Path
        A file in an existing folder; it stays.
    waiting : callable
        Called if there is somebody to wait for.

    Yields
    ------
    bool
        Whether other processes are kept out: not on systems or network drives without locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield False
        return
    with lock.open("a") as file:
        held = True
        try:
            # Held by this process alone: with flock a worker that outlives it would keep others out.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            waiting()
            fcntl.lockf(file, fcntl.LOCK_EX)
        except OSError:
            held = False
        yield held
