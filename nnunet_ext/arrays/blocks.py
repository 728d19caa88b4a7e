"""Work through a large array in parts, on threads, so that temporary arrays stay small.

Two kinds of parts: slabs along the first axis, for what is computed in memory, and blocks of all axes with
a `Workplace`, whose arrays may be files, for volumes beyond memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.ndimage import find_objects

Box = tuple[slice, ...]
Part = TypeVar("Part")
T = TypeVar("T")

SLAB_VOXELS = 2**24  # arrays below this are one slab
_SLAB_THREADS = 2  # NumPy and the distance transform release the interpreter's lock
# Edge of a block where nobody asked for one: small working arrays, and little work for its margin.
_DEFAULT_EDGE = {2: 1024, 3: 128}


def slabs(shape: tuple[int, ...], size: int = 1) -> Iterator[slice]:
    """Slices of the first axis, about `size` times `SLAB_VOXELS` each, that cover it once."""
    rows = max(1, size * SLAB_VOXELS // max(1, prod(shape[1:])))
    return (slice(start, min(start + rows, shape[0])) for start in range(0, shape[0], rows))


def for_each_slab(work: Callable[[slice], T], shape: tuple[int, ...], size: int = 1) -> list[T]:
    """Results of `work` for every slab, in order; of several slabs some at a time."""
    return list(on_threads(work, list(slabs(shape, size)), min(_SLAB_THREADS, os.cpu_count() or 1)))


def widened(slab: slice, halo: int, length: int) -> tuple[slice, slice]:
    """`slab` with `halo` rows at either side where the array has them, and where `slab` lies in that."""
    start = max(0, slab.start - halo)
    wide = slice(start, min(length, slab.stop + halo))
    return wide, slice(slab.start - start, slab.stop - start)


def block_edges(tile: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Edges of a block, one per axis, from the argument `tile` of the public functions."""
    if tile is None:
        return (_DEFAULT_EDGE[ndim],) * ndim
    edges = tuple(tile) if isinstance(tile, Sequence) else (tile,) * ndim
    if len(edges) != ndim or not all(isinstance(edge, int | np.integer) and edge > 0 for edge in edges):
        raise ValueError(f"tile: expected a positive whole number, or one per axis ({ndim}), got {tile}")
    return tuple(int(edge) for edge in edges)


def split(window: Box, edges: Sequence[int]) -> list[Box]:
    """Cut `window` into blocks of `edges` (the last ones of an axis may be smaller), in raster order."""
    axes = [
        [slice(start, min(start + edge, part.stop)) for start in range(part.start, part.stop, edge)]
        for part, edge in zip(window, edges, strict=True)
    ]
    return list(product(*axes))


def whole(shape: Sequence[int]) -> Box:
    """Return the box of a whole array."""
    return tuple(slice(0, length) for length in shape)


def grown(box: Box, margin: int | Sequence[int], shape: Sequence[int]) -> Box:
    """`box` with a margin, one for all axes or one per axis, cut at the border of an array of `shape`."""
    widths = (margin,) * len(box) if isinstance(margin, int) else margin
    return tuple(
        slice(max(0, part.start - width), min(length, part.stop + width))
        for part, width, length in zip(box, widths, shape, strict=True)
    )


def label_boxes(labels: NDArray[Any]) -> list[tuple[int, Box]]:
    """Every label above 0 that occurs, with its bounding box."""
    return [(label, box) for label, box in enumerate(find_objects(labels), start=1) if box is not None]


def read_padded(array: NDArray[Any], box: Box, margin: Sequence[int], fill: int) -> NDArray[Any]:
    """Copy `box` and a margin around it out of `array`; what lies outside of the array is `fill`."""
    wanted = [(part.start - m, part.stop + m) for part, m in zip(box, margin, strict=True)]
    inside = tuple(
        slice(max(low, 0), min(high, length)) for (low, high), length in zip(wanted, array.shape, strict=True)
    )
    padded = np.full([high - low for low, high in wanted], fill, array.dtype)
    place = tuple(
        slice(part.start - low, part.stop - low) for part, (low, _) in zip(inside, wanted, strict=True)
    )
    padded[place] = array[inside]
    return padded


@dataclass(frozen=True)
class Workplace:
    """Where the large arrays live, and how many threads work on them.

    Attributes
    ----------
    threads : int
        Blocks in work at a time.
    scratch : Path, optional
        Folder for memory-mapped files instead of memory; whoever names it removes it.
    """

    threads: int = 1
    scratch: Path | None = None

    def zeros(self, name: str, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array of zeros, in memory or in the file ``name.raw`` of `scratch`."""
        if self.scratch is None or 0 in shape:
            return np.zeros(shape, dtype)
        file = self.scratch / f"{name}.raw"
        with file.open("wb") as stream:
            if hasattr(os, "posix_fallocate"):  # a full disk is an error here, a crash in the mapped file
                os.posix_fallocate(stream.fileno(), 0, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return np.memmap(file, dtype, mode="r+", shape=tuple(shape))

    def each(self, work: Callable[[Box], T], boxes: Iterable[Box]) -> Iterator[T]:
        """Yield the result of `work` for every box, in order."""
        return on_threads(work, list(boxes), self.threads)


def workplace(threads: int | None, scratch: str | os.PathLike[str] | None) -> Workplace:
    """Return the workplace for the arguments of the public functions; None: a thread for every core."""
    if threads is None:
        threads = os.cpu_count() or 1
    if threads < 1:
        raise ValueError(f"threads: expected at least 1, got {threads}")
    return Workplace(threads, None if scratch is None else Path(scratch))


def on_threads(work: Callable[[Part], T], parts: Sequence[Part], threads: int) -> Iterator[T]:
    """Yield the result of `work` for every part, in order, some at a time."""
    if min(threads, len(parts)) < 2:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, parts)
