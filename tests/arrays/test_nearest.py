"""The two ways to find the nearest core agree, and distances are exact."""

import itertools

import numpy as np
import pytest

from nnunet_ext.arrays.nearest import (
    NO_CORE,
    CoreTree,
    look_around,
    near_offsets,
    squared_steps,
)
from nnunet_ext.instances import from_semantic

SPACINGS = [None, (2.5, 1.0), (0.1, 0.7), (1.0, 1.0, 1.0), (5.0, 1.0, 1.0), (0.3, 0.21, 0.17)]


@pytest.mark.parametrize("spacing", SPACINGS)
def test_near_offsets_are_all_there_and_in_order(spacing):
    ndim = len(spacing or (1, 1))
    steps = np.asarray(squared_steps((100,) * ndim, spacing))
    groups = near_offsets(tuple(steps))
    lengths = [set((group**2 @ steps).tolist()) for group in groups]
    assert all(len(length) == 1 for length in lengths)
    lengths = [length.pop() for length in lengths]
    assert lengths == sorted(set(lengths))
    there = {tuple(offset) for group in groups for offset in group.tolist()}
    for offset in itertools.product(range(-14, 15), repeat=ndim):
        squared = np.asarray(offset) ** 2 @ steps
        assert (0 < squared <= lengths[-1]) == (offset in there)


@pytest.mark.parametrize("spacing", [s for s in SPACINGS if s])
def test_whole_numbers_order_offsets_as_the_distances_do(spacing):
    steps = np.asarray(squared_steps((500,) * len(spacing), spacing))
    offsets = np.random.default_rng(0).integers(-200, 200, (2000, len(spacing)))
    exact = offsets**2 @ steps
    distance = ((offsets * spacing) ** 2).sum(1) / min(spacing) ** 2
    np.testing.assert_allclose(exact / min(steps), distance, rtol=1e-4)
    order = np.argsort(distance)
    clearly = np.diff(distance[order]) > 1e-4 * distance[order][1:]
    assert (np.diff(exact[order])[clearly] > 0).all()


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 1.0), (1.0, 1.0, 1.0), (0.5, 0.2, 0.2)])
def test_tree_and_neighbours_agree_also_on_ties(spacing):
    rng = np.random.default_rng(0)
    shape = (15,) * len(spacing)
    steps = squared_steps(shape, spacing)
    groups = near_offsets(steps)
    margin = np.abs(np.concatenate(groups)).max(0)
    cores = np.full(shape + 2 * margin, NO_CORE)
    inner = tuple(slice(m, m + n) for m, n in zip(margin, shape, strict=True))
    # Many cores of few voxels: ties everywhere.
    cores[inner] = np.where(rng.random(shape) < 0.1, rng.integers(0, 1000, shape), NO_CORE)
    empty = np.argwhere(cores[inner] == NO_CORE)
    near = look_around(cores, np.ravel_multi_index((empty + margin).T, cores.shape), groups)
    points = np.argwhere(cores[inner] != NO_CORE)
    tree = CoreTree(points, cores[inner][tuple(points.T)], steps)
    found = near != NO_CORE
    assert found.mean() > 0.9
    np.testing.assert_array_equal(tree.nearest(empty, threads=1)[found], near[found])


def test_the_tree_looks_at_all_of_many_equally_near_points():
    angle = [(3, 4), (4, 3), (5, 0), (0, 5)]
    points = np.unique(
        [(a * x, b * y) for a, b in itertools.product((-1, 1), repeat=2) for x, y in angle], axis=0
    )
    assert len(points) == 12
    for first in range(12):
        cores = np.roll(np.arange(12, dtype=np.uint32), first)
        tree = CoreTree(points, cores, (1, 1))
        assert tree.nearest(np.zeros((1, 2), np.int64), threads=1) == 0
        low, high = tree.bounds(np.zeros((1, 2), np.int64), threads=1)
        assert (low <= -5).all()
        assert (high >= 5).all()


def test_axes_that_are_multiples_of_each_other_tie_exactly():
    assert squared_steps((5, 5, 3), (0.235, 0.5, 1.0)) == (2209, 10000, 40000)
    assert squared_steps((508, 1024, 1024), (0.5, 0.2, 0.2)) == (25, 4, 4)
    assert squared_steps((9, 9), (3.0, 3.0)) == (1, 1)
    # at (3, 4, 0) both cores are √(3² · 0.235² + 1) away: the first one counts
    labels = np.zeros((5, 5, 3), np.uint8)
    labels[0, 2, 0] = labels[0, 4, 1] = 1
    labels[3, 4, 0] = 2
    instances = from_semantic(labels, spacing=(0.235, 0.5, 1.0))
    assert instances[3, 4, 0] == instances[0, 2, 0] == 1
