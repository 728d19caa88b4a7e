"""Which instances come back when each touching voxel goes to its nearest core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.nearest import look_around
from nnunet_ext.arrays.slabs import for_each_slab, widened
from nnunet_ext.targets.classes import TOUCHING
from nnunet_ext.targets.keep_cores.pieces import Pieces
from nnunet_ext.targets.touching import HalfWidths

GOOD = 0.97  # an instance that comes back with this intersection over union is left as it is

Offsets = tuple[NDArray[np.int64], ...]


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


def overlap_on_return(
    pieces: Pieces,
    cores: NDArray[Any],
    piece_of_core: NDArray[Any],
    semantic: NDArray[Any],
    offsets: Offsets,
) -> NDArray[np.float64]:
    """Intersection over union of every piece with what comes back for it.

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
        Where to look for a core; a voxel with none there does not come back.
    """
    reach = reach_of(offsets)
    length = pieces.count + 1

    def count(slab: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        wide, inner = widened(slab, reach[0], len(cores))
        margin = [(reach[0] - inner.start, reach[0] - (wide.stop - slab.stop))]
        margin += [(width, width) for width in reach[1:]]
        padded = np.pad(cores[wide], margin).astype(np.uint32) - np.uint32(1)  # 0 becomes NO_CORE
        found = np.nonzero(semantic[slab] == TOUCHING)
        at = np.ravel_multi_index([i + width for i, width in zip(found, reach, strict=True)], padded.shape)
        nearest = look_around(padded, at, offsets) + np.uint32(1)  # NO_CORE becomes 0
        got = piece_of_core[nearest]
        right = got[got == pieces.labels[slab][found]]
        return np.bincount(right, minlength=length), np.bincount(got, minlength=length)

    counts = for_each_slab(count, cores.shape)
    core_size = np.zeros(length, np.int64)
    for size in for_each_slab(
        lambda slab: np.bincount(cores[slab].ravel(), minlength=len(piece_of_core)), cores.shape
    ):
        np.add.at(core_size, piece_of_core, size)
    right = core_size + sum(part[0] for part in counts)
    taken = core_size + sum(part[1] for part in counts)
    union = pieces.size + taken - right
    return right / np.maximum(union, 1)
