"""Work on a large array in slabs along its first axis, so that temporary arrays stay small."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import TypeVar

Result = TypeVar("Result")

SLAB_VOXELS = 2**24  # below this nothing is cut
THREADS = 2  # NumPy and the distance transform release the interpreter's lock


def slabs(shape: tuple[int, ...], size: int = 1) -> Iterator[slice]:
    """Slices of the first axis, about `size` times `SLAB_VOXELS` each, that cover it once."""
    rows = max(1, size * SLAB_VOXELS // max(1, prod(shape[1:])))
    return (slice(start, min(start + rows, shape[0])) for start in range(0, shape[0], rows))


def widened(slab: slice, halo: int, length: int) -> tuple[slice, slice]:
    """`slab` with `halo` rows at either side where the array has them, and where `slab` lies in that."""
    start = max(0, slab.start - halo)
    wide = slice(start, min(length, slab.stop + halo))
    return wide, slice(slab.start - start, slab.stop - start)


def for_each_slab(work: Callable[[slice], Result], shape: tuple[int, ...], size: int = 1) -> list[Result]:
    """Results of `work` for every slab; more than one slab: on as many threads as help."""
    todo = list(slabs(shape, size))
    if len(todo) < 2:
        return [work(slab) for slab in todo]
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(work, todo))
