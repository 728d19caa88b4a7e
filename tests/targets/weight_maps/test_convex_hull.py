"""The digital convex hull against convex combinations, and against formulas for lattice points."""

from math import comb
from tracemalloc import get_traced_memory, start, stop

import numpy as np
import pytest
from slow_weight_maps import slow_hull

from nnunet_ext.targets.weight_maps import convex_hull as _convex_hull
from nnunet_ext.targets.weight_maps.convex_hull import convex_hull

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("seed", range(40))
def test_hull_equals_convex_combinations(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 8 if seed % 2 else 5, 2 + (seed % 2 == 0))
    part = rng.random(shape) < rng.uniform(0.05, 0.5)
    expected = slow_hull(part)
    np.testing.assert_array_equal(convex_hull(part), expected)
    monkeypatch.setattr(_convex_hull, "_AT_A_TIME", 1)  # row by row, as of large cells
    np.testing.assert_array_equal(convex_hull(part), expected)


def test_hull_of_a_large_cell_takes_little_memory():
    """All facets of this ball for all lines at once would be 100 MB."""
    z, y, x = np.ogrid[-30:31, -30:31, -30:31]
    ball = z**2 + y**2 + x**2 <= 900
    dented = ball & ~((abs(z) < 5) & (x > 5))
    convex_hull(dented[28:33, 28:33, 28:33])  # what is imported, is
    start()
    hull = convex_hull(dented)
    peak = get_traced_memory()[1]
    stop()
    assert np.all(dented <= hull)
    assert np.all(hull <= ball)
    assert hull.sum() > dented.sum()
    assert peak < 30e6


def test_hull_of_flat_and_straight_cells():
    diagonal = np.zeros((7, 7), bool)
    diagonal[[0, 6], [0, 6]] = True
    np.testing.assert_array_equal(convex_hull(diagonal), np.eye(7, dtype=bool))
    steep = np.zeros((7, 4), bool)
    steep[[0, 6], [0, 3]] = True  # passes through the centres of every second row only
    np.testing.assert_array_equal(np.argwhere(convex_hull(steep)), [[0, 0], [2, 1], [4, 2], [6, 3]])
    slanted = np.zeros((5, 5, 5), bool)  # the plane z = y, with a hole
    slanted[np.arange(5), np.arange(5)] = True
    full = slanted.copy()
    slanted[2, 2, 1:4] = False
    np.testing.assert_array_equal(convex_hull(slanted), full)
    assert not convex_hull(np.zeros((3, 3), bool)).any()


@pytest.mark.parametrize("size", [3, 30, 300])
def test_hull_of_a_triangle_has_the_lattice_points_of_picks_theorem(size):
    corners = np.zeros((size + 1, 2 * size + 1), bool)
    corners[[0, size, size], [0, 0, 2 * size]] = True
    border = size + 2 * size + size  # voxels: along both legs, and those the hypotenuse meets
    assert np.count_nonzero(convex_hull(corners)) == size * size + border // 2 + 1


@pytest.mark.parametrize("size", [3, 40])
def test_hull_of_a_tetrahedron_has_the_tetrahedral_number_of_lattice_points(size):
    corners = np.zeros((size + 1,) * 3, bool)
    corners[[0, size, 0, 0], [0, 0, size, 0], [0, 0, 0, size]] = True
    assert np.count_nonzero(convex_hull(corners)) == comb(size + 3, 3)
