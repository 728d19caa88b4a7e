"""Of two equally near cores the one whose first voxel comes first gets a voxel, also while cores move."""

import numpy as np
import pytest

from nnunet_ext.arrays.nearest import squared_steps
from nnunet_ext.targets.keep_cores.moves import _Patch
from nnunet_ext.targets.keep_cores.pieces import Pieces, offsets_across

# Pieces are numbered in the order of their first voxels, here by their columns.
COLUMNS = np.array([[1, 1, 1, 2, 3, 3, 3]] * 3, np.uint16)
FOUR = np.array([[1, 1, 1, 2, 2, 3, 4, 4, 4]] * 3, np.uint16)


class Moving:
    """A patch over a whole image, in 2D or with every row as a plane of 3D, and the oracle of it."""

    def __init__(self, instances, cores, in_3d):
        classes = np.where(cores, 1, 2).astype(np.uint8)
        if in_3d:  # (z, y, x): a second row of touching voxels in every plane
            instances = np.stack([instances, instances], 1)
            classes = np.stack([classes, np.full_like(classes, 2)], 1)
        self.in_3d, self.shape = in_3d, instances.shape
        pieces = Pieces(instances)
        first = pieces.first.copy()
        core = np.where(classes == 1, pieces.labels, 0).ravel()
        for piece in np.unique(core[core != 0]):
            first[piece] = np.flatnonzero(core == piece)[0]
        steps = squared_steps(self.shape, (1.0,) * len(self.shape))
        self.offsets = offsets_across((1,) * len(self.shape), steps)
        self.patch = _Patch(pieces, tuple(slice(0, n) for n in self.shape), classes, first, self.offsets)
        self.patch._update_nearest(np.arange(self.patch.own.size))

    def unpadded(self, flat):
        """Of the image, with pieces from 1."""
        return flat.reshape(self.patch.shape)[self.patch._inner()] + 1

    def make(self, row, column):
        """Make a voxel a core voxel."""
        place = (row, 0, column) if self.in_3d else (row, column)
        inside = [i + width for i, width in zip(place, self.patch.width, strict=True)]
        move = self.patch._move(int(np.ravel_multi_index(inside, self.patch.shape)), 6)
        self.patch._set(move.voxel, move.taken)
        self.patch.nearest[move.around], self.patch.reach[move.around] = move.nearest, move.rank

    def given(self):
        """To which piece the voxels of each row are given, checked voxel by voxel."""
        given, core = self.unpadded(self.patch.nearest), self.unpadded(self.patch.core)
        firsts = {piece: np.flatnonzero(core.ravel() == piece)[0] for piece in np.unique(core[core > 0])}
        far = max(int((offset**2).sum()) for group in self.offsets for offset in group)
        places = np.argwhere(core > 0)
        for voxel in np.ndindex(self.shape):
            away = ((places - voxel) ** 2).sum(1)
            seen = [(d, firsts[core[tuple(p)]]) for d, p in zip(away, places, strict=True) if d <= far]
            best = min(seen)[1] if seen else None
            assert firsts.get(given[voxel]) == best
        return (given[:, 0] if self.in_3d else given).tolist()


def marked(*rows):
    return np.array([[letter == "#" for letter in row] for row in rows])


@pytest.mark.parametrize("in_3d", [False, True])
def test_a_new_voxel_wins_ties_if_its_core_begins_first(in_3d):
    moving = Moving(COLUMNS, marked(".#...#.", ".....#.", "......."), in_3d)
    assert moving.given()[1] == [1, 1, 1, 3, 3, 3, 3]
    moving.make(1, 1)
    assert moving.given()[1] == [1, 1, 1, 1, 3, 3, 3]


@pytest.mark.parametrize("in_3d", [False, True])
def test_a_new_voxel_loses_ties_if_its_core_begins_later(in_3d):
    moving = Moving(COLUMNS, marked(".#...#.", ".#.....", "......."), in_3d)
    assert moving.given()[1] == [1, 1, 1, 1, 3, 3, 3]
    moving.make(1, 5)
    assert moving.given()[1] == [1, 1, 1, 1, 3, 3, 3]


@pytest.mark.parametrize("in_3d", [False, True])
def test_a_core_that_begins_earlier_now_wins_the_ties_it_had_lost(in_3d):
    moving = Moving(COLUMNS, marked(".....#.", ".#...#.", "......."), in_3d)
    assert [row[3] for row in moving.given()] == [3, 3, 3]
    moving.make(0, 1)
    assert [row[3] for row in moving.given()] == [1, 1, 1]


@pytest.mark.parametrize("in_3d", [False, True])
def test_a_core_that_begins_later_now_loses_the_ties_it_had_won(in_3d):
    moving = Moving(FOUR, marked("...#..#..", "....#.#..", "....#...."), in_3d)
    assert [row[5] for row in moving.given()] == [4, 2, 2]
    moving.make(0, 2)  # takes the first voxel of the second piece, beside it
    assert [row[5] for row in moving.given()] == [4, 4, 2]
