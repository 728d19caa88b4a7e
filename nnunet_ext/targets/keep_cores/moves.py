"""Move single core voxels until an instance comes back, where even the thinnest band takes too much of it."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.components import label_components
from nnunet_ext.targets.classes import CELL, TOUCHING
from nnunet_ext.targets.keep_cores.overlap import GOOD, Offsets, reach_of
from nnunet_ext.targets.keep_cores.pieces import Box, Pieces, grown

_ROUNDS = 3
_MOST_TAKEN = 6  # core voxels of others that one move may cost
_MOST_SEEDS = 64
_NEAR_RANKS = 3  # most cores are found among the offsets of the three smallest lengths
_MOST_VOXELS = 2**24  # a larger piece keeps the thinnest band: a single voxel matters little to it
_MOST_PIECES = 500  # a move at a time takes a fraction of a second for each; small pieces come first
_MOST_OFFSETS = 300  # looked at for a core; only coarse slices have more within reach
_AT_ONCE = 4096
_NONE = -1

Index = NDArray[np.int64]


def mend(
    lost: Iterable[int], pieces: Pieces, semantic: NDArray[np.uint8], first: Index, offsets: Offsets
) -> None:
    """Give the `lost` pieces cores from which they come back, as far as that can be.

    Parameters
    ----------
    lost : iterable of int
        Pieces, in the order in which they choose. All but the first 500 that need it keep what they have.
    pieces : Pieces
        The pieces of all instances.
    semantic : ndarray of uint8
        0 background, 1 cell, 2 touching; changed in place.
    first : ndarray of int64
        Flat index of the first voxel of each piece's core: of equally near cores the first one wins.
        Changed in place.
    offsets : tuple of ndarray
        From `offsets_across`, with a band of one voxel.
    """
    counts = np.cumsum([len(group) for group in offsets])
    offsets = offsets[: max(1, int(np.searchsorted(counts, _MOST_OFFSETS, "right")))]
    margin = tuple(3 * width + 1 for width in reach_of(offsets))
    mended = 0
    for piece in lost:
        box = grown(pieces.box(piece), margin, semantic.shape)
        if prod(part.stop - part.start for part in box) > _MOST_VOXELS:
            continue
        patch = _Patch(pieces, box, semantic, first, offsets)
        if patch.mend(piece):
            patch.write(semantic, first)
            mended += 1
            if mended == _MOST_PIECES:
                return


class _Move(NamedTuple):
    """A voxel becomes a core voxel of its piece, `taken` ones cease to be core voxels of theirs."""

    gain: float
    voxel: int
    taken: list[int]
    around: Index
    nearest: Index


class _Patch:
    """A box of the image with a margin, flat.

    Attributes
    ----------
    own, core, nearest : ndarray of int64
        Per voxel its piece, the piece whose core it is in and the piece that it comes back for; -1 none.
        Pieces are numbered anew.
    """

    def __init__(
        self, pieces: Pieces, box: Box, semantic: NDArray[np.uint8], first: Index, offsets: Offsets
    ) -> None:
        self.box, self.width = box, reach_of(offsets)
        margin = [(width, width) for width in self.width]
        labels = pieces.labels[box]
        self.names = np.unique(labels[labels != 0])
        new = np.full(int(self.names[-1]) + 1, _NONE)
        new[self.names] = np.arange(len(self.names))
        own = np.pad(new[labels], margin, constant_values=_NONE)
        self.shape = own.shape
        self.own = own.ravel()
        self.core = np.where(np.pad(semantic[box], margin).ravel() == CELL, self.own, _NONE)
        self.size = pieces.size[self.names]
        self.share = np.append(1 / self.size, 0.0)  # the last one is that of none
        self.unit = pieces.unit[self.names]
        self.first = np.append(first[self.names], np.iinfo(np.int64).max)
        self._lay_out_offsets(offsets)
        place = np.zeros(self.shape, np.int64)
        place[self._inner()] = np.ravel_multi_index(np.ix_(*(np.r_[part] for part in box)), semantic.shape)
        self.place: Index = place.ravel()  # flat index in the image
        self.nearest = self.own.copy()

    def _inner(self) -> Box:
        return tuple(
            slice(width, length - width) for width, length in zip(self.width, self.shape, strict=True)
        )

    def _lay_out_offsets(self, offsets: Offsets) -> None:
        strides = np.cumprod((1, *self.shape[:0:-1]))[::-1]
        cube = np.indices((3,) * len(self.shape)).reshape(len(self.shape), -1).T - 1
        self.block = cube @ strides
        self.beside = self.block[self.block != 0]
        self.far = np.concatenate(offsets) @ strides
        # Compared before the first voxel: how far. A group is all offsets of one length.
        self.rank = np.repeat(np.arange(len(offsets)), [len(group) for group in offsets])
        self.ball = np.append(self.far, 0)
        near = np.searchsorted(self.rank, _NEAR_RANKS)
        self.shells = (slice(0, near), slice(near, None))

    def write(self, semantic: NDArray[np.uint8], first: Index) -> None:
        """Write the classes into the box, and the first voxels."""
        classes = np.where(self.core != _NONE, CELL, TOUCHING)
        classes[self.own == _NONE] = 0
        semantic[self.box] = classes.reshape(self.shape)[self._inner()]
        first[self.names] = self.first[:-1]

    def mend(self, name: int) -> bool:
        """Move core voxels until the piece comes back; whether any was moved."""
        piece = int(np.searchsorted(self.names, name))
        voxels = np.flatnonzero(self.own == piece)
        self._look(self._within_reach(voxels))
        if self._overlap(piece) >= GOOD:
            return False
        self._look(np.arange(self.own.size))
        moved = not (self.core == piece).any() and self._seed(voxels)
        for _ in range(_ROUNDS):
            if self._overlap(piece) >= GOOD or not self._round(piece):
                break
            moved = True
        return moved

    def _within_reach(self, voxels: Index) -> Index:
        """A box with all that can come back for a piece with these voxels."""
        places = np.unravel_index(voxels, self.shape)
        ends = ((p.min() - width, p.max() + width + 1) for p, width in zip(places, self.width, strict=True))
        return np.ravel_multi_index(np.ix_(*(np.arange(*end) for end in ends)), self.shape).ravel()

    def _look(self, at: Index) -> None:
        self.nearest[at] = self._nearest(at)

    def _overlap(self, piece: int) -> float:
        own, back = self.own == piece, self.nearest == piece
        return float(np.count_nonzero(own & back) / np.count_nonzero(own | back))

    def _seed(self, voxels: Index) -> bool:
        """Give a piece without a core its best single voxel."""
        some = voxels[:: -(-len(voxels) // _MOST_SEEDS)]
        return self._take_best(some, at_least=-np.inf, most_taken=len(self.beside))

    def _round(self, piece: int) -> bool:
        """Try to set right what is lost by the piece or falsely comes back for it; whether anything was."""
        wrong = np.flatnonzero((self.own != self.nearest) & ((self.own == piece) | (self.nearest == piece)))
        better = False
        for voxel in wrong[np.argsort(self.size[self.own[wrong]], kind="stable")].tolist():
            if self.nearest[voxel] != self.own[voxel]:
                better |= self._take_best(self._beside_core(voxel), at_least=1e-12)
        return better

    def _beside_core(self, voxel: int) -> Index:
        """Voxels at or beside `voxel` by which the core of its piece can grow."""
        own, block = self.own[voxel], voxel + self.block
        block = block[self.own[block] == own]
        cores = self.core[block[:, None] + self.block] == own
        if not cores.any():
            return block[:0]
        return block[cores.any(1) & (self.core[block] == _NONE)]

    def _take_best(self, voxels: Index, at_least: float, most_taken: int = _MOST_TAKEN) -> bool:
        tried = (self._move(voxel, most_taken) for voxel in voxels.tolist())
        moves = [move for move in tried if move and move.gain > at_least]
        if moves:
            best = max(moves, key=lambda move: move.gain)
            self._set(best.voxel, best.taken)
            self.nearest[best.around] = best.nearest
        return bool(moves)

    def _move(self, voxel: int, most_taken: int) -> _Move | None:
        """What it would bring to make a voxel a core voxel; None if a core would fall apart."""
        own, beside = self.own[voxel], voxel + self.beside
        taken = beside[(self.core[beside] != _NONE) & (self.core[beside] != own)].tolist()
        if len(taken) > most_taken:
            return None
        before, first = self.core[taken], self.first.copy()
        move = None
        if self._set(voxel, taken):
            around = np.unique(np.array([voxel, *taken])[:, None] + self.ball)
            around = around[self.own[around] != _NONE]
            nearest = self._nearest(around)
            gain = self._cost(around, self.nearest[around]) - self._cost(around, nearest)
            move = _Move(gain, voxel, taken, around, nearest)
        self.core[voxel], self.core[taken], self.first = _NONE, before, first
        return move

    def _set(self, voxel: int, taken: list[int]) -> bool:
        """Make a voxel a core voxel and `taken` ones not; False, halfway, if a core would fall apart."""
        for other in taken:
            piece = self.core[other]
            if not self._dispensable(other):
                return False
            self.core[other] = _NONE
            if self.place[other] == self.first[piece]:
                left = self.place[self.core == piece]
                self.first[piece] = left.min() if left.size else self.first[-1]
        own = self.own[voxel]
        self.first[own] = min(
            self.first[own] if (self.core == own).any() else self.first[-1], self.place[voxel]
        )
        self.core[voxel] = own
        return True

    def _dispensable(self, voxel: int) -> bool:
        """Whether a core stays one without a voxel; that of a piece which is not the largest may go."""
        piece = self.core[voxel]
        if not self.unit[piece]:
            return True
        block = self.core[voxel + self.block] == piece
        block[len(block) // 2] = False
        if np.count_nonzero(block) < 2:
            return bool(block.any())
        return label_components(block.reshape((3,) * len(self.shape)))[1] == 1

    def _nearest(self, at: Index) -> Index:
        """The piece of the nearest core voxel; of equally near ones that whose core comes first."""
        nearest = self.core[at]
        waiting = np.flatnonzero((nearest == _NONE) & (self.own[at] != _NONE))
        for shell in self.shells:
            for start in range(0, len(waiting), _AT_ONCE):
                part = waiting[start : start + _AT_ONCE]
                nearest[part] = self._first_of_nearest(at[part], shell)
            waiting = waiting[nearest[waiting] == _NONE]
        return nearest

    def _first_of_nearest(self, at: Index, shell: slice) -> Index:
        seen = self.core[at[:, None] + self.far[shell]]
        rank = np.where(seen == _NONE, len(self.rank), self.rank[shell])
        closest = rank == rank.min(1, keepdims=True)
        winner = np.where(closest, self.first[seen], self.first[-1]).argmin(1)
        return seen[np.arange(len(at)), winner]

    def _cost(self, at: Index, nearest: Index) -> float:
        """Voxels that come back for the wrong piece, each as its share of the two pieces concerned."""
        wrong = nearest != self.own[at]
        return float(self.share[self.own[at[wrong]]].sum() + self.share[nearest[wrong]].sum())
