"""Thresholds from histograms, against all increasing thresholds tried out on the voxels themselves."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnunet_ext.evaluation.summary import nan_mean
from nnunet_ext.figures.thresholds import curves
from nnunet_ext.thresholds import dice
from nnunet_ext.thresholds.dice import Chain, candidates, level_histogram

NAMES = ("cell", "nucleus", "nucleolus")


@pytest.fixture
def coarse(monkeypatch):
    """Few thresholds to choose from, so that all can be tried out."""
    monkeypatch.setattr(dice, "STEPS", 3)


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
    return max(nan_mean(slow_dice(cases, edges[list(c)], regions)[wanted]) for c in choices)


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


def chain_of(cases, presets, regions=False, others=()):
    """A chain of cases of one fold, with its edges: candidates, and others."""
    edges = np.union1d(candidates(presets), np.array(others, np.float32))
    counts = np.stack([level_histogram(a, truth, len(presets), edges) for a, truth in cases])
    return Chain(NAMES[: len(presets)], slice(0, len(presets)), presets, regions, edges, [counts])


def presets_of(levels):
    """Whole numbers are among them, which activations often are exactly."""
    return [0.4, 1.0, 2.7][:levels]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(1, 3), st.booleans(), st.data())
def test_search_equals_trying_all(coarse, seed, levels, regions, data):
    presets = presets_of(levels)
    edges = candidates(presets)
    cases = random_cases(seed, levels, edges)
    chain = chain_of(cases, presets, regions)
    if data.draw(st.booleans()):
        wanted = np.arange(levels) == data.draw(st.integers(0, levels - 1))
    else:
        wanted = np.ones(levels, bool)
    found = chain.best(wanted, tolerance=0)
    assert (np.diff(found) > 0).all()
    best = slow_best(cases, edges, levels, regions, wanted)
    assert nan_mean(slow_dice(cases, found, regions)[wanted]) == pytest.approx(best, nan_ok=True)

    loose = chain.best(wanted, tolerance=0.02)
    assert (np.diff(loose) > 0).all()
    if not np.isnan(best):
        assert nan_mean(slow_dice(cases, loose, regions)[wanted]) >= best - 0.02 - 1e-9


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_dice_of_histograms_is_that_of_segmentations(coarse, levels, regions):
    edges = candidates(presets_of(levels))
    for seed in range(10):
        cases = random_cases(seed, levels, edges)
        chain = chain_of(cases, presets_of(levels), regions, others=[0.77])
        tables = [chain.pair_dice(level) for level in range(levels)]
        for chosen in combinations(range(len(edges)), levels):
            slow = slow_dice(cases, edges[list(chosen)], regions)
            np.testing.assert_allclose(chain.mean_dice(edges[list(chosen)]), slow)
            of_tables = [
                table[chosen[k], chosen[k + 1] if table.shape[1] > 1 else 0] for k, table in enumerate(tables)
            ]
            np.testing.assert_allclose(of_tables, np.nan_to_num(slow))
        other = np.array([0.77, *edges[-levels:][1:]], np.float32)
        np.testing.assert_allclose(chain.mean_dice(other), slow_dice(cases, other, regions))


def test_folds_count_alone_or_together():
    folds = [random_cases(seed, 2, candidates([0.5, 1.5])) for seed in (1, 2)]
    chain = chain_of(folds[0], [0.5, 1.5])
    chain.folds.extend(chain_of(folds[1], [0.5, 1.5]).folds)
    theta = np.array([0.5, 1.5], np.float32)
    for fold, cases in (0, folds[0]), (1, folds[1]), (None, folds[0] + folds[1]):
        assert chain.dice(theta, fold).shape == (len(cases), 2)
        np.testing.assert_allclose(chain.mean_dice(theta, fold), slow_dice(cases, theta, False))


def test_literal_dice():
    """Truth 0 1 1 2, activations .2 .4 1.2 1.4, θ = .5 and 1.3: found 0 0 1 2."""
    edges = np.array([0.5, 1.3], np.float32)
    activation, truth = np.array([0.2, 0.4, 1.2, 1.4], np.float32), np.array([0, 1, 1, 2])
    counts = level_histogram(activation, truth, 2, edges)
    assert counts.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    for regions, expected in (False, [2 / 3, 1]), (True, [4 / 5, 1]):
        chain = Chain(NAMES[:2], slice(0, 2), [0.5, 1.3], regions, edges, [counts[None]])
        np.testing.assert_allclose(chain.dice(edges), [expected])


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


def test_the_middle_of_a_plateau_unless_the_preset_is_on_it(two_levels):
    both = np.ones(2, bool)
    chain = chain_of([two_levels], [2 / 3, 4 / 3])
    theta = chain.best(both)
    np.testing.assert_allclose(theta, [2 / 3, 1.795], rtol=1e-6)
    np.testing.assert_allclose(chain.mean_dice(theta), [1, 1])
    np.testing.assert_allclose(chain_of([two_levels], [0.1, 1.7]).best(both), [0.645, 1.7], rtol=1e-6)


def test_a_threshold_no_wanted_class_depends_on_stays(two_levels):
    chain = chain_of([two_levels], [0.1, 4 / 3])
    np.testing.assert_allclose(chain.best(np.array([False, True])), [0.1, 1.795], rtol=1e-6)
    # the cell's Dice depends on both
    np.testing.assert_allclose(chain.best(np.array([True, False])), [0.645, 1.795], rtol=1e-6)


def test_a_class_in_no_reference_does_not_count(two_levels):
    activation, truth = two_levels
    chain = chain_of([(activation, np.minimum(truth, 1))], [0.1, 4 / 3])
    both = np.ones(2, bool)
    assert np.isnan(chain.mean_dice(np.array([0.1, 4 / 3], np.float32))).tolist() == [False, True]
    # level 2 takes from the cell: little of it
    np.testing.assert_allclose(chain.best(both), [0.645, 1.795], atol=0.011)
    nowhere = chain_of([(activation, np.zeros_like(truth))], [2 / 3, 4 / 3])
    np.testing.assert_allclose(nowhere.best(both), [2 / 3, 4 / 3], rtol=1e-6)


def test_curves_move_one_threshold_between_its_neighbours(two_levels):
    chain = chain_of([two_levels], [2 / 3, 4 / 3])
    theta = chain.best(np.ones(2, bool))
    for level, (low, high) in enumerate([(0, 1.8), (2 / 3, 2)]):
        values, dice_there = curves(chain, theta, level)
        assert values[0] > low
        assert values[-1] < high
        assert (np.diff(values) > 0).all()
        for value, row in zip(values[::20], dice_there[::20], strict=True):
            moved = np.where(np.arange(2) == level, value, theta)
            np.testing.assert_allclose(row, slow_dice([two_levels], moved, False))
        assert dice_there.mean(1).max() == pytest.approx(1)
