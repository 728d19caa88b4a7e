"""Thin the touching band of instances that it would erase, split or leave too little of.

A band of fixed width takes a voxel or two off every instance wherever another one is near. Of a small or thin
instance that is all, or the middle, and what is left without a core, or with two, is not recovered as one. So
the classes are turned back into instances first, as `instances.from_semantic` does it, and only instances
that are recovered badly are changed; all others keep the paper's classes.

At the borders of these the band becomes the thinnest one that separates cores, on both sides: each touching
voxel is given to its nearest core, so that a border is recovered where it was only if the bands at its two
sides are equally wide. Borders between other instances keep their band. Of several cores that are left in a
piece the largest stays, since each core becomes an instance. Only the largest piece of an instance is looked
at: no core makes an instance of several pieces whole again, and a smaller piece with a core is one too many.
Where the thinnest band is not enough, `moves` goes on, one piece after the other, and where that leaves an
instance without a core, `missing` decides for all of them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.blocks import Box, grown, slabs
from nnunet_ext.arrays.components import first_and_size, label_components
from nnunet_ext.arrays.nearest import squared_steps
from nnunet_ext.arrays.semantic_classes import CELL, TOUCHING
from nnunet_ext.targets.keep_cores.missing import fill_in_cores
from nnunet_ext.targets.keep_cores.moves import move_core_voxels
from nnunet_ext.targets.keep_cores.pieces import (
    GOOD_OVERLAP,
    Pieces,
    offsets_across,
    reconstruction_overlap,
)
from nnunet_ext.targets.touching import HalfWidths, thinnest_band, touching

_EFFORT_FOR_CHANGED = 0.25


def restore_cores(
    instances: NDArray[Any], semantic: NDArray[np.uint8], half: HalfWidths, spacing: Sequence[float]
) -> None:
    """Rewrite in place the classes of instances that are not recovered from them, and of what they touch.

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
    core_first = first_and_size(cores, count)[0]
    pieces = Pieces(instances)
    piece_of_core = pieces.labels.reshape(-1)[core_first]
    piece_of_core[0] = 0
    overlap = reconstruction_overlap(pieces, cores, piece_of_core, semantic, offsets_across(half, steps))
    del cores
    cores_in_piece = np.bincount(piece_of_core[1:], minlength=pieces.count + 1)
    lost = pieces.largest & ((overlap < GOOD_OVERLAP) | (cores_in_piece != 1))
    if not lost.any():
        return
    first = pieces.first.copy()
    first[piece_of_core[:0:-1]] = core_first[:0:-1]  # of several cores the first one stays
    thinning = _Thinning(instances, semantic, half, pieces, lost, first)
    thinning.thin()
    thinnest = offsets_across((1,) * instances.ndim, steps)
    move_core_voxels(thinning.small_first(), pieces, semantic, first, thinnest)
    changed = fill_in_cores(instances, pieces, semantic, first)
    move_core_voxels(changed, pieces, semantic, first, thinnest, effort=_EFFORT_FOR_CHANGED)


@dataclass(frozen=True)
class _Thinning:
    """Thinnest bands around `lost` pieces, and one core for each of them and of their neighbours.

    Attributes
    ----------
    lost : (count + 1,) ndarray of bool
        By piece.
    first : (count + 1,) ndarray of int64
        Flat index of the first voxel of each piece's core; changed in place.
    """

    instances: NDArray[Any]
    semantic: NDArray[np.uint8]
    half: HalfWidths
    pieces: Pieces
    lost: NDArray[np.bool_]
    first: NDArray[np.int64]

    def small_first(self) -> list[int]:
        """Return the lost pieces, small ones first."""
        pieces = np.flatnonzero(self.lost)
        return pieces[np.argsort(self.pieces.size[pieces], kind="stable")].tolist()

    def thin(self) -> None:
        """Write the thinner bands."""
        around = tuple(max(1, width) for width in self.half)
        shape = self.instances.shape
        boxes = [grown(self.pieces.box(piece), around, shape) for piece in self.small_first()]
        if sum(map(_volume, boxes)) > self.instances.size:
            boxes = [tuple(slice(0, length) for length in shape)]
        met = np.zeros(self.pieces.count + 1, bool)
        for box in boxes:
            for slab in slabs(tuple(part.stop - part.start for part in box)):
                rows = slice(box[0].start + slab.start, box[0].start + slab.stop)
                met[self._rewrite((rows, *box[1:]), around)] = True
        for piece in np.flatnonzero(met & self.pieces.largest).tolist():
            self._keep_largest_core(piece)

    def _rewrite(self, box: Box, around: HalfWidths) -> NDArray[Any]:
        """Write the classes in a box; return the pieces in it."""
        wide = grown(box, tuple(width + 1 for width in around), self.instances.shape)
        inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, wide, strict=True))
        instances, labels = self.instances[wide], self.pieces.labels[wide]
        band = thinnest_band(instances)
        band |= touching(np.where(self.lost[labels], instances.dtype.type(0), instances), self.half)
        smaller = (labels != 0) & ~self.pieces.largest[labels]
        if smaller.any():
            band |= smaller & touching(instances, self.half)
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
            first, size = first_and_size(cores, count)
            largest = 1 + int(np.argmax(size[1:]))
            semantic[(cores != 0) & (cores != largest)] = TOUCHING
            place = np.unravel_index(first[largest], cores.shape)
            start = [i + part.start for i, part in zip(place, box, strict=True)]
            self.first[piece] = np.ravel_multi_index(start, self.instances.shape)


def _volume(box: Box) -> int:
    return prod(part.stop - part.start for part in box)
