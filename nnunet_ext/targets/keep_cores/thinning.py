"""Thin the touching band of instances that would not come back from their classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.components import label_components
from nnunet_ext.arrays.nearest import squared_steps
from nnunet_ext.arrays.slabs import slabs
from nnunet_ext.targets.classes import CELL, TOUCHING
from nnunet_ext.targets.keep_cores.moves import mend
from nnunet_ext.targets.keep_cores.overlap import GOOD, offsets_across, overlap_on_return
from nnunet_ext.targets.keep_cores.pieces import (
    Box,
    Pieces,
    first_voxels,
    grown,
)
from nnunet_ext.targets.touching import HalfWidths, thinnest_band, touching


def keep_cores(
    instances: NDArray[Any], semantic: NDArray[np.uint8], half: HalfWidths, spacing: Sequence[float]
) -> None:
    """Rewrite in place the classes of instances that would not come back, and of what they touch.

    Parameters
    ----------
    instances : ndarray of unsigned integers
        0 background.
    semantic : ndarray of uint8
        0 background, 1 cell, 2 touching, with no cell voxels of different instances adjacent.
    half : tuple of int
        Half widths of the window that made the touching band.
    spacing : sequence of float
        Edges of a voxel.
    """
    if not (semantic == TOUCHING).any():
        return
    steps = squared_steps(instances.shape, spacing)
    cores, count = label_components(semantic == CELL)
    core_first = first_voxels(cores, count)
    pieces = Pieces(instances)
    piece_of_core = pieces.labels.reshape(-1)[core_first]
    piece_of_core[0] = 0
    overlap = overlap_on_return(pieces, cores, piece_of_core, semantic, offsets_across(half, steps))
    del cores
    number = np.bincount(piece_of_core[1:], minlength=pieces.count + 1)
    lost = pieces.unit & ((overlap < GOOD) | (number != 1))
    if not lost.any():
        return
    first = pieces.first.copy()
    first[piece_of_core[:0:-1]] = core_first[:0:-1]  # of several cores the first one stays
    thinning = _Thinning(instances, semantic, half, pieces, lost, first)
    thinning.thin()
    mend(thinning.order(), pieces, semantic, first, offsets_across((1,) * instances.ndim, steps))


def _volume(box: Box) -> int:
    return prod(part.stop - part.start for part in box)


@dataclass(frozen=True)
class _Thinning:
    """Thinnest bands around `lost` pieces, and one core for each of them and of their neighbours."""

    instances: NDArray[Any]
    semantic: NDArray[np.uint8]
    half: HalfWidths
    pieces: Pieces
    lost: NDArray[np.bool_]
    first: NDArray[np.int64]

    def order(self) -> list[int]:
        """Return the lost pieces, small ones first."""
        pieces = np.flatnonzero(self.lost)
        return pieces[np.argsort(self.pieces.size[pieces], kind="stable")].tolist()

    def thin(self) -> None:
        """Write the thinner bands."""
        around = tuple(max(1, width) for width in self.half)
        shape = self.instances.shape
        boxes = [grown(self.pieces.box(piece), around, shape) for piece in self.order()]
        if sum(map(_volume, boxes)) > self.instances.size:
            boxes = [tuple(slice(0, length) for length in shape)]
        met = np.zeros(self.pieces.count + 1, bool)
        for box in boxes:
            for slab in slabs(tuple(part.stop - part.start for part in box)):
                rows = slice(box[0].start + slab.start, box[0].start + slab.stop)
                met[self._rewrite((rows, *box[1:]), around)] = True
        for piece in np.flatnonzero(met & self.pieces.unit).tolist():
            self._keep_largest_core(piece)

    def _rewrite(self, box: Box, around: HalfWidths) -> NDArray[Any]:
        """Write the classes in a box; return the pieces it meets."""
        wide = grown(box, tuple(width + 1 for width in around), self.instances.shape)
        inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, wide, strict=True))
        instances, labels = self.instances[wide], self.pieces.labels[wide]
        band = thinnest_band(instances)
        band |= touching(np.where(self.lost[labels], instances.dtype.type(0), instances), self.half)
        piecemeal = (labels != 0) & ~self.pieces.unit[labels]
        if piecemeal.any():
            band |= piecemeal & touching(instances, self.half)
        classes = np.where(band, TOUCHING, CELL)
        classes[instances == 0] = 0
        self.semantic[box] = classes[inner]
        return np.unique(labels[inner])

    def _keep_largest_core(self, piece: int) -> None:
        box = self.pieces.box(piece)
        inside = self.pieces.labels[box] == piece
        semantic = self.semantic[box]
        cores, count = label_components(inside & (semantic == CELL))
        if count:
            largest = 1 + int(np.argmax(np.bincount(cores.ravel())[1:]))
            semantic[(cores != 0) & (cores != largest)] = TOUCHING
            place = np.unravel_index(int(np.argmax(cores == largest)), cores.shape)
            start = [i + part.start for i, part in zip(place, box, strict=True)]
            self.first[piece] = np.ravel_multi_index(start, self.instances.shape)
