"""A volume as blocks: their boxes, working through them with threads, arrays in memory or on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.ndimage import find_objects

Box = tuple[slice, ...]
T = TypeVar("T")

# Edge of a block where nobody asked for one: small working arrays, and little work for its margin.
DEFAULT_EDGE = {2: 1024, 3: 128}


def block_edges(tile: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Edges of a block, one per axis, from the argument `tile` of the public functions."""
    if tile is None:
        return (DEFAULT_EDGE[ndim],) * ndim
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
        boxes = list(boxes)
        if min(self.threads, len(boxes)) < 2:
            yield from map(work, boxes)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            yield from pool.map(work, boxes)


def workplace(threads: int | None, scratch: str | os.PathLike[str] | None) -> Workplace:
    """Return the workplace for the arguments of the public functions; None: a thread for every core."""
    if threads is None:
        threads = os.cpu_count() or 1
    if threads < 1:
        raise ValueError(f"threads: expected at least 1, got {threads}")
    return Workplace(threads, None if scratch is None else Path(scratch))
