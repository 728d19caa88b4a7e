"""Work on many items in several processes, and what is said when one of them dies."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from nnunet_ext.errors import UserError

T = TypeVar("T")
R = TypeVar("R")


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
