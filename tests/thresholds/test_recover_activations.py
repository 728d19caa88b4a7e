"""Activations read off probabilities: the inverse of head and softmax, or head and sigmoids."""

import numpy as np
import pytest
import torch

from nnunet_ext.networks.multilevel import MultiLevelHead
from nnunet_ext.nnunet_files.hierarchy import hierarchy_of
from nnunet_ext.thresholds.predictions import recover_activations

LABELS = {"background": 0, "a": 1, "b": 2, "c": 3, "d": 4, "e": 5}
DATASETS = {
    "binary": {"labels": {"background": 0, "a": 1}},
    "chain": {"labels": LABELS},
    "inside out": {"labels": LABELS, "nesting": ["e", "d", "c", "b", "a"]},
    "flat": {"labels": LABELS, "nesting": {name: {} for name in "abcde"}},
    "fork": {"labels": LABELS, "nesting": {"d": {"b": {"a": {}, "c": {"e": {}}}}}},
    "forest": {"labels": LABELS, "nesting": {"c": {"a": {}, "e": {}}, "d": {"b": {}}}},
    "regions": {"labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "inner": [3]}},
    "region tree": {"labels": {"background": 0, "cell": [1, 2], "nucleus": [2], "debris": [3]}},
}


def model(name, seed=0, shape=(7, 5, 11)):
    """Hierarchy, increasing thresholds, activations with saturated stretches, and their probabilities."""
    generator = np.random.default_rng(seed)
    hierarchy = hierarchy_of(DATASETS[name])
    lengths = [len(chain) for chain in hierarchy.chains]
    thresholds = [np.sort(generator.uniform(0.05, m - 0.05, m)).tolist() for m in lengths]
    activations = [np.clip(generator.uniform(-0.3, m + 0.3, shape), 0, m) for m in lengths]
    return hierarchy, thresholds, activations, probabilities(hierarchy, thresholds, activations)


def probabilities(hierarchy, thresholds, activations):
    head = MultiLevelHead(hierarchy, thresholds, 10.0, 1.0).double()
    scores = head.scores([torch.from_numpy(a)[None] for a in activations])[0]
    return (scores.sigmoid() if hierarchy.regions else scores.softmax(0)).numpy()


@pytest.mark.parametrize("name", DATASETS)
def test_gives_back_the_activations(name):
    hierarchy, thresholds, activations, p = model(name)
    recovered, strange = recover_activations(p.astype(np.float32), hierarchy, thresholds)
    assert len(recovered) == len(activations)
    for found, true, theta in zip(recovered, activations, thresholds, strict=True):
        assert found.dtype == np.float32
        assert found.shape == true.shape
        # a probability near 1 has a digit less for every e in its odds
        away = np.abs(true[..., None] - theta).min(-1) if hierarchy.regions else np.zeros_like(true)
        assert (away < 1).mean() > 0.5
        assert (np.abs(found - true) <= 2e-6 + 1e-7 * np.exp(8 * away)).all()
    assert not strange.any()


def test_literal_probabilities():
    """Two labels: log(p1 / p0) = 8 (a - θ1) and log(p2 / p1) = 8 (a - θ2)."""
    hierarchy = hierarchy_of({"labels": {"background": 0, "cell": 1, "nucleus": 2}})
    p = np.exp([[0.0, 0, 0], [-4.0, 4.0, 10.0], [-16.0, 0.0, 12.0]])  # a = 0, 1, 1.75 with θ = 0.5, 1.5
    (a,), strange = recover_activations((p / p.sum(0)).astype(np.float32), hierarchy, [[0.5, 1.5]])
    np.testing.assert_allclose(a, [0, 1, 1.75], atol=1e-6)
    assert not strange.any()


def test_deep_chains_lose_nothing():
    """With 16 levels the first and the last probability differ by e^128: one of them is always 0."""
    labels = {"background": 0, **{f"c{k}": k for k in range(1, 17)}}
    hierarchy = hierarchy_of({"labels": labels})
    thresholds = [[level - 0.5 for level in range(1, 17)]]
    true = np.linspace(0, 16, 301)
    p = probabilities(hierarchy, thresholds, [true]).astype(np.float32)
    assert (p == 0).any(0).sum() > 50
    (a,), strange = recover_activations(p, hierarchy, thresholds)
    np.testing.assert_allclose(a, true, atol=1e-5)
    assert not strange.any()


@pytest.mark.parametrize("name", ["chain", "fork", "regions"])
def test_what_was_cropped_away_is_level_0(name):
    """Outside of the crop nnU-Net writes 1 for the background, 0 for all else."""
    hierarchy, thresholds, activations, p = model(name)
    p[:, :2] = 0
    if not hierarchy.regions:
        p[0, :2] = 1
    p = p.astype(np.float32)
    with np.errstate(all="raise"):
        recovered, strange = recover_activations(p, hierarchy, thresholds)
    assert all((a[:2] == 0).all() for a in recovered)
    error = 2e-3 if hierarchy.regions else 2e-6
    near = np.abs(activations[0][2:, ..., None] - thresholds[0]).min(-1) < 1.2
    np.testing.assert_allclose(recovered[0][2:][near], activations[0][2:][near], atol=error)
    assert not strange.any()


@pytest.mark.parametrize("name", DATASETS)
def test_other_thresholds_are_strange(name):
    hierarchy, thresholds, _, p = model(name, seed=3)
    moved = [[theta + 0.2 * (level + 1) for level, theta in enumerate(chain)] for chain in thresholds]
    strange = recover_activations(p.astype(np.float32), hierarchy, moved)[1]
    # of one level only an activation beyond 0 or 1 tells
    single = all(len(chain) == 1 for chain in thresholds)
    assert strange.mean() > (0.2 if single else 0.9)


def test_regions_far_beyond_their_thresholds_are_of_the_last_level():
    """float32 has no number between the probability and 1."""
    hierarchy = hierarchy_of(DATASETS["regions"])
    p = probabilities(hierarchy, [[0.1, 0.2, 0.3]], [np.array([0.0, 0.25, 2.9])]).astype(np.float32)
    assert (p[:, 2] == 1).all()
    (a,), strange = recover_activations(p, hierarchy, [[0.1, 0.2, 0.3]])
    np.testing.assert_allclose(a, [0, 0.25, 3], atol=1e-6)
    assert not strange.any()


def test_the_input_is_left_alone():
    hierarchy, thresholds, _, p = model("fork")
    p = p.astype(np.float32)
    before = p.copy()
    recover_activations(p, hierarchy, thresholds)
    np.testing.assert_array_equal(p, before)
