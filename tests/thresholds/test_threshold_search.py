"""Thresholds from histograms, against all increasing thresholds tried out on the voxels themselves."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_ext.thresholds.chain import ChainCounts
from nnunet_ext.thresholds.dice import dice_per_case, dice_tables, mean_dice
from nnunet_ext.thresholds.histograms import candidates, level_histogram
from nnunet_ext.thresholds.search import best_thresholds, objective


def slow_dice(cases, thresholds, regions):
    """Mean Dice per class as in nnU-Net's summary, of segmentations made voxel by voxel."""
    means = []
    for level in range(1, len(thresholds) + 1):
        values = []
        for activation, truth in cases:
            found = (activation[:, None] > thresholds).sum(1)
            one, other = (found >= level, truth >= level) if regions else (found == level, truth == level)
            size = one.sum() + other.sum()
            if size:
                values.append(2 * (one & other).sum() / size)
        nowhere = not any((truth >= level if regions else truth == level).any() for _, truth in cases)
        means.append(np.nan if nowhere else np.mean(values))
    return np.array(means)


def slow_best(cases, edges, levels, regions, wanted):
    """The largest mean Dice of wanted classes over all increasing thresholds."""
    choices = combinations(range(len(edges)), levels)
    return max(objective(slow_dice(cases, edges[list(c)], regions), wanted) for c in choices)


def random_cases(seed, levels, edges, voxels=40):
    """Few cases with noisy activations, some on a threshold; classes are missing here and there."""
    generator = np.random.default_rng(seed)
    cases = []
    for _ in range(generator.integers(1, 5)):
        truth = generator.integers(0, generator.integers(1, levels + 2), voxels)
        activation = np.clip(truth + generator.normal(0.1, 0.5, voxels), 0, levels).astype(np.float32)
        activation[:4] = generator.choice(edges, 4)
        cases.append((activation, truth))
    return cases


def counts_of(cases, levels, edges):
    return np.stack([level_histogram(a, truth, levels, edges) for a, truth in cases])


def edges_of(levels):
    """Nine thresholds, whole numbers among them."""
    return np.unique(np.append(np.linspace(0.05, levels - 0.1, 9 - levels), range(1, levels))).astype(
        np.float32
    )


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 3), st.booleans(), st.data())
def test_search_equals_trying_all(seed, levels, regions, data):
    edges = edges_of(levels)
    cases = random_cases(seed, levels, edges)
    counts = counts_of(cases, levels, edges)
    if data.draw(st.booleans()):
        wanted = np.arange(levels) == data.draw(st.integers(0, levels - 1))
    else:
        wanted = np.ones(levels, bool)
    presets = edges[:levels].tolist()
    tables = dice_tables(counts, np.arange(len(edges)), regions)
    chosen = best_thresholds(tables, edges, presets, wanted, tolerance=0)
    assert sorted(set(chosen)) == chosen
    found = objective(slow_dice(cases, edges[chosen], regions), wanted)
    best = slow_best(cases, edges, levels, regions, wanted)
    assert found == pytest.approx(best, nan_ok=True)

    loose = best_thresholds(tables, edges, presets, wanted, tolerance=0.02)
    if not np.isnan(best):
        assert objective(slow_dice(cases, edges[loose], regions), wanted) >= best - 0.02 - 1e-9
        assert sorted(set(loose)) == loose


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_dice_of_histograms_is_that_of_segmentations(levels, regions):
    edges = edges_of(levels)
    for seed in range(10):
        cases = random_cases(seed, levels, edges)
        counts = counts_of(cases, levels, edges)
        tables = dice_tables(counts, np.arange(len(edges)), regions)
        for chosen in combinations(range(len(edges)), levels):
            slow = slow_dice(cases, edges[list(chosen)], regions)
            np.testing.assert_allclose(mean_dice(counts, chosen, regions), slow)
            of_tables = [
                table[chosen[k], chosen[k + 1] if table.shape[1] > 1 else 0] for k, table in enumerate(tables)
            ]
            np.testing.assert_allclose(of_tables, slow)


def test_literal_dice():
    """Truth 0 1 1 2, activations .2 .4 1.2 1.4, θ = .5 and 1.3: found 0 0 1 2."""
    edges = np.array([0.5, 1.3], np.float32)
    activation, truth = np.array([0.2, 0.4, 1.2, 1.4], np.float32), np.array([0, 1, 1, 2])
    counts = level_histogram(activation, truth, 2, edges)
    assert counts.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(dice_per_case(counts[None], [0, 1], False), [[2 / 3, 1]])
    np.testing.assert_allclose(dice_per_case(counts[None], [0, 1], True), [[4 / 5, 1]])


