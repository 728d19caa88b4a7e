"""Instances of a semantic map that is read block by block: cores, and the touching voxels nearest to each.

Why it is built so. A light-sheet volume does not fit into memory several times over. So the map is read in
blocks, each once, and what is kept is one working array, which may be a file: 0 background, 1 touching, and
from 2 on the number of a *piece*, a connected component of the cell class within its block. Blocks are there
for memory alone: the result must be the same whatever their size, and in whatever order threads finish them.

* **Joins across seams.** When all blocks are done, the planes on either side of each cut are compared. Pieces
  that are neighbours there are the edges of a graph, and its connected components are the cores. The array is
  not written again for that: a table says which core a piece belongs to.
* **Exact distances.** Squared spacings are whole numbers (`squared_steps`), so a squared distance depends on
  the offset alone and has no rounding error: what is equally near is so in every block, and ties are ties.
* **Ties** go to the core whose first voxel comes first in raster order. Cores are numbered in that order, so
  of equally near ones the smallest number wins, which depends neither on blocks nor on threads.

Nearly all touching voxels lie within a few voxels of a core. They are settled by looking at their neighbours
in order of distance, in a block with a margin. The others may be anywhere, and ask a k-d tree of the surfaces
of the cores. A tree of a whole volume would be too large, so a coarse one of a few voxels of each core comes
first: the distances to those tell which part of the volume surely holds the nearest core.
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

from nnunet_ext.arrays.blocks import Box, Workplace, read_padded, split, whole
from nnunet_ext.arrays.components import first_and_size, label_components
from nnunet_ext.arrays.nearest import NO_CORE, CoreTree, IntArray, look_around, near_offsets, squared_steps
from nnunet_ext.arrays.semantic_classes import CELL, TOUCHING
from nnunet_ext.images.instance_files import instance_dtype

#: Returns a box of the semantic map: 1 cell, 2 touching, anything else background.
_SemanticReader: TypeAlias = Callable[[Box], NDArray[Any]]

_TOUCHING_CODE, _FIRST_PIECE = 1, 2  # in the working array
_SAMPLE = 8  # every eighth voxel along each axis is in the coarse tree


def assemble(
    read: _SemanticReader,
    shape: tuple[int, ...],
    edges: Sequence[int],
    *,
    connectivity: int,
    min_size: int,
    spacing: Sequence[float] | None,
    place: Workplace,
) -> NDArray[Any]:
    """Instances of a semantic map, by blocks.

    Parameters
    ----------
    read : callable
        Returns the semantic map in a box; called once for each block, by several threads.
    shape : tuple of int
        Of the map.
    edges : sequence of int
        Of a block.
    connectivity, min_size, spacing
        As in `from_semantic`, checked.
    place : Workplace
        Where the large arrays live, and how many threads there are.

    Returns
    -------
    ndarray of uint16 or uint32
        0 background, 1 … n the instances in raster order of their first voxels.
    """
    steps = squared_steps(shape, spacing)
    cores = _find_cores(read, shape, edges, connectivity, min_size, place)
    count = len(cores.first)
    dtype = instance_dtype(count)
    instances = place.zeros("instances", shape, dtype)
    if not count:
        return instances
    boxes = split(whole(shape), edges)
    assignment = _Assignment(cores, instances, steps, place, cores.first.copy())
    far = []
    for box, (left, earlier) in zip(boxes, place.each(assignment.near, boxes), strict=True):
        assignment.note(*earlier)
        if left:
            far.append(box)
    if far:
        assignment.far(far, edges)
    _raster_order(instances, assignment.first, boxes, place)
    return instances


@dataclass(frozen=True)
class _Cores:
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


def _find_cores(
    read: _SemanticReader,
    shape: tuple[int, ...],
    edges: Sequence[int],
    connectivity: int,
    min_size: int,
    place: Workplace,
) -> _Cores:
    """Find the components of the cell class with at least `min_size` voxels."""
    codes = place.zeros("codes", shape, np.uint32)
    pieces = _Pieces(shape, connectivity)

    def work(box: Box) -> None:
        semantic = read(box)
        block = codes[box]  # a view: blocks do not overlap, so threads do not meet
        pieces.write(semantic == CELL, box, block)
        block[semantic == TOUCHING] = _TOUCHING_CODE

    for _ in place.each(work, split(whole(shape), edges)):
        pass
    joins = list(_joins(codes, edges, connectivity))
    core_of, first = _join(pieces, np.concatenate(joins) if joins else np.empty((0, 2), np.int64), min_size)
    return _Cores(codes, core_of, first)


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


@dataclass(frozen=True)
class _Assignment:
    """Gives every touching voxel to its nearest core.

    A touching voxel may come before the first voxel of its core, and then is the first of the instance.

    Attributes
    ----------
    instances : ndarray
        The result: core + 1, 0 = background.
    first : ndarray of int64
        First voxel of every instance so far; starts as that of its core.
    """

    cores: _Cores
    instances: NDArray[Any]
    steps: tuple[int, ...]
    place: Workplace
    first: IntArray

    def near(self, box: Box) -> tuple[int, tuple[NDArray[np.uint32], IntArray]]:
        """Fill a block but for voxels far from every core: their number, and first voxels of instances."""
        groups = near_offsets(self.steps)
        margin = np.abs(np.concatenate(groups)).max(0)
        cores = self._cores(box, margin)
        touching = np.flatnonzero(self.cores.codes[box] == _TOUCHING_CODE)
        inner = tuple(slice(m, m + part.stop - part.start) for m, part in zip(margin, box, strict=True))
        places = np.unravel_index(touching, self._shape(box))
        at = np.ravel_multi_index([p + m for p, m in zip(places, margin, strict=True)], cores.shape)
        nearest = look_around(cores, at, groups)
        # NO_CORE + 1 wraps round to 0, the background.
        block = (cores[inner] + np.uint32(1)).astype(self.instances.dtype)
        block.reshape(-1)[touching] = nearest + np.uint32(1)
        self.instances[box] = block
        found = nearest != NO_CORE
        starts = [p[found] + part.start for p, part in zip(places, box, strict=True)]
        return int(at.size - found.sum()), self._earlier(nearest[found], starts)

    def far(self, boxes: Sequence[Box], edges: Sequence[int]) -> None:
        """Give the touching voxels that `near` left in these blocks to their nearest core."""
        samples = self._samples()
        for box in boxes:
            left = (self.cores.codes[box] == _TOUCHING_CODE) & (self.instances[box] == 0)
            inside = np.nonzero(left)
            at = np.stack(inside, -1) + [part.start for part in box]
            window = tuple(
                slice(max(int(low), 0), min(int(high) + 1, length))
                for low, high, length in zip(
                    *samples.bounds(at, self.place.threads), self.instances.shape, strict=True
                )
            )
            nearest = self._surface_tree(window, edges).nearest(at, self.place.threads)
            self.instances[box][inside] = nearest + np.uint32(1)
            self.note(*self._earlier(nearest, list(at.T)))

    def note(self, cores: NDArray[np.uint32], first: IntArray) -> None:
        """Remember earlier first voxels of instances."""
        np.minimum.at(self.first, cores, first)

    def _cores(self, box: Box, margin: Sequence[int]) -> NDArray[np.uint32]:
        return self.cores.core_of.take(read_padded(self.cores.codes, box, margin, 0))

    def _shape(self, box: Box) -> tuple[int, ...]:
        return tuple(part.stop - part.start for part in box)

    def _earlier(
        self, cores: NDArray[np.uint32], places: Sequence[NDArray[Any]]
    ) -> tuple[NDArray[np.uint32], IntArray]:
        """Of voxels given to `cores`, those that come before the first voxel of the core."""
        flat = np.ravel_multi_index(list(places), self.instances.shape).astype(np.int64)
        earlier = flat < self.cores.first[cores]
        return cores[earlier], flat[earlier]

    def _samples(self) -> CoreTree:
        """Return the coarse tree: every `_SAMPLE`-th voxel along each axis, and the first of each core."""
        grid = (slice(None, None, _SAMPLE),) * self.instances.ndim
        regular = np.argwhere(self.cores.core_of.take(self.cores.codes[grid]) != NO_CORE) * _SAMPLE
        firsts = np.stack(np.unravel_index(self.cores.first, self.instances.shape), -1)
        points = np.concatenate([regular, firsts])
        return CoreTree(points, np.zeros(len(points), np.uint32), self.steps)

    def _surface_tree(self, window: Box, edges: Sequence[int]) -> CoreTree:
        """Return a tree over the surface voxels of all cores in `window`.

        Surfaces are enough: the voxel of a core that is nearest to one outside has a face neighbour outside.
        """
        surfaces = list(self.place.each(self._surface, split(window, edges)))
        points, cores = (np.concatenate(parts) for parts in zip(*surfaces, strict=True))
        return CoreTree(points, cores, self.steps)

    def _surface(self, box: Box) -> tuple[IntArray, NDArray[np.uint32]]:
        if self.cores.codes[box].max() <= _TOUCHING_CODE:
            return np.empty((0, len(box)), np.int64), np.empty(0, np.uint32)
        padded = self._cores(box, (1,) * len(box))
        middle = (slice(1, -1),) * len(box)
        inner = np.ones(self._shape(box), np.bool_)
        for axis in range(len(box)):
            for side in (slice(None, -2), slice(2, None)):
                shifted = (*middle[:axis], side, *middle[axis + 1 :])
                inner &= padded[shifted] != NO_CORE
        surface = (padded[middle] != NO_CORE) & ~inner
        return np.argwhere(surface) + [part.start for part in box], padded[middle][surface]


def _raster_order(instances: NDArray[Any], first: IntArray, boxes: Sequence[Box], place: Workplace) -> None:
    """Renumber instances 1 … n in place, in the order of their first voxels."""
    order = np.argsort(first)
    if np.array_equal(order, np.arange(len(first))):
        return
    new_ids = np.zeros(len(first) + 1, instances.dtype)
    new_ids[order + 1] = np.arange(1, len(first) + 1)

    def renumber(box: Box) -> None:
        instances[box] = new_ids.take(instances[box])

    for _ in place.each(renumber, boxes):
        pass
