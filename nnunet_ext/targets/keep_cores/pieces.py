"""The connected pieces of instances, and how much of each piece is recovered from its classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.blocks import Box, for_each_slab, widened
from nnunet_ext.arrays.components import first_and_size, label_components
from nnunet_ext.arrays.nearest import look_around
from nnunet_ext.arrays.semantic_classes import TOUCHING
from nnunet_ext.targets.touching import HalfWidths

GOOD_OVERLAP = 0.97  # an instance recovered with this intersection over union is left as it is

Offsets = tuple[NDArray[np.int64], ...]


class Pieces:
    """The connected pieces 1 … `count` of all instances.

    Attributes
    ----------
    labels : ndarray of unsigned integers
        The piece of every voxel, 0 background.
    size : (count + 1,) ndarray of int64
        Voxels of each piece.
    first : (count + 1,) ndarray of int64
        Flat index of each piece's first voxel.
    largest : (count + 1,) ndarray of bool
        Whether it is the largest piece of its instance, of equals the first.
    """

    def __init__(self, instances: NDArray[Any]) -> None:
        self.labels, self.count = label_components(instances)
        self.first, self.size = first_and_size(self.labels, self.count)
        statistics = cc3d.statistics(self.labels, no_slice_conversion=True)
        self._ends = statistics["bounding_boxes"].astype(np.int64)
        owner = instances.reshape(-1)[self.first]
        order = 1 + np.lexsort((-self.first[1:], self.size[1:], owner[1:]))
        last = np.append(owner[order][1:] != owner[order][:-1], True)[: self.count]
        self.largest = np.zeros(self.count + 1, bool)
        self.largest[order[last]] = True

    def box(self, piece: int) -> Box:
        """The smallest box that holds a piece."""
        ends = self._ends[piece].reshape(-1, 2)[: self.labels.ndim]
        return tuple(slice(int(start), int(end) + 1) for start, end in ends)


def offsets_across(band: HalfWidths, steps: Sequence[int]) -> Offsets:
    """Offsets as far as the corner of a band is from its core, grouped by distance, the nearest first.

    Parameters
    ----------
    band : tuple of int
        Half widths of the window that made the band.
    steps : sequence of int
        Squared voxel spacing, as `nnunet_ext.arrays.nearest.squared_steps` gives it.
    """
    limit = sum((half + 1) ** 2 * step for half, step in zip(band, steps, strict=True))
    reach = [int((limit / step) ** 0.5) for step in steps]
    cube = np.indices([2 * width + 1 for width in reach]).reshape(len(reach), -1).T - reach
    squared = (cube**2) @ np.asarray(steps)
    return tuple(cube[squared == distance] for distance in np.unique(squared[squared <= limit])[1:])


def reach_of(offsets: Offsets) -> HalfWidths:
    """Largest offset along each axis."""
    return tuple(np.abs(np.concatenate(offsets)).max(0).tolist())


def reconstruction_overlap(
    pieces: Pieces,
    cores: NDArray[Any],
    piece_of_core: NDArray[Any],
    semantic: NDArray[Any],
    offsets: Offsets,
) -> NDArray[np.float64]:
    """Intersection over union of every piece with what is recovered for it.

    Recovered is, as in `instances.from_semantic`, every core with the touching voxels that it is nearest to.

    Parameters
    ----------
    pieces : Pieces
        The pieces of all instances.
    cores : ndarray of unsigned integers
        Components of the cell class in raster order, 0 elsewhere.
    piece_of_core : ndarray
        The piece each of them lies in.
    semantic : ndarray of uint8
        0 background, 1 cell, 2 touching.
    offsets : tuple of ndarray
        Where to look for a core; a touching voxel with none there is not recovered.
    """
    reach = reach_of(offsets)
    length = pieces.count + 1

    def count(slab: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Touching voxels of the slab by piece: those rightly given to it, and all that are given to it."""
        wide, inner = widened(slab, reach[0], len(cores))
        margin = [(reach[0] - inner.start, reach[0] - (wide.stop - slab.stop))]
        margin += [(width, width) for width in reach[1:]]
        padded = np.pad(cores[wide], margin).astype(np.uint32) - np.uint32(1)  # 0 becomes NO_CORE
        touching = np.nonzero(semantic[slab] == TOUCHING)
        places = [place + width for place, width in zip(touching, reach, strict=True)]
        at = np.ravel_multi_index(places, padded.shape)
        nearest = look_around(padded, at, offsets) + np.uint32(1)  # NO_CORE becomes 0
        given = piece_of_core[nearest]
        right = given[given == pieces.labels[slab][touching]]
        return np.bincount(right, minlength=length), np.bincount(given, minlength=length)

    counts = for_each_slab(count, cores.shape)
    core_size = first_and_size(cores, len(piece_of_core) - 1)[1]
    cores_of_piece = np.bincount(piece_of_core, core_size, length)
    right = cores_of_piece + sum(part[0] for part in counts)
    given = cores_of_piece + sum(part[1] for part in counts)
    union = pieces.size + given - right
    return right / np.maximum(union, 1)


@lru_cache(maxsize=1 << 16)
def is_one_piece(block: bytes, ndim: int) -> bool:
    """Whether the neighbours that are True, of the 8 or 26 in raster order, are one component, not none."""
    around = np.insert(np.frombuffer(block, bool), len(block) // 2, False)
    return label_components(around.reshape((3,) * ndim))[1] == 1
