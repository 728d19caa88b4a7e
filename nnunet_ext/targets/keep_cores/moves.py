"""Move single core voxels where even the thinnest band leaves too little of an instance.

The thinnest band takes one voxel on either side of a border: all of a plate two voxels thick, most of a
sliver. Such an instance needs a core where the band would be, and then the core voxels of its neighbours
beside it have to go, because cores of different instances are never adjacent. That costs the neighbours, and
how much depends on which core is nearest to every touching voxel around. So it is tried: a move makes one
voxel a core voxel and the adjacent ones of other cores touching voxels, and the move that gains most is made.
Voxels given to the wrong piece count by their share of the two pieces concerned, which lets a small piece
gain at the expense of a large one. No move takes the last core voxel of the largest piece of an instance or
splits that core.

A piece without a core first gets the best voxel, at whatever cost; after that its core and those of its
neighbours grow, a voxel at a time, as long as that is a gain. All of it happens in a box around the piece,
where the nearest cores are computed again only near a move.

Of equally near cores the one whose first voxel comes first in the image gets a voxel, as in
`instances.from_semantic`, so that the same labels always become the same classes. Where a move changes the
first voxel of a core, only ties within reach of the voxels it changes are decided anew. Those at the far end
of a long core are not, until something moves there: the gain of a later move may be off by such a voxel (of
the moves in random Voronoi cells 2 in 100 leave one or two), the cores stay as sound.

Without the moves instances are recovered worse where they are thin and dense. PQ of instances and what is
recovered from their classes, touching radius 2, with and without moves, and CPU seconds:

==================================================  =====  =======  =====  =======
labels                                              with   without  with   without
==================================================  =====  =======  =====  =======
PlantSeg sample_ovule, 53 cells, 32×128×128          .958     .803  1.4 s    0.2 s
1000 random Voronoi cells, 200×200                   .965     .912  1.2 s    0.2 s
DSB2018 fluorescence, 40 images                      .997     .997  0.4 s    0.2 s
==================================================  =====  =======  =====  =======
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.blocks import Box, grown
from nnunet_ext.arrays.semantic_classes import CELL, TOUCHING
from nnunet_ext.targets.keep_cores.pieces import GOOD_OVERLAP, Offsets, Pieces, is_one_piece, reach_of

# Moves that are tried in an image, at a tenth of a millisecond, or for each of its pieces if that is more;
# the order says which pieces come first.
_MOST_TRIED = {2: 100_000, 3: 45_000}
_MOST_TRIED_PER_PIECE = 22
_MOST_VOXELS = 2**24  # of the box of a piece: to a larger piece a single voxel matters little
_MOST_OFFSETS = 300  # searched for the nearest core; only with far thicker slices than pixels there are more
_ROUNDS = 3
_MOST_TAKEN = 6  # core voxels of others that one move may cost
_MOST_SEEDS = 64
_RANKS_AT_ONCE = 3  # most cores are found among the offsets of the three smallest lengths
_AT_ONCE = 4096
_NONE = -1
_FAR = 2**32  # no core in reach

_Index = NDArray[np.int64]


def move_core_voxels(
    lost: Iterable[int],
    pieces: Pieces,
    semantic: NDArray[np.uint8],
    first: _Index,
    offsets: Offsets,
    effort: float = 1,
) -> None:
    """Give the `lost` pieces cores from which they are recovered, as far as moves can.

    Parameters
    ----------
    lost : iterable of int
        Pieces, in the order in which they choose. After so many tried moves (22 for each of `pieces`, but at
        least 100 000 in 2D and 45 000 in 3D) the rest keep what they have.
    pieces : Pieces
        The pieces of all instances.
    semantic : ndarray of uint8
        0 background, 1 cell, 2 touching; changed in place.
    first : ndarray of int64
        Flat index of the first voxel of each piece's core: of equally near cores the first one wins.
        Changed in place.
    offsets : tuple of ndarray
        From `offsets_across`, with a band of one voxel.
    effort : float
        Share of that number of moves.
    """
    counts = np.cumsum([len(group) for group in offsets])
    offsets = offsets[: max(1, int(np.searchsorted(counts, _MOST_OFFSETS, "right")))]
    margin = tuple(3 * width + 1 for width in reach_of(offsets))
    most = effort * max(_MOST_TRIED[semantic.ndim], _MOST_TRIED_PER_PIECE * pieces.count)
    tried = 0
    for piece in lost:
        box = grown(pieces.box(piece), margin, semantic.shape)
        if prod(part.stop - part.start for part in box) > _MOST_VOXELS:
            continue
        patch = _Patch(pieces, box, semantic, first, offsets)
        if patch.repair(piece):
            patch.write(semantic, first)
        tried += patch.tried
        if tried >= most:
            return


class _Move(NamedTuple):
    """A voxel becomes a core voxel of its piece, `taken` ones cease to be core voxels of theirs."""

    gain: float
    voxel: int
    taken: _Index
    around: _Index
    nearest: _Index
    rank: _Index


class _Patch:
    """A box of the image with a margin, flat.

    Attributes
    ----------
    own, core, nearest : ndarray of int64
        Per voxel its piece, the piece whose core it is in, and the piece of the nearest core, to which it
        would be given; -1 none. The pieces in the box are numbered from 0 in the order of `names`.
    reach : ndarray of int64
        Per voxel how far the nearest core is: 0 it is in one, else 1 + the rank of the offset.
    tried : int
        Moves so far.
    """

    def __init__(
        self, pieces: Pieces, box: Box, semantic: NDArray[np.uint8], first: _Index, offsets: Offsets
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
        self.largest = pieces.largest[self.names]
        self.voxels = np.bincount(self.core[self.core != _NONE], minlength=len(self.names))  # of each core
        self.first = np.append(first[self.names], np.iinfo(np.int64).max)
        self._lay_out_offsets(offsets)
        place = np.zeros(self.shape, np.int64)
        place[self._inner()] = np.ravel_multi_index(np.ix_(*(np.r_[part] for part in box)), semantic.shape)
        self.place: _Index = place.ravel()  # flat index in the image
        self.nearest = self.own.copy()
        self.reach = np.zeros_like(self.own)
        self._scratch = np.zeros_like(self.own)
        self._in_vain: set[int] = set()  # voxels with no move that gains, as it stands
        self.tried = 0

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
        # Of two cores the nearer one wins, of equally near ones that with the first voxel. All offsets of one
        # length have the same rank.
        self.rank = np.repeat(np.arange(len(offsets)), [len(group) for group in offsets])
        self.ball = np.append(self.far, 0)
        self.ball_reach = np.append(self.rank + 1, 0)
        ends = np.searchsorted(self.rank, range(0, len(offsets) + _RANKS_AT_ONCE, _RANKS_AT_ONCE))
        self.shells = [slice(*pair) for pair in pairwise(ends.tolist())]

    def write(self, semantic: NDArray[np.uint8], first: _Index) -> None:
        """Write the classes into the box, and the first voxels."""
        classes = np.where(self.core != _NONE, CELL, TOUCHING)
        classes[self.own == _NONE] = 0
        semantic[self.box] = classes.reshape(self.shape)[self._inner()]
        first[self.names] = self.first[:-1]

    def repair(self, name: int) -> bool:
        """Move core voxels until the piece is recovered; whether any was moved."""
        piece = int(np.searchsorted(self.names, name))
        voxels = np.flatnonzero(self.own == piece)
        around = self._within_reach(voxels)
        self._update_nearest(around)
        if self._overlap(piece) >= GOOD_OVERLAP:
            return False
        self._update_nearest(np.setdiff1d(np.arange(self.own.size), around, assume_unique=True))
        moved = not (self.core == piece).any() and self._seed(voxels)
        for _ in range(_ROUNDS):
            if self._overlap(piece) >= GOOD_OVERLAP or not self._round(piece):
                break
            moved = True
        return moved

    def _within_reach(self, voxels: _Index) -> _Index:
        """The voxels of a box with all that can be given to a piece with these voxels."""
        places = np.unravel_index(voxels, self.shape)
        ends = ((p.min() - width, p.max() + width + 1) for p, width in zip(places, self.width, strict=True))
        return np.ravel_multi_index(np.ix_(*(np.arange(*end) for end in ends)), self.shape).ravel()

    def _update_nearest(self, at: _Index) -> None:
        self.nearest[at], self.reach[at] = self._nearest(at)

    def _overlap(self, piece: int) -> float:
        own, given = self.own == piece, self.nearest == piece
        return float(np.count_nonzero(own & given) / np.count_nonzero(own | given))

    def _seed(self, voxels: _Index) -> bool:
        """Give a piece without a core the best of some of its voxels; whether one could be."""
        some = voxels[:: -(-len(voxels) // _MOST_SEEDS)]
        return self._take_best(some, at_least=-np.inf, most_taken=len(self.beside))

    def _round(self, piece: int) -> bool:
        """Try to correct each voxel that the piece loses or wrongly gets; whether any was."""
        wrong = np.flatnonzero((self.own != self.nearest) & ((self.own == piece) | (self.nearest == piece)))
        better = False
        for voxel in wrong[np.argsort(self.size[self.own[wrong]], kind="stable")].tolist():
            if self.nearest[voxel] != self.own[voxel]:
                better |= self._take_best(self._beside_core(voxel), at_least=1e-12)
        return better

    def _beside_core(self, voxel: int) -> _Index:
        """Voxels at or beside `voxel` by which the core of its piece can grow."""
        own, block = self.own[voxel], voxel + self.block
        block = block[self.own[block] == own]
        cores = self.core[block[:, None] + self.block] == own
        if not cores.any():
            return block[:0]
        return block[cores.any(1) & (self.core[block] == _NONE)]

    def _take_best(self, voxels: _Index, at_least: float, most_taken: int = _MOST_TAKEN) -> bool:
        """Make the move with the largest gain above `at_least`; whether there was one."""
        untried = [voxel for voxel in voxels.tolist() if voxel not in self._in_vain]
        tried = (self._move(voxel, most_taken) for voxel in untried)
        moves = [move for move in tried if move and move.gain > at_least]
        self._in_vain.update(untried)
        if moves:
            best = max(moves, key=lambda move: move.gain)
            self._set(best.voxel, best.taken)
            self.nearest[best.around], self.reach[best.around] = best.nearest, best.rank
            self._in_vain.clear()
        return bool(moves)

    def _move(self, voxel: int, most_taken: int) -> _Move | None:
        """What would be gained by making a voxel a core voxel; None if that is not allowed."""
        self.tried += 1
        own, beside = self.own[voxel], voxel + self.beside
        cores = self.core[beside]
        taken = beside[(cores != _NONE) & (cores != own)]
        if len(taken) > most_taken:
            return None
        before, first, voxels = self.core[taken], self.first.copy(), self.voxels.copy()
        move = None
        if self._set(voxel, taken):
            around, nearest, reach = self._changes(voxel, taken, before, self.first != first)
            gain = self._cost(around, self.nearest[around]) - self._cost(around, nearest)
            move = _Move(gain, voxel, taken, around, nearest, reach)
        self.core[voxel], self.core[taken] = _NONE, before
        self.first, self.voxels = first, voxels
        return move

    def _set(self, voxel: int, taken: _Index) -> bool:
        """Make a voxel a core voxel and `taken` ones not; False, halfway, if a core would split or vanish."""
        for other in taken.tolist():
            piece = self.core[other]
            if not self._dispensable(other):
                return False
            self.core[other] = _NONE
            self.voxels[piece] -= 1
            if self.place[other] == self.first[piece]:
                left = self.place[self.core == piece]
                self.first[piece] = left.min() if left.size else self.first[-1]
        own, place = self.own[voxel], self.place[voxel]
        if not self.voxels[own] or place < self.first[own]:
            self.first[own] = place
        self.core[voxel] = own
        self.voxels[own] += 1
        return True

    def _dispensable(self, voxel: int) -> bool:
        """Whether a core is still one core without a voxel; that of a smaller piece may vanish."""
        piece = self.core[voxel]
        if not self.largest[piece]:
            return True
        return is_one_piece((self.core[voxel + self.beside] == piece).tobytes(), len(self.shape))

    def _each_once(self, voxels: _Index) -> _Index:
        order = np.arange(len(voxels))
        self._scratch[voxels] = order
        return voxels[self._scratch[voxels] == order]

    def _changes(
        self, voxel: int, taken: _Index, before: _Index, other_first: NDArray[np.bool_]
    ) -> tuple[_Index, _Index, _Index]:
        """Voxels whose nearest core may change, or its distance, with what these are after `_set`.

        Those that were nearest to a taken voxel are looked at anew, and all around a taken or new one whose
        core has another first voxel now, because of equally near ones. To the rest only the new one matters.
        """
        own, ball = self.own[voxel], voxel + self.ball
        reach, nearest = self.reach[ball], self.nearest[ball]
        near = self.ball_reach < reach
        near |= (self.ball_reach == reach) & (self.first[own] < self.first[nearest])
        if other_first[own]:
            taken, before = np.append(taken, voxel), np.append(before, own)
        near &= self.own[ball] != _NONE
        gained, gained_reach = ball[near], self.ball_reach[near]
        if not len(taken):
            return gained, np.full(len(gained), own), gained_reach
        balls = taken[:, None] + self.ball
        lost = (self.reach[balls] == self.ball_reach) & (self.nearest[balls] == before[:, None])
        lost |= other_first[before][:, None]
        lost &= self.own[balls] != _NONE
        anew = balls[lost]
        self._scratch[gained] = _NONE
        anew = self._each_once(anew)
        other = self._scratch[gained] == _NONE
        anew_nearest, anew_reach = self._nearest(anew)
        return (
            np.concatenate([anew, gained[other]]),
            np.concatenate([anew_nearest, np.full(np.count_nonzero(other), own)]),
            np.concatenate([anew_reach, gained_reach[other]]),
        )

    def _nearest(self, at: _Index) -> tuple[_Index, _Index]:
        """The piece of the nearest core voxel, of equally near ones that whose core comes first; how far."""
        nearest = self.core[at]
        reach = np.where(nearest == _NONE, _FAR, 0)
        waiting = np.flatnonzero((nearest == _NONE) & (self.own[at] != _NONE))
        for shell in self.shells:
            for start in range(0, len(waiting), _AT_ONCE):
                part = waiting[start : start + _AT_ONCE]
                nearest[part], reach[part] = self._first_of_nearest(at[part], shell)
            waiting = waiting[nearest[waiting] == _NONE]
        return nearest, reach

    def _first_of_nearest(self, at: _Index, shell: slice) -> tuple[_Index, _Index]:
        seen = self.core[at[:, None] + self.far[shell]]
        reach = np.where(seen == _NONE, _FAR, self.rank[shell] + 1)
        least = reach.min(1, keepdims=True)
        winner = np.where(reach == least, self.first[seen], self.first[-1]).argmin(1)
        return seen[np.arange(len(at)), winner], least[:, 0]

    def _cost(self, at: _Index, nearest: _Index) -> float:
        """Voxels given to the wrong piece, each as its share of the two pieces concerned."""
        wrong = nearest != self.own[at]
        return float(self.share[self.own[at[wrong]]].sum() + self.share[nearest[wrong]].sum())
