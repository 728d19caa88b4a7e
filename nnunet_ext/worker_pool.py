"""Work on many items in several processes, and show how far it has come."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, TypeAlias, TypeVar

from nnunet_ext.errors import UserError, out_of_memory, some_of
from nnunet_ext.processes import stoppable, stoppable_pool, without_ctrl_c
from nnunet_ext.progress import shown

T = TypeVar("T")
R = TypeVar("R")

WORTH_PROCESSES = 20.0  # seconds of remaining work; starting a process imports nnU-Net, about 10 s
_LISTED = 4  # names in an error text
_REMEDY = (
    "Start again with a smaller nnUNet_def_n_proc (an environment variable of nnU-Net): "
    "finished cases are kept."
)

#: (items, how many, what is being done) -> the same items, shown as they go by
Progress: TypeAlias = Callable[[Iterable[Any], int, str], Iterator[Any]]


def silent(items: Iterable[Any], total: int, description: str) -> Iterator[Any]:
    """Yield `items` and show nothing: the default of every `Progress` argument."""
    yield from items


def as_they_finish(
    work: Callable[[T], R],
    items: Sequence[T],
    processes: int,
    remedy: str,
    name: Callable[[T], object] = str,
) -> Iterator[R]:
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
        What to do if a worker dies or runs out of memory, whole sentences: the end of the error text.
    name : callable
        What to call an item in that text: the case, or its file.

    Raises
    ------
    UserError
        If a worker process dies, or an item needs more memory than there is.
    """
    yield from _worked(work, items, processes, _Trouble(name, remedy), as_completed)


def in_order(
    work: Callable[[T], R],
    items: Sequence[T],
    processes: int,
    remedy: str,
    name: Callable[[T], object] = str,
) -> Iterator[R]:
    """Yield ``work(item)`` for all items in their own order; otherwise as `as_they_finish`."""
    yield from _worked(work, items, processes, _Trouble(name, remedy), iter)


@dataclass(frozen=True)
class _Trouble(Generic[T]):
    """Errors that name the items."""

    name: Callable[[T], object]
    remedy: str

    @contextmanager
    def of_memory(self, item: T) -> Iterator[None]:
        try:
            yield
        except MemoryError as error:
            raise UserError(out_of_memory(self.name(item), error, self.remedy)) from error

    def of_death(self, candidates: Sequence[T]) -> UserError:
        names = some_of([self.name(item) for item in candidates], _LISTED)
        one_of = "one of " if len(candidates) > 1 else ""
        return UserError(
            f"A worker process died at {one_of}{names}, perhaps for lack of memory. {self.remedy}"
        )


def _worked(
    work: Callable[[T], R],
    items: Sequence[T],
    processes: int,
    trouble: _Trouble[T],
    arrange: Callable[[Iterable[Future[R]]], Iterator[Future[R]]],
) -> Iterator[R]:
    if (workers := min(processes, len(items))) < 2:
        for item in items:
            with trouble.of_memory(item):
                result = work(item)
            yield result
        return
    with stoppable_pool(workers) as pool:
        with without_ctrl_c():  # the workers cannot deal with it yet
            futures = {pool.submit(stoppable, work, item): item for item in items}
        try:
            for future in arrange(list(futures)):
                with trouble.of_memory(futures[future]):
                    result = future.result()
                yield result
        except BrokenProcessPool as error:
            # items are handed out in order: it is one of the first without a result
            undone = [item for future, item in futures.items() if _is_undone(future)]
            raise trouble.of_death(undone[:workers]) from error


def _is_undone(future: Future[Any]) -> bool:
    return not future.done() or future.cancelled() or isinstance(future.exception(), BrokenProcessPool)


def over_cases(work: Callable[[T], R], cases: Sequence[T], description: str, processes: int) -> Iterator[R]:
    """Yield ``work(case)`` for all cases, in the order in which they are done, and show how far it is.

    Parameters
    ----------
    work : callable
        Picklable.
    cases : sequence
        What it is called with.
    description : str
        Beside the bar on stdout, or in the lines that stand for it where that is no terminal.
    processes : int
        The most to start. None is started if the first cases show that it would not pay.

    Raises
    ------
    UserError
        As in `as_they_finish`.
    """
    from rich.console import Console

    work_done, console = _results(work, cases, processes), Console(file=sys.stdout)
    yield from shown(work_done, len(cases), description, console, transient=True)


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
def one_at_a_time(lock: Path, waiting: Callable[[], None], keep: bool = True) -> Iterator[bool]:
    """Let one process at a time through; a process that dies lets the next one in.

    Parameters
    ----------
    lock : Path
        A file in an existing folder.
    waiting : callable
        Called if there is somebody to wait for; it may raise instead of waiting.
    keep : bool
        Whether the file stays.

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
    while True:
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
            if held and not _is_there(file, lock):
                continue  # the one before has removed it: the next one would lock a new file
            try:
                yield held
            finally:
                if held and not keep:
                    lock.unlink(missing_ok=True)
            return


def _is_there(file: IO[str], path: Path) -> bool:
    """Tell whether an open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