def test_an_activation_on_the_threshold_stays_outside():
    """Scores are equal there, and argmax takes the first."""
    edges = np.array([0.5], np.float32)
    counts = level_histogram(
        np.array([0.5, np.nextafter(np.float32(0.5), 1)], np.float32), np.array([1, 1]), 1, edges
    )
    assert counts.tolist() == [[0, 0], [1, 1]]


def test_candidates_keep_off_whole_numbers():
    thresholds = candidates([2 / 3, 4 / 3])
    assert thresholds.dtype == np.float32
    assert len(thresholds) == 202
    assert (np.diff(thresholds) > 0).all()
    assert thresholds[[0, -1]].tolist() == pytest.approx([0.005, 1.995])
    assert np.abs(thresholds - np.round(thresholds)).min() > 0.0049
    assert np.float32(2 / 3) in thresholds
    assert np.float32(4 / 3) in thresholds


@pytest.fixture
def two_levels():
    """Saturated activations with a little between: any θ1 in 0.3 … 1 and θ2 in 1.6 … 2 is perfect."""
    activation = np.array([0] * 50 + [0.3] * 5 + [1.0] * 30 + [1.6] * 5 + [2.0] * 10, np.float32)
    truth = np.array([0] * 55 + [1] * 35 + [2] * 10)
    return activation, truth


def chain_of(case, presets, folds=1):
    edges = candidates(presets)
    counts = counts_of([case], 2, edges)
    return ChainCounts(("cell", "nucleus"), presets, False, edges, [counts] * folds)


def test_the_middle_of_a_plateau_unless_the_preset_is_on_it(two_levels):
    both = np.ones(2, bool)
    chain = chain_of(two_levels, [2 / 3, 4 / 3])
    theta = chain.best(chain.pooled, both)
    np.testing.assert_allclose(theta, [2 / 3, 1.8], atol=0.006)
    np.testing.assert_allclose(chain.mean_dice(chain.pooled, theta), [1, 1])

    off = chain_of(two_levels, [0.1, 1.7])
    np.testing.assert_allclose(off.best(off.pooled, both), [0.65, 1.7], atol=0.006)


def test_a_threshold_no_wanted_class_depends_on_stays(two_levels):
    chain = chain_of(two_levels, [0.1, 4 / 3])
    theta = chain.best(chain.pooled, np.array([False, True]))
    np.testing.assert_allclose(theta, [0.1, 1.8], atol=0.006)
    # the cell's Dice depends on both
    theta = chain.best(chain.pooled, np.array([True, False]))
    np.testing.assert_allclose(theta, [0.65, 1.8], atol=0.006)


def test_a_class_in_no_reference_does_not_count(two_levels):
    activation, truth = two_levels
    chain = chain_of((activation, np.minimum(truth, 1)), [0.1, 4 / 3])
    assert np.isnan(chain.mean_dice(chain.pooled, np.array([0.1, 4 / 3], np.float32))).tolist() == [
        False,
        True,
    ]
    theta = chain.best(chain.pooled, np.ones(2, bool))
    np.testing.assert_allclose(theta, [0.65, 1.8], atol=0.006)  # level 2 takes from the cell: little of it
    nowhere = chain_of((activation, np.zeros_like(truth)), [2 / 3, 4 / 3])
    np.testing.assert_allclose(nowhere.best(nowhere.pooled, np.ones(2, bool)), [2 / 3, 4 / 3], rtol=1e-6)


def test_curves_move_one_threshold_between_its_neighbours(two_levels):
    chain = chain_of(two_levels, [2 / 3, 4 / 3])
    theta = chain.best(chain.pooled, np.ones(2, bool))
    for level, (low, high) in enumerate([(0, 1.8), (2 / 3, 2)]):
        values, dice = chain.curves(chain.pooled, theta, level)
        assert values[0] > low
        assert values[-1] < high
        assert (np.diff(values) > 0).all()
        for value, row in zip(values[::20], dice[::20], strict=True):
            moved = np.where(np.arange(2) == level, value, theta)
            np.testing.assert_allclose(row, slow_dice([two_levels], moved, False))
        assert dice.mean(1).max() == pytest.approx(1)
