"""Work on many items in several processes, and what is said when one of them dies."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
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
        What to do if a worker dies, for the error text.

    Raises
    ------
    UserError
        If a worker process dies.
    """
    workers = min(processes, len(items))
    if workers < 2:
        yield from map(work, items)
        return
    # spawn: a fork would copy the thread that draws the progress bar
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_end_with_parent)
    try:
        for future in as_completed([pool.submit(work, item) for item in items]):
            yield future.result()
    except BrokenProcessPool as error:
        raise UserError(
            f"A worker process died, perhaps for lack of memory. {remedy}: finished cases are kept."
        ) from error
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
