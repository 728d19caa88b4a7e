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
* **Not any distance.** A touching voxel farther than `max_distance` from every core is background: counted.

Nearly all touching voxels lie within a few voxels of a core. They are settled by looking at their neighbours
in order of distance, in a block with a margin. The others may be anywhere, and ask a k-d tree of the surfaces
of the cores. A tree of a whole volume would be too large, so a coarse one of a few voxels of each core comes
first: the distances to those tell which part of the volume surely holds the nearest core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.blocks import Box, Workplace, read_padded, split, whole
from nnunet_ext.arrays.checks import check_spacing
from nnunet_ext.arrays.nearest import (
    NO_CORE,
    CoreTree,
    IntArray,
    look_around,
    near_offsets,
    squared_steps,
    within_reach,
)
from nnunet_ext.images.instance_files import instance_dtype
from nnunet_ext.instances.core_pieces import TOUCHING_CODE, Cores, SemanticReader, find_cores
from nnunet_ext.instances.losses import Losses, default_distance

_ROUNDING = 1e-9  # of a squared distance: 0.3 / 0.1 is 3
_SAMPLE = 8  # every eighth voxel along each axis is in the coarse tree


def assemble(
    read: SemanticReader,
    shape: tuple[int, ...],
    edges: Sequence[int],
    *,
    connectivity: int,
    min_size: int,
    spacing: Sequence[float] | None,
    max_distance: float | None,
    losses: Losses | None,
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
    connectivity, min_size, spacing, max_distance, losses
        As in `from_semantic`, checked.
    place : Workplace
        Where the large arrays live, and how many threads there are.

    Returns
    -------
    ndarray of uint16 or uint32
        0 background, 1 … n the instances in raster order of their first voxels.
    """
    steps = squared_steps(shape, spacing)
    limit = _squared_limit(max_distance, spacing, steps)
    losses = Losses() if losses is None else losses
    losses.small_cores = losses.voxels_without_core = 0
    cores = find_cores(read, shape, edges, connectivity, min_size, place, losses)
    count = len(cores.first)
    dtype = instance_dtype(count)
    instances = place.zeros("instances", shape, dtype)
    if not count:
        return instances
    boxes = split(whole(shape), edges)
    assignment = _Assignment(cores, instances, steps, place, cores.first.copy(), limit)
    far = []
    for box, (left, earlier) in zip(boxes, place.each(assignment.near, boxes), strict=True):
        assignment.note(*earlier)
        losses.voxels_without_core += left
        if left:
            far.append(box)
    if far and limit > within_reach(steps):
        losses.voxels_without_core -= assignment.far(far, edges)
    raster_order(instances, assignment.first, boxes, place)
    return instances


def _squared_limit(
    max_distance: float | None, spacing: Sequence[float] | None, steps: Sequence[int]
) -> float:
    """Largest squared distance, in `steps`."""
    if max_distance is None:
        max_distance = default_distance(spacing, len(steps))
    if not max_distance >= 0:
        raise ValueError(f"max_distance: expected 0 or more, got {max_distance}")
    edge = check_spacing(spacing, len(steps))[0]
    return steps[0] * (max_distance / edge) ** 2 * (1 + _ROUNDING)


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
    limit : float
        Largest squared distance.
    """

    cores: Cores
    instances: NDArray[Any]
    steps: tuple[int, ...]
    place: Workplace
    first: IntArray
    limit: float

    def near(self, box: Box) -> tuple[int, tuple[NDArray[np.uint32], IntArray]]:
        """Fill a block but for voxels far from every core: their number, and first voxels of instances."""
        groups = near_offsets(self.steps)
        margin = np.abs(np.concatenate(groups)).max(0)
        groups = tuple(group for group in groups if group[0] ** 2 @ self.steps <= self.limit)
        cores = self._cores(box, margin)
        touching = np.flatnonzero(self.cores.codes[box] == TOUCHING_CODE)
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

    def far(self, boxes: Sequence[Box], edges: Sequence[int]) -> int:
        """Give the touching voxels that `near` left in these blocks to their nearest core; count these."""
        samples, given = self._samples(), 0
        for box in boxes:
            left = (self.cores.codes[box] == TOUCHING_CODE) & (self.instances[box] == 0)
            inside = np.nonzero(left)
            at = np.stack(inside, -1) + [part.start for part in box]
            window = tuple(
                slice(max(int(low), 0), min(int(high) + 1, length))
                for low, high, length in zip(
                    *samples.bounds(at, self.place.threads), self.instances.shape, strict=True
                )
            )
            nearest = self._surface_tree(window, edges).nearest(at, self.place.threads, self.limit)
            self.instances[box][inside] = nearest + np.uint32(1)
            found = nearest != NO_CORE
            given += int(np.count_nonzero(found))
            self.note(*self._earlier(nearest[found], list(at[found].T)))
        return given

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
        if self.cores.codes[box].max() <= TOUCHING_CODE:
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


def raster_order(instances: NDArray[Any], first: IntArray, boxes: Sequence[Box], place: Workplace) -> None:
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
