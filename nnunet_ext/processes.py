"""Worker processes that stop when told to: by Ctrl-C, here or in their terminal, or when their parent ends.

A worker leaves the item it works on as it leaves any that fails, so that temporary files are removed; none
stays behind.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_GRACE = 10.0  # seconds in which a worker has to stop


@contextmanager
def stoppable_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Start a pool whose workers are told to stop when the context is left by Ctrl-C; submit `stoppable`."""
    # spawn, as nnU-Net does: a fork would copy the threads of the progress bar and of torch, and can hang
    context = multiprocessing.get_context("spawn")
    told, tell = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, initializer=_obey, initargs=(told,))
    try:
        yield pool
    except (KeyboardInterrupt, GeneratorExit):
        tell.close()
        with without_ctrl_c():
            pool.shutdown(cancel_futures=True)
        raise
    finally:
        try:
            pool.shutdown(cancel_futures=True)
        finally:
            tell.close()
            told.close()


class _Worker:
    """What this process is doing, if it is a worker."""

    busy = False
    stopped = False


def _obey(told: Connection) -> None:
    """Let this worker stop on Ctrl-C, and when its parent closes the other end of `told` or dies."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in background jobs of scripts
        signal.signal(signal.SIGINT, _interrupt)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def listen() -> None:
        with contextlib.suppress(EOFError, OSError):
            told.recv()
        if hasattr(signal, "pthread_kill"):  # wakes the main thread, also where it waits
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        else:
            signal.raise_signal(signal.SIGINT)
        time.sleep(_GRACE)
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()


def _interrupt(*_: object) -> None:
    _Worker.stopped = True
    if _Worker.busy:
        _Worker.busy = False  # a second Ctrl-C must not stop the cleaning up
        raise KeyboardInterrupt


def stoppable(work: Callable[[T], R], item: T) -> R:
    """Return ``work(item)``, in a worker of `stoppable_pool`."""
    _Worker.busy = True
    try:
        if _Worker.stopped:
            raise KeyboardInterrupt
        return work(item)
    finally:
        _Worker.busy = False


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """Hold Ctrl-C back until the end; processes that start meanwhile hold it back, too."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
