"""Give cores to cells that still have none, where their neighbours can make room: all of them at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.blocks import Box, grown
from nnunet_ext.arrays.components import first_and_size, label_components
from nnunet_ext.arrays.semantic_classes import CELL, TOUCHING
from nnunet_ext.targets.keep_cores.pieces import Pieces
from nnunet_ext.targets.keep_cores.seeds import Seeds, inner_voxels
from nnunet_ext.targets.touching import touching

_Index = NDArray[np.int64]


def fill_in_cores(
    instances: NDArray[Any], pieces: Pieces, semantic: NDArray[np.uint8], first: _Index
) -> list[int]:
    """Give cores to instances without any, as far as a choice of one voxel for each can; none loses its own.

    Parameters
    ----------
    instances : ndarray of unsigned integers
        0 background.
    pieces : Pieces
        Their pieces.
    semantic : ndarray of uint8
        0 background, 1 cell, 2 touching; changed in place. Cores of different pieces are not adjacent.
    first : ndarray of int64
        Flat index of the first voxel of each piece's core; changed in place.

    Returns
    -------
    list of int
        The pieces whose cores are new or other ones, small ones first.
    """
    changed = _Filling(instances, pieces, semantic, first, smaller=False).fill()
    if len(pieces.size) > 1 + np.count_nonzero(pieces.largest):
        changed |= _Filling(instances, pieces, semantic, first, smaller=True).fill()
    return sorted((piece for piece in changed if pieces.largest[piece]), key=lambda p: (pieces.size[p], p))


class _Filling:
    """A search for cores in the largest pieces of instances, or in all pieces (`smaller`) of those without.

    A cell is named by its largest piece, wherever its core lies.
    """

    def __init__(
        self,
        instances: NDArray[Any],
        pieces: Pieces,
        semantic: NDArray[np.uint8],
        first: _Index,
        smaller: bool,
    ) -> None:
        self.pieces, self.semantic, self.first = pieces, semantic, first
        self.has_core = np.zeros(pieces.count + 1, bool)
        self.has_core[pieces.labels[semantic == CELL]] = True
        largest = np.arange(pieces.count + 1)  # the largest piece of the same instance
        ids = instances.reshape(-1)[pieces.first]
        order = np.flatnonzero(pieces.largest)
        order = order[np.argsort(ids[order])]
        largest[1:] = order[np.searchsorted(ids[order], ids[1:])] if len(order) else 0
        with_core = np.zeros(pieces.count + 1, bool)
        with_core[largest[self.has_core]] = True
        self.waiting = pieces.largest & ~with_core
        self.cell = np.where(pieces.largest | (smaller & self.waiting[largest]), largest, 0)
        self.cell[0] = 0

    def fill(self) -> set[int]:
        """Search, and write what was found; return the pieces whose cores changed."""
        if not self.waiting.any():
            return set()
        inner = inner_voxels(self.pieces.labels)
        inner_of_cell = np.bincount(self.cell, inner, len(inner))
        tight = inner_of_cell == 0
        tight[0] = False
        cells = np.where(tight[self.cell], self.cell, 0).astype(self.pieces.labels.dtype)
        labels = cells[self.pieces.labels]
        before = self._present(labels, cells)
        seeds = Seeds(labels, before)
        waiting = np.flatnonzero(self.waiting & tight)
        seeds.search(waiting[np.argsort(self.pieces.size[waiting], kind="stable")])
        free = np.flatnonzero(self.waiting & ~tight)
        return self._write(seeds.places, before, free)

    def _present(self, labels: NDArray[Any], cells: NDArray[Any]) -> _Index:
        """Flat index of a core voxel of each cell in `labels`, -1 without a core."""
        voxels = np.flatnonzero((labels != 0) & (self.semantic == CELL))
        places = np.full(len(cells), -1)
        places[labels.reshape(-1)[voxels][::-1]] = voxels[::-1]
        return places

    def _write(self, places: _Index, before: _Index, free: _Index) -> set[int]:
        classes, labels = self.semantic.reshape(-1), self.pieces.labels.reshape(-1)
        moved = np.flatnonzero((places != before) & (places >= 0))
        for cell in moved.tolist():
            if classes[places[cell]] != CELL:
                for piece in {cell, int(labels[places[cell]])}:
                    self._clear(piece)
        seeds = places[moved]
        classes[seeds] = CELL
        beside = set(free.tolist())
        for seed in seeds.tolist():
            beside |= self._make_room(seed)
        seed_of = {int(labels[place]): int(place) for place in places[places >= 0].tolist()}
        changed = beside | {int(labels[seed]) for seed in seeds}
        for piece in sorted(changed):
            self._keep_one(piece, seed_of.get(piece))
        return changed

    def _clear(self, piece: int) -> None:
        box = self.pieces.box(piece)
        part = self.semantic[box]
        part[(self.pieces.labels[box] == piece) & (part == CELL)] = TOUCHING

    def _make_room(self, seed: int) -> set[int]:
        """Take the core voxels of other pieces beside a seed; return these pieces."""
        voxel = [int(i) for i in np.unravel_index(seed, self.semantic.shape)]
        box = tuple(slice(max(0, i - 1), i + 2) for i in voxel)
        labels, part = self.pieces.labels[box], self.semantic[box]
        others = (part == CELL) & (labels != self.pieces.labels.reshape(-1)[seed])
        part[others] = TOUCHING
        return set(labels[others].tolist())

    def _keep_one(self, piece: int, seed: int | None) -> None:
        """Of what is left of a core keep the component with the seed, else the largest, else inner voxels."""
        box = self.pieces.box(piece)
        inside = self.pieces.labels[box] == piece
        part = self.semantic[box]
        if seed is None and self.pieces.largest[piece] and not (inside & (part == CELL)).any():
            part[inside & self._inner(box)] = CELL
        cores, count = label_components(inside & (part == CELL))
        if not count:
            return  # a smaller piece
        starts, size = first_and_size(cores, count)
        kept = 1 + int(np.argmax(size[1:]))
        if seed is not None:
            place = np.unravel_index(seed, self.semantic.shape)
            kept = int(cores[tuple(int(i) - part.start for i, part in zip(place, box, strict=True))])
        part[(cores != 0) & (cores != kept)] = TOUCHING
        offset = np.unravel_index(starts[kept], cores.shape)
        place = tuple(int(i) + axis.start for i, axis in zip(offset, box, strict=True))
        self.first[piece] = np.ravel_multi_index(place, self.semantic.shape)

    def _inner(self, box: Box) -> NDArray[np.bool_]:
        """Voxels of a box with no other piece beside them."""
        wide = grown(box, 1, self.semantic.shape)
        inside = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, wide, strict=True))
        return ~touching(self.pieces.labels[wide], (1,) * len(box))[inside]
