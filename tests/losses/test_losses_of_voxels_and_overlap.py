"""Cross-entropy, focal, Tversky, region-wise and Skeleton Recall against loops that follow the formulas."""

import itertools
import math

import pytest
import torch
from every_loss import SHAPES, draw, perfect_logits, random_logits
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from scipy.ndimage import distance_transform_edt

from nnunet_ext.losses import (
    CrossEntropyLoss,
    LossWithTerm,
    cross_entropy,
    focal_loss,
    region_wise_loss,
    skeleton_recall_loss,
    tversky_loss,
)

DIMENSIONS = pytest.mark.parametrize("shape", [(5, 6), (3, 4, 5)], ids=["2d", "3d"])
BOTH = pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
MASKED = pytest.mark.parametrize("masked", [False, True], ids=["all counted", "mask"])


def sample(shape, regions, masked, seed=0):
    """Logits, target, mask of noise: two samples, three classes or two regions."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (2, 1, *shape), generator=generator)
    logits = 2 * random_logits(labels, regions).detach()
    target = torch.cat([labels > 0, labels > 1], 1) if regions else labels
    mask = torch.rand(labels.shape, generator=generator) > 0.4 if masked else None
    return logits.requires_grad_(), target, mask


def voxels(target, mask):
    """Index of every counted voxel."""
    places = itertools.product(*map(range, (len(target), *target.shape[2:])))
    return [(b, *v) for b, *v in places if mask is None or mask[(b, 0, *v)]]


def probability(logits, regions, b, v, channel):
    """Of one channel at one voxel; differentiable."""
    if regions:
        return 1 / (1 + torch.exp(-logits[(b, channel, *v)]))
    powers = [torch.exp(logits[(b, c, *v)]) for c in range(logits.shape[1])]
    return powers[channel] / sum(powers)


def is_there(target, regions, b, v, channel):
    return bool(target[(b, channel, *v)]) if regions else int(target[(b, 0, *v)]) == channel


def assert_equal_with_gradient(result, expected, logits):
    torch.testing.assert_close(result, expected)
    gradient = torch.autograd.grad(result, logits)[0]
    assert gradient.abs().max() > 1e-4
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0])


# cross-entropy and focal loss


@DIMENSIONS
@BOTH
@MASKED
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_and_cross_entropy(shape, regions, masked, gamma):
    logits, target, mask = sample(shape, regions, masked)
    terms = []
    for b, *v in voxels(target, mask):
        for channel in range(logits.shape[1]):
            there = is_there(target, regions, b, v, channel)
            if regions or there:
                p = probability(logits, regions, b, v, channel)
                p = p if there else 1 - p
                terms.append(-((1 - p) ** gamma) * torch.log(p))
    expected = sum(terms) / len(terms)
    assert_equal_with_gradient(focal_loss(logits, target, gamma, mask), expected, logits)
    if gamma == 0:
        torch.testing.assert_close(cross_entropy(logits, target, mask), expected)


@BOTH
def test_cross_entropy_is_nnunets(regions):
    """With an ignore label; of regions without one, since nnU-Net then adds them up."""
    logits, target, mask = sample((5, 6), regions, not regions)
    dice = {"batch_dice": True, "smooth": 1e-5, "do_bg": regions, "ddp": False}
    kind = {"dice_class": MemoryEfficientSoftDiceLoss}
    logits = logits.detach().float()
    if regions:
        stock = DC_and_BCE_loss({}, dice, **kind)
    else:
        target = target.masked_fill(~mask, 3)
        stock = DC_and_CE_loss(dice, {}, ignore_label=3, **kind)
    stock.weight_dice = 0
    ours = CrossEntropyLoss(regions=regions, ignore_label=None if regions else 3)
    torch.testing.assert_close(ours(logits, target), stock(logits, target))


def test_nothing_counted_is_no_loss_where_nnunets_cross_entropy_is_no_tensor():
    logits, target, _ = sample((5, 6), False, False)
    loss = CrossEntropyLoss(ignore_label=9)(logits, torch.full_like(target, 9))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_of_voxels_that_are_certain(gamma):
    """float32, in which 1 - p of a logit of 20 would be 0, and where γ < 1 has no slope at 0."""
    logits = torch.tensor([[[20.0, 200.0], [0.0, 0.0]]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([[[0, 0]]]), gamma)
    wrong = 1 / (1 + math.exp(20))
    assert loss.item() == pytest.approx(wrong**gamma * wrong / 2, rel=1e-5)
    loss.backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("gamma", [-1.0, math.nan, math.inf])
def test_gamma_is_checked(gamma):
    with pytest.raises(ValueError, match="gamma is 0 or a positive number"):
        focal_loss(torch.zeros(1, 2, 3), torch.zeros(1, 1, 3, dtype=torch.long), gamma)


# Tversky


@DIMENSIONS
@BOTH
@MASKED
@pytest.mark.parametrize("batch_dice", [False, True], ids=["per sample", "batch"])
def test_tversky(shape, regions, masked, batch_dice):
    logits, target, mask = sample(shape, regions, masked)
    groups = [[0, 1]] if batch_dice else [[0], [1]]
    terms = []
    for group, channel in itertools.product(groups, range(logits.shape[1])):
        tp = fp = fn = 0
        for b, *v in voxels(target, mask):
            if b in group:
                p, there = (
                    probability(logits, regions, b, v, channel),
                    is_there(target, regions, b, v, channel),
                )
                tp, fp, fn = tp + p * there, fp + p * (not there), fn + (1 - p) * there
        terms.append(1 - (tp + 1e-5) / (tp + 0.3 * fp + 0.7 * fn + 1e-5))
    expected = sum(terms) / len(terms)
    result = tversky_loss(logits, target, 0.3, 0.7, mask, batch_dice=batch_dice)
    assert_equal_with_gradient(result, expected, logits)


def test_tversky_with_halves_is_dice():
    logits, target, mask = sample((5, 6), True, True)
    target_with_mask = torch.cat([target, ~mask], 1)
    dice = {"batch_dice": True, "smooth": 0.0, "do_bg": True, "ddp": False}
    stock = DC_and_BCE_loss({}, dice, use_ignore_label=True, dice_class=MemoryEfficientSoftDiceLoss)
    stock.weight_ce = 0
    ours = tversky_loss(logits.float(), target, mask=mask, batch_dice=True)
    torch.testing.assert_close(ours, 1 + stock(logits.float(), target_with_mask))


def test_what_weighs_more_counts_more():
    logits = torch.tensor([[[-30.0, 30.0, 30.0, -30.0]]])  # one hit, one false positive, one false negative
    target = torch.tensor([[[0, 1, 0, 1]]])
    assert tversky_loss(logits, target, fp=1.0, fn=0.0).item() == pytest.approx(0.5, abs=1e-4)
    assert tversky_loss(logits, target, fp=0.0, fn=3.0).item() == pytest.approx(0.75, abs=1e-4)
    with pytest.raises(ValueError, match="fp and fn are 0 or positive numbers; got -1 and"):
        tversky_loss(logits, target, fp=-1)


# region-wise


def depth_of(inside):
    """The rectified map of a mask, without its sign: distance inside over the largest."""
    distances = distance_transform_edt(inside)
    return distances / distances.max()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@BOTH
@MASKED
def test_region_wise(shape, regions, masked):
    labels = draw(shape)
    logits = random_logits(labels, regions)
    target = torch.cat([labels > 0, labels > 1], 1) if regions else labels
    mask = torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) > 0.3 if masked else None
    channels = target if regions else torch.cat([labels == c for c in range(3)], 1)
    z = torch.ones(channels.shape, dtype=torch.float64)
    distances = torch.zeros(target.shape)
    for b, c in itertools.product(range(2), range(channels.shape[1])):
        inside = channels[b, c].numpy()
        depth = torch.from_numpy(depth_of(inside))
        z[b, c][channels[b, c]] = -depth[channels[b, c]]
        distances[b, c if regions else 0] += (depth * channels[b, c]).float()
    p = logits.sigmoid() if regions else logits.softmax(1)
    counted = torch.ones_like(labels, dtype=torch.bool) if mask is None else mask
    expected = (p * z)[counted.expand_as(p)].mean()
    result = region_wise_loss(logits, target, distances.double(), mask)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-7)
    gradient = torch.autograd.grad(result, logits)[0]
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0], rtol=1e-4, atol=1e-8)


def test_region_wise_wants_maps_that_fit():
    logits, target, _ = sample((5, 6), False, False)
    for distances in (torch.zeros(2, 3, 5, 6), torch.zeros(2, 1, 5, 6, dtype=torch.long)):
        with pytest.raises(ValueError, match=r"distances are floating \(2, 1, 5, 6\)"):
            region_wise_loss(logits, target, distances)


# Skeleton Recall


@DIMENSIONS
@BOTH
@MASKED
@pytest.mark.parametrize("batch_dice", [False, True], ids=["per sample", "batch"])
@pytest.mark.parametrize("per_class", [False, True], ids=["together", "per class"])
def test_skeleton_recall(shape, regions, masked, batch_dice, per_class):
    logits, target, mask = sample(shape, regions, masked)
    generator = torch.Generator().manual_seed(2)
    tubes = (torch.rand(2, 2 if per_class else 1, *shape, generator=generator) > 0.5).float()
    groups = [[0, 1]] if batch_dice else [[0], [1]]
    terms = []
    for group, structure in itertools.product(groups, range(2)):
        channel = structure if regions else structure + 1
        found = there = 0
        for b, *v in voxels(target, mask):
            in_tube = tubes[(b, structure if per_class else 0, *v)] and is_there(
                target, regions, b, v, channel
            )
            if b in group and in_tube:
                found, there = found + probability(logits, regions, b, v, channel), there + 1
        terms.append(-(found + 1e-5) / (there + 1e-5))
    expected = sum(terms) / len(terms)
    result = skeleton_recall_loss(logits, target, tubes, mask, batch_dice=batch_dice)
    assert_equal_with_gradient(result, expected, logits)


def test_skeleton_recall_of_an_absent_class_is_one():
    labels = torch.tensor([[[0, 1, 1, 0]]])  # of three classes
    loss = skeleton_recall_loss(perfect_logits(labels, False), labels, torch.ones(1, 1, 4))
    assert loss.item() == pytest.approx(-1)
    wrong = skeleton_recall_loss(-perfect_logits(labels, False), labels, torch.ones(1, 1, 4))
    assert wrong.item() == pytest.approx(-0.5, abs=1e-4)
    with pytest.raises(ValueError, match=r"tubes are \(1, 1, 4\) or \(1, 2, 4\)"):
        skeleton_recall_loss(perfect_logits(labels, False), labels, torch.ones(1, 3, 4))


# a loss with a further term


class Noted(torch.nn.Module):
    """Returns a number and notes what it was called with."""

    def __init__(self, value):
        super().__init__()
        self.value, self.calls = value, []

    def forward(self, *given):
        self.calls.append(given)
        return torch.tensor(self.value)


def test_a_term_gets_the_maps_and_may_wait():
    term, base = Noted(3.0), Noted(5.0)
    loss = LossWithTerm(term, base, weight=2.0, base_weight=0.5)
    assert loss("logits", "target", "maps") == 8.5
    assert (term.calls, base.calls) == ([("logits", "target", "maps")], [("logits", "target")])
    loss.begun = False
    assert loss("logits", "target", "maps") == 2.5
    assert len(term.calls) == 1  # and costs nothing
    assert LossWithTerm(term, weight=2.0)("logits", "target") == 6
