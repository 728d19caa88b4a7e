"""From cell and touching voxels to instances: cores, nearest core of the touching voxels, final ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.images.instance_files import instance_dtype
from nnunet_ext.instances.blocks import Box, Workplace, read_padded, split, whole
from nnunet_ext.instances.cores import NO_CORE, TOUCHING_CODE, Cores, SemanticReader, find_cores
from nnunet_ext.instances.nearest import CoreTree, IntArray, look_around, near_offsets, squared_steps

# Every so manieth voxel along each axis stands for its surroundings where only a bound is needed.
_SAMPLE = 8


def assemble(
    read: SemanticReader,
    shape: tuple[int, ...],
    edges: Sequence[int],
    *,
    connectivity: int,
    min_size: int,
    spacing: Sequence[float] | None,
    place: Workplace,
) -> NDArray[Any]:
    """Instances of a semantic map that is read block by block; the blocks leave no trace in the result."""
    steps = squared_steps(shape, spacing)
    cores = find_cores(read, shape, edges, connectivity, min_size, place)
    count = len(cores.first)
    dtype = instance_dtype(count)
    instances = place.zeros("instances", shape, dtype)
    if not count:
        return instances
    boxes = split(whole(shape), edges)
    task = _Assignment(cores, instances, steps, place, cores.first.copy())
    results = list(place.each(task.near, boxes))
    for first in (result[1] for result in results):
        task.note(*first)
    far = [box for box, (left, _) in zip(boxes, results, strict=True) if left]
    if far:
        task.far(far, edges)
    _raster_order(instances, task.first, boxes, place)
    return instances


@dataclass(frozen=True)
class _Assignment:
    """Gives every touching voxel to its nearest core.

    Attributes
    ----------
    instances : ndarray
        The result: core + 1, 0 = background.
    first : ndarray of int64
        First voxel of every instance so far; starts as that of its core.
    """

    cores: Cores
    instances: NDArray[Any]
    steps: tuple[int, ...]
    place: Workplace
    first: IntArray

    def near(self, box: Box) -> tuple[int, tuple[NDArray[np.uint32], IntArray]]:
        """Fill a block except for touching voxels that are far from every core; return their number."""
        groups = near_offsets(self.steps)
        margin = np.abs(np.concatenate(groups)).max(0)
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

    def far(self, boxes: Sequence[Box], edges: Sequence[int]) -> None:
        """Give the touching voxels that `near` left in these blocks to their nearest core."""
        samples = self._samples()
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
        """Return a tree over a few voxels of cores, at least one of each."""
        grid = (slice(None, None, _SAMPLE),) * self.instances.ndim
        regular = np.argwhere(self.cores.core_of.take(self.cores.codes[grid]) != NO_CORE) * _SAMPLE
        firsts = np.stack(np.unravel_index(self.cores.first, self.instances.shape), -1)
        points = np.concatenate([regular, firsts])
        return CoreTree(points, np.zeros(len(points), np.uint32), self.steps)

    def _surface_tree(self, window: Box, edges: Sequence[int]) -> CoreTree:
        """Return a tree over the surface voxels of all cores in `window`.

        What is nearest to a voxel outside of all cores has a face neighbour outside of them, the one
        towards that voxel.
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
