"""The cores of a semantic map, found block by block, whatever the blocks.

A *piece* is a connected component of the cell class within its block. When all blocks are done, the planes on
either side of each cut are compared: pieces that are neighbours there belong to one core.
"""

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

from nnunet_ext.arrays.blocks import Box, Workplace, split, whole
from nnunet_ext.arrays.components import first_and_size, label_components
from nnunet_ext.arrays.nearest import NO_CORE
from nnunet_ext.arrays.semantic_classes import CELL, TOUCHING
from nnunet_ext.instances.losses import Losses

#: Returns a box of the semantic map: 1 cell, 2 touching, anything else background.
SemanticReader: TypeAlias = Callable[[Box], NDArray[Any]]

TOUCHING_CODE, _FIRST_PIECE = 1, 2  # in the working array


@dataclass(frozen=True)
class Cores:
    """The cores of a volume.

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


def find_cores(
    read: SemanticReader,
    shape: tuple[int, ...],
    edges: Sequence[int],
    connectivity: int,
    min_size: int,
    place: Workplace,
    losses: Losses,
) -> Cores:
    """Find the components of the cell class with at least `min_size` voxels."""
    codes = place.zeros("codes", shape, np.uint32)
    pieces = _Pieces(shape, connectivity)

    def work(box: Box) -> int:
        semantic = read(box)
        block = codes[box]  # a view: blocks do not overlap, so threads do not meet
        pieces.write(semantic == CELL, box, block)
        touching = semantic == TOUCHING
        block[touching] = TOUCHING_CODE
        return int(np.count_nonzero(touching))

    touching = sum(place.each(work, split(whole(shape), edges)))
    joins = list(_joins(codes, edges, connectivity))
    pairs = np.concatenate(joins) if joins else np.empty((0, 2), np.int64)
    core_of, first, losses.small_cores = _join(pieces, pairs, min_size)
    if not len(first):
        losses.voxels_without_core = touching
    return Cores(codes, core_of, first)


class _Pieces:
    """The components of all blocks, numbered as the blocks come; `_join` numbers the cores anew."""

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
    """Pairs of pieces that are neighbours across a cut between blocks, as (n, 2) arrays."""
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
) -> tuple[NDArray[np.uint32], NDArray[np.int64], int]:
    """Unite the pieces of each core, drop small cores (how many comes last), count in raster order."""
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
    return np.concatenate([none, rank[core]]), core_first[kept], count - len(kept)
