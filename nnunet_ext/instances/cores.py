"""The cores: connected components of the cell class, found block by block and joined across the seams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nnunet_ext.instances.blocks import Box, Workplace, split, whole
from nnunet_ext.morphology import NEIGHBOURS, label_components

#: Returns a box of the semantic map: 1 cell, 2 touching, anything else background.
SemanticReader: TypeAlias = Callable[[Box], NDArray[Any]]
CELL, TOUCHING = 1, 2

# What the working array holds: background, touching, and from 2 on the piece of a core in one block.
_BACKGROUND_CODE, TOUCHING_CODE, _FIRST_PIECE = 0, 1, 2
# In a map of cores: no core here. The largest value, so that a minimum over neighbours ignores it.
NO_CORE = np.uint32(2**32 - 1)


@dataclass(frozen=True)
class Cores:
    """Every core of a volume.

    Attributes
    ----------
    codes : ndarray of uint32
        The working array: 0 background, 1 touching, from 2 on a piece of a core.
    core_of : ndarray of uint32
        Code to core, counted from 0 in raster order of the cores' first voxels; `NO_CORE` for the rest.
    first : ndarray of int64
        Flat index of each core's first voxel.
    """

    codes: NDArray[np.uint32]
    core_of: NDArray[np.uint32]
    first: NDArray[np.int64]


def check_connectivity(connectivity: int | None, ndim: int) -> int:
    """Return the connectivity, full where None; a `ValueError` if these dimensions have no such one."""
    if connectivity is None:
        return ndim
    if (ndim, connectivity) not in NEIGHBOURS:
        raise ValueError(f"connectivity: expected 1 to {ndim} in {ndim}D, got {connectivity}")
    return connectivity


def find_cores(
    read: SemanticReader,
    shape: tuple[int, ...],
    edges: Sequence[int],
    connectivity: int,
    min_size: int,
    place: Workplace,
) -> Cores:
    """Find the components of the cell class with at least `min_size` voxels; `read` each block once."""
    codes = place.zeros("codes", shape, np.uint32)
    pieces = _Pieces(shape, connectivity)

    def work(box: Box) -> None:
        semantic = read(box)
        block = codes[box]  # a view: blocks do not overlap, so threads do not meet
        pieces.write(semantic == CELL, box, block)
        block[semantic == TOUCHING] = TOUCHING_CODE

    for _ in place.each(work, split(whole(shape), edges)):
        pass
    joins = list(_joins(codes, edges, connectivity))
    core_of, first = _join(pieces, np.concatenate(joins) if joins else np.empty((0, 2), np.int64), min_size)
    return Cores(codes, core_of, first)


def first_and_size(ids: NDArray[Any], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First flat index and number of voxels of the ids 0 … `count` of a C-ordered array, each present."""
    flat = ids.reshape(-1)
    # Runs of equal values are far fewer than voxels.
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    values = flat[starts]
    first = np.zeros(count + 1, np.int64)
    first[values[::-1]] = starts[::-1]  # of several writes to one place the last one stays
    return first, np.bincount(values, np.diff(starts, append=flat.size), count + 1).astype(np.int64)


class _Pieces:
    """The components of all blocks. Blocks come in any order; nothing of it is left in the final ids."""

    def __init__(self, shape: tuple[int, ...], connectivity: int) -> None:
        self.shape = shape
        self.connectivity = connectivity
        self.next = _FIRST_PIECE
        self.lock = Lock()
        self.found: list[tuple[int, NDArray[np.int64], NDArray[np.int64]]] = []

    def write(self, cell: NDArray[np.bool_], box: Box, codes: NDArray[np.uint32]) -> None:
        """Write the components of `cell`, the voxels of `box`, into `codes`."""
        components, count = label_components(cell, self.connectivity)
        if not count:
            return
        ids = components.astype(np.uint32, copy=False)
        local, size = first_and_size(ids, count)
        places = np.unravel_index(local[1:], cell.shape)
        starts = [place + part.start for place, part in zip(places, box, strict=True)]
        first = np.ravel_multi_index(starts, self.shape).astype(np.int64)
        with self.lock:
            offset, self.next = self.next, self.next + count
            self.found.append((offset, first, size[1:]))
        if self.next > NO_CORE:
            raise ValueError("more than 4 294 967 293 components of the cell class in the blocks")
        ids[ids > 0] += np.uint32(offset - 1)
        codes[...] = ids

    def first_and_size(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First voxel and size of every piece, in the order of their codes."""
        found = sorted(self.found, key=lambda item: item[0])
        empty = np.empty(0, np.int64)
        return (
            np.concatenate([empty, *(first for _, first, _ in found)]),
            np.concatenate([empty, *(size for _, _, size in found)]),
        )


def _joins(codes: NDArray[np.uint32], edges: Sequence[int], connectivity: int) -> Iterator[NDArray[np.int64]]:
    """Pairs of pieces that are neighbours across a seam between blocks."""
    for axis, edge in enumerate(edges):
        for cut in range(edge, codes.shape[axis], edge):
            before, after = (np.asarray(codes.take(at, axis)) for at in (cut - 1, cut))
            for shift in product((-1, 0, 1), repeat=codes.ndim - 1):
                if 1 + np.abs(shift).sum() <= connectivity:
                    yield _pairs(before[_shifted(shift)], after[_shifted([-step for step in shift])])


def _shifted(shift: Sequence[int]) -> Box:
    return tuple(slice(max(step, 0), min(step, 0) or None) for step in shift)


def _pairs(before: NDArray[np.uint32], after: NDArray[np.uint32]) -> NDArray[np.int64]:
    both = (before >= _FIRST_PIECE) & (after >= _FIRST_PIECE)
    packed = np.unique(before[both].astype(np.uint64) << np.uint64(32) | after[both])
    return np.stack([packed >> np.uint64(32), packed & np.uint64(NO_CORE)], -1).astype(np.int64)


def _join(
    pieces: _Pieces, pairs: NDArray[np.int64], min_size: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Unite the pieces of each core, drop the small cores, and count the others in raster order."""
    first, size = pieces.first_and_size()
    a, b = (pairs - _FIRST_PIECE).T
    graph = coo_array((np.ones(len(a), np.bool_), (a, b)), shape=(len(first),) * 2)
    count, core = connected_components(graph, directed=False) if len(first) else (0, np.empty(0, int))
    core_first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(core_first, core, first)
    kept = np.flatnonzero(np.bincount(core, size, count) >= min_size)
    kept = kept[np.argsort(core_first[kept])]
    rank = np.full(count, NO_CORE)
    rank[kept] = np.arange(len(kept), dtype=np.uint32)
    none = np.full(_FIRST_PIECE, NO_CORE)
    return np.concatenate([none, rank[core]]), core_first[kept]
