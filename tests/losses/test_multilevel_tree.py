"""The loss of a tree of nested and exclusive classes, put together by hand."""

import pytest
import torch
import torch.nn.functional as F

from nnunet_ext.losses import MultiLevelLoss
from nnunet_ext.losses.multilevel import mce, nce, sse
from nnunet_ext.networks.multilevel import MultiLevelHead
from nnunet_ext.nnunet_files.hierarchy import hierarchy_of

LOSSES = {"sse": sse, "mce": mce, "nce": nce}
CHAIN = {"labels": {"background": 0, "cell": 1, "nucleus": 2}}
TREE = {
    "labels": {"background": 0, "cell": 1, "nucleus": 2, "debris": 3},
    "nesting": {"cell": {"nucleus": {}}, "debris": {}},
}
REGIONS = {"labels": {"background": 0, "nucleus": 2, "cell": [1, 2], "debris": 3, "ignore": 4}}


def problem(channels, classes, shape=(8, 9), ignore=None):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((2, channels, *shape), generator=generator)
    target = torch.randint(0, classes, (2, 1, *shape), generator=generator)
    if ignore is not None:
        target[torch.rand(target.shape, generator=generator) < 0.2] = ignore
    return x, target


@pytest.mark.parametrize("shape", [(8, 9), (3, 8, 9)])
@pytest.mark.parametrize("ignore", [None, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_a_chain_is_the_plain_loss(name, ignore, shape):
    x, target = problem(1, 3, shape, ignore)
    loss = MultiLevelLoss(hierarchy_of(CHAIN), name, 8.0, 0.9, ignore_label=ignore)
    mask = None if ignore is None else target != ignore
    torch.testing.assert_close(loss(x, target), LOSSES[name](x, target, 2, 8.0, 0.9, mask))


@pytest.mark.parametrize("name", LOSSES)
def test_a_tree_by_hand(name):
    x, target = problem(2, 4)
    cell = torch.tensor([0, 1, 2, 0])[target]
    debris = torch.tensor([0, 0, 0, 1])[target]
    entries = torch.cat([torch.zeros(2, 1, 8, 9), 10 * (x[:, :1] + 0.5), 10 * x[:, 1:]], 1)
    choice = torch.tensor([0, 1, 1, 2])[target]
    expected = LOSSES[name](x[:, :1], cell, 2) + LOSSES[name](x[:, 1:], debris, 1)
    expected = expected + F.cross_entropy(entries, choice[:, 0])
    torch.testing.assert_close(MultiLevelLoss(hierarchy_of(TREE), name)(x, target), expected)


def test_regions_equal_labels():
    x, target = problem(2, 4, ignore=4)
    channels = [target == 2, (target == 1) | (target == 2), target == 3, target == 4]
    regions = torch.cat(channels, 1).float()
    by_label = MultiLevelLoss(hierarchy_of(TREE), "nce", ignore_label=4)(x, target)
    by_region = MultiLevelLoss(hierarchy_of(REGIONS), "nce", ignore_label=4)
    torch.testing.assert_close(by_region(x, regions), by_label)
    torch.testing.assert_close(by_region(x, regions.bool()), by_label)


def test_class_counts_weigh_every_level_and_every_choice():
    x, target = problem(2, 4)
    counts = [600, 250, 50, 100]
    loss = MultiLevelLoss(hierarchy_of(TREE), "mce")
    loss.use_class_counts(counts)
    cell, debris = torch.tensor([0, 1, 2, 0])[target], torch.tensor([0, 0, 0, 1])[target]
    of_cell = mce(x[:, :1], cell, 2, class_weights=torch.tensor([1000 / 700, 4.0, 20.0]))
    of_debris = mce(x[:, 1:], debris, 1, class_weights=torch.tensor([1000 / 900, 10.0]))
    entries = torch.cat([torch.zeros(2, 1, 8, 9), 10 * (x[:, :1] + 0.5), 10 * x[:, 1:]], 1)
    choice = torch.tensor([0, 1, 1, 2])[target][:, 0]
    weights = torch.tensor([1000 / 600, 1000 / 300, 10.0])
    of_choice = (weights[choice] * F.cross_entropy(entries, choice, reduction="none")).mean()
    torch.testing.assert_close(loss(x, target), of_cell + of_debris + of_choice)


def test_a_class_that_the_fold_lacks():
    x, target = problem(1, 2)
    loss = MultiLevelLoss(hierarchy_of(CHAIN), "mce")
    loss.use_class_counts([90, 10, 0])
    expected = mce(x, target, 2, class_weights=torch.tensor([100 / 90, 10.0, 0.0]))
    torch.testing.assert_close(loss(x, target), expected)


@pytest.mark.parametrize("json", [CHAIN, TREE, REGIONS])
@pytest.mark.parametrize("name", LOSSES)
def test_scores_of_a_network_in_evaluation_have_the_same_loss(name, json):
    hierarchy = hierarchy_of(json)
    head = MultiLevelHead(hierarchy, [[0.4, 1.7], [0.6]][: len(hierarchy.chains)], 10.0, 1.0).eval()
    x, target = problem(head.channels, 3)
    x = x.clamp(-1, 1)  # not saturated: there a score has no digits left for it
    if hierarchy.regions:
        target = torch.cat([target == 2, target > 0, torch.zeros_like(target) > 0, target > 9], 1)
    loss = MultiLevelLoss(
        hierarchy, name, read_scores=head.activations, ignore_label=4 if hierarchy.regions else None
    )
    in_training = loss(x, target)
    torch.testing.assert_close(loss.eval()(head(x), target), in_training, rtol=1e-4, atol=0)


@pytest.mark.parametrize("json", [CHAIN, TREE, REGIONS])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", [(8, 9), (3, 8, 9)])
def test_validation_loss_of_a_saturated_network_is_the_training_loss(name, json, shape):
    """No digits of a score say how far out its channel is, so the channels come along."""
    hierarchy = hierarchy_of(json)
    head = MultiLevelHead(hierarchy, [[0.4, 1.7], [0.6]][: len(hierarchy.chains)], 10.0, 1.0).eval()
    x, target = problem(head.channels, 3, shape)
    if hierarchy.regions:
        target = torch.cat([target == 2, target > 0, torch.zeros_like(target) > 0, target > 9], 1)
    ignore = 4 if hierarchy.regions else None
    loss = MultiLevelLoss(hierarchy, name, read_scores=head.activations, ignore_label=ignore)
    for scale in (1, 5, 40):
        expected = loss.train()(scale * x, target)
        assert torch.equal(loss.eval()(head(scale * x), target), expected)
        both = head([scale * x, x])  # deep supervision: each scale has its own
        assert torch.equal(loss(both[1], target), loss.train()(x, target))


def test_known_value_where_the_sigmoids_are_saturated():
    """A background of -20 where a nucleus is: κ (20 - 0.5) and log 2, less rounding."""
    hierarchy = hierarchy_of(CHAIN)
    head = MultiLevelHead(hierarchy, [[2 / 3, 4 / 3]], 10.0, 1.0).eval()
    loss = MultiLevelLoss(hierarchy, "mce", read_scores=head.activations).eval()
    scores = head(torch.full((1, 1, 4, 4), -20.0))
    assert float(loss(scores, torch.full((1, 1, 4, 4), 2))) == pytest.approx(195.693, abs=1e-3)


def test_channels_of_another_number_of_chains_are_refused():
    loss = MultiLevelLoss(hierarchy_of(CHAIN), "mce")
    with pytest.raises(ValueError, match=r"1 chains have as many channels; got \(2, 3, 8, 9\)"):
        loss.eval()(*problem(3, 3))  # scores, where channels are expected


def test_exclusive_chains_learn_apart():
    """A voxel claimed by both is drawn to its own: after some steps the scores give the right label."""
    hierarchy = hierarchy_of(TREE)
    target = torch.arange(4).repeat(5).reshape(1, 1, -1)
    for name in LOSSES:
        x = torch.ones(1, 2, 20, requires_grad=True)
        loss = MultiLevelLoss(hierarchy, name)
        optimizer = torch.optim.Adam([x], 0.05)
        for _ in range(150):
            optimizer.zero_grad()
            loss(x, target).backward()
            optimizer.step()
        head = MultiLevelHead(hierarchy, [[0.5, 1.5], [0.5]], 10.0, 1.0).eval()
        assert torch.equal(head(x).argmax(1)[0], target[0, 0]), name


def test_tables_are_moved_once():
    """A copy to the device in every iteration would make the host wait for it."""
    x, target = problem(2, 4)
    loss = MultiLevelLoss(hierarchy_of(TREE), "mce")
    loss.use_class_counts([700, 200, 50, 50])
    loss(x, target)
    before = {name: table.data_ptr() for name, table in loss._tables.items()}
    assert set(before) == {"levels", "chain 0", "chain 1", "among (0, 1)"}
    loss(x, target)
    assert {name: table.data_ptr() for name, table in loss._tables.items()} == before
    loss.use_class_counts([1, 1, 1, 1])  # and may be replaced
    assert loss._tables["chain 0"].tolist() == [2, 4, 4]
