"""Scores of nested classes: their largest must be what the thresholds say."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from torch import nn

from nnunet_ext.losses.multilevel import multi_level_activation
from nnunet_ext.networks.multilevel import MultiLevelHead, MultiLevelNetwork
from nnunet_ext.nnunet_files.hierarchy import hierarchy_of

TREES = {
    "chain": ({"a": 1, "b": 2, "c": 3}, ["a", "b", "c"]),
    "shuffled": ({"a": 3, "b": 1, "c": 2}, ["a", "b", "c"]),
    "siblings": ({"a": 1, "b": 2, "c": 3}, {"a": {"b": {}}, "c": {}}),
    "flat": ({"a": 1, "b": 2, "c": 3}, {"a": {}, "b": {}, "c": {}}),
    "fork": ({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, {"a": {"b": {"c": {}, "d": {"e": {}}}}}),
    "forest": ({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, {"a": {"c": {}, "d": {}}, "e": {"b": {}}}),
}


def dataset_json(name):
    labels, nesting = TREES[name]
    return {"labels": {"background": 0, **labels}, "nesting": nesting}


def head_of(json, seed=0):
    """A head with random increasing thresholds."""
    hierarchy = hierarchy_of(json)
    generator = torch.Generator().manual_seed(seed)
    lengths = [len(chain) for chain in hierarchy.chains]
    thresholds = [(torch.rand(m, generator=generator) * m).sort().values.tolist() for m in lengths]
    return MultiLevelHead(hierarchy, thresholds, 10.0, 1.0).eval()


def activations_of(head, seed, shape=(1, 200)):
    generator = torch.Generator().manual_seed(1000 + seed)
    return [torch.rand(shape, generator=generator) * m for m in head.lengths]


def by_walking(name, head, activations):
    """The label of one voxel: of all paths from the background inwards the one that gains most."""
    labels, nesting = TREES[name]
    chains = hierarchy_of(dataset_json(name)).chains
    where = {c: (j, level) for j, chain in enumerate(chains) for level, c in enumerate(chain)}
    thresholds = head.chain_thresholds()

    def best(tree):
        options = [(0.0, None)]
        for c, inner in tree.items():
            j, level = where[c]
            gain, deeper = best(inner)
            options.append((float(activations[j] - thresholds[j][level]) + gain, deeper or c))
        return max(options, key=lambda option: option[0])

    tree = nesting
    if isinstance(nesting, list):
        tree = {}
        for c in reversed(nesting):
            tree = {c: tree}
    found = best(tree)[1]
    return 0 if found is None else labels[found]


@pytest.mark.parametrize("name", TREES)
def test_largest_score_equals_walking_the_tree(name):
    for seed in range(4):
        head = head_of(dataset_json(name), seed)
        activations = activations_of(head, seed)
        got = head.scores(activations).argmax(1)[0]
        expected = [by_walking(name, head, [a[0, i] for a in activations]) for i in range(got.numel())]
        assert got.tolist() == expected
        assert len(set(expected)) > 2


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6))
def test_of_a_chain_it_equals_the_thresholds(m, seed):
    names = [f"c{i}" for i in range(1, m + 1)]
    head = head_of({"labels": {"background": 0, **{name: i + 1 for i, name in enumerate(names)}}}, seed)
    (a,) = activations_of(head, seed)
    a = a[(a - head.thresholds[:, None]).abs().amin(0, keepdim=True) > 1e-4][None]  # not on a threshold
    level = sum((a >= threshold).long() for threshold in head.thresholds)
    assert torch.equal(head.scores([a]).argmax(1), level)


@pytest.mark.parametrize("name", TREES)
def test_averaging_scores_is_averaging_activations(name):
    """What overlapping windows, mirrored predictions and folds of one model are."""
    head = head_of(dataset_json(name))
    windows = [activations_of(head, seed) for seed in range(3)]
    weights = torch.rand(3, 200, generator=torch.Generator().manual_seed(9))
    weights /= weights.sum(0)
    averaged = sum(w * head.scores(window) for w, window in zip(weights, windows, strict=True))
    of_average = [sum(w * a[j] for w, a in zip(weights, windows, strict=True)) for j in range(head.channels)]
    torch.testing.assert_close(averaged, head.scores(of_average))


@pytest.mark.parametrize("name", TREES)
def test_a_level_deeper_is_eight_times_its_excess(name):
    head = head_of(dataset_json(name))
    scores = head.scores(activations_of(head, 5))
    label = hierarchy_of(dataset_json(name)).own_label
    (first, *_), *_ = hierarchy_of(dataset_json(name)).chains
    excess = activations_of(head, 5)[0] - head.thresholds[0]
    torch.testing.assert_close(scores[:, label[first]], 8 * excess)


@pytest.mark.parametrize("thresholds", [[2 / 3, 4 / 3], [0.9, 1.78]])
def test_corners_of_a_volume_survive_half_precision(thresholds):
    """Where a tile has next to no weight nnU-Net rounds scores to whole numbers."""
    weights = compute_gaussian((32, 32, 32), 1 / 8, 10, torch.half, torch.device("cpu"))
    head = MultiLevelHead(
        hierarchy_of({"labels": {"background": 0, "a": 1, "b": 2}}), [thresholds], 10.0, 1.0
    )
    levels = torch.randint(0, 3, (1, 32, 32, 32), generator=torch.Generator().manual_seed(0))
    total = torch.zeros((3, 32, 32, 32), dtype=torch.half)
    total += head.scores([levels.float()])[0] * weights
    total /= weights
    assert (weights < 1e-7).sum() > 100
    assert torch.equal(total.argmax(0), levels[0])


@pytest.mark.parametrize("name", TREES)
def test_activations_are_read_off_the_scores(name):
    head = head_of(dataset_json(name))
    activations = activations_of(head, 3)
    for got, expected in zip(head.activations(head.scores(activations)), activations, strict=True):
        torch.testing.assert_close(got, expected)


def test_one_level_is_a_sigmoid_classifier():
    head = MultiLevelHead(hierarchy_of({"labels": {"background": 0, "a": 1}}), [[0.5]], 10.0, 1.0).eval()
    x = torch.randn(2, 1, 9, 9)
    assert torch.equal(head(x).argmax(1), (torch.sigmoid(10 * x[:, 0]) > 0.5).long())


@pytest.mark.parametrize(
    "labels",
    [
        {"whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]},
        {"enhancing": 3, "whole": [1, 2, 3], "core": [2, 3]},
        {"organ": [1, 2, 3], "cyst": 2, "tumour": 3},
    ],
)
def test_of_regions_each_has_its_threshold(labels):
    json = {"labels": {"background": 0, **labels}}
    hierarchy, head = hierarchy_of(json), head_of(json)
    activations = activations_of(head, 1)
    inside = torch.sigmoid(head.scores(activations)) > 0.5
    for channel, name in enumerate(labels):
        (j,) = [j for j, chain in enumerate(hierarchy.chains) if name in chain]
        threshold = head.chain_thresholds()[j][hierarchy.chains[j].index(name)]
        assert torch.equal(inside[:, channel], activations[j] > threshold)
    for chain in hierarchy.chains:
        for outer, inner in pairwise(chain):
            assert (inside[:, list(labels).index(outer)] | ~inside[:, list(labels).index(inner)]).all()
    for got, expected in zip(head.activations(head.scores(activations)), activations, strict=True):
        torch.testing.assert_close(got, expected)


def test_channels_in_training_and_scores_in_evaluation():
    head = head_of(dataset_json("siblings"))
    x = torch.randn(2, 2, 5, 5).half()
    scores = head(x)
    assert scores.shape == (2, 4, 5, 5)
    assert scores.dtype == torch.float32
    expected = [multi_level_activation(x[:, 0], 2), multi_level_activation(x[:, 1], 1)]
    torch.testing.assert_close(scores, head.scores(expected))
    assert torch.equal(head.train()(x), x.float())
    assert [scale.shape for scale in head([x, x[..., ::2]])] == [(2, 2, 5, 5), (2, 2, 5, 3)]


def test_thresholds_travel_with_the_weights():
    head = head_of(dataset_json("fork"), 1)
    other = head_of(dataset_json("fork"), 2)
    other.load_state_dict(head.state_dict())
    assert torch.equal(other.thresholds, head.thresholds)
    assert list(head.state_dict()) == ["thresholds", "gain"]


def test_deep_supervision_is_switched_where_nnunet_does():
    backbone = nn.Module()
    backbone.decoder = nn.Module()
    network = MultiLevelNetwork(backbone, head_of(dataset_json("chain")))
    network.decoder.deep_supervision = True
    assert backbone.decoder.deep_supervision


def test_as_many_thresholds_as_levels():
    with pytest.raises(ValueError, match="levels need as many thresholds"):
        MultiLevelHead(hierarchy_of(dataset_json("chain")), [[0.5]], 10.0, 1.0)


def test_the_gain_comes_before_everything():
    """In training for the loss, in evaluation for the scores: what the network gives counts g times."""
    hierarchy = hierarchy_of(dataset_json("fork"))
    thresholds = head_of(dataset_json("fork")).chain_thresholds()
    heads = [
        MultiLevelHead(hierarchy, [t.tolist() for t in thresholds], 10.0, 1.0, gain) for gain in (1.0, 0.2)
    ]
    z = torch.randn(2, heads[0].channels, 30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(heads[1].train()(z), 0.2 * z)
    torch.testing.assert_close(heads[1].eval()(z), heads[0].eval()(0.2 * z))
    assert not torch.allclose(heads[1](z), heads[0](z))


def test_models_from_before_the_gain_predict_as_they_did():
    old = head_of(dataset_json("chain"), seed=1)
    content = {key: value for key, value in old.state_dict().items() if key != "gain"}
    hierarchy = hierarchy_of(dataset_json("chain"))
    head = MultiLevelHead(hierarchy, [[0.1, 0.2, 0.3]], 10.0, 1.0, gain=0.2).eval()
    network = nn.Sequential(head)
    network.load_state_dict({f"0.{key}": value for key, value in content.items()}, strict=True)
    z = torch.randn(2, 1, 30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(z), old(z))
    head.load_state_dict({**content, "gain": torch.tensor(0.5)})
    torch.testing.assert_close(head(z), old(0.5 * z))
