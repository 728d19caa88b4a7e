"""Weighted cross-entropy against a loop over voxels that follows the formula."""

import itertools
import math

import pytest
import torch
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from nnunet_ext.losses import WeightedCrossEntropy, weighted_cross_entropy

SHAPES = {"2d": (5, 6), "3d": (4, 3, 5)}


def naive(logits, target, weight_map, mask=None):
    """Sum of w · CE over the sum of w, one voxel at a time; differentiable."""
    regions = target.shape == logits.shape
    channels = range(logits.shape[1])
    total, norm = torch.zeros((), dtype=logits.dtype), 0.0
    for b, *v in itertools.product(*map(range, (len(target), *target.shape[2:]))):
        if mask is not None and not mask[(b, 0, *v)]:
            continue
        weight = float(weight_map[(b, 0, *v)])
        if regions:
            rights = [1 if target[(b, c, *v)] else -1 for c in channels]
            terms = [torch.log(1 + torch.exp(-s * logits[(b, c, *v)])) for c, s in enumerate(rights)]
            entropy = sum(terms) / len(terms)
        else:
            exponentials = [torch.exp(logits[(b, c, *v)]) for c in channels]
            entropy = -torch.log(exponentials[int(target[(b, 0, *v)])] / sum(exponentials))
        total, norm = total + weight * entropy, norm + weight
    return total / norm


def sample(shape=(5, 6), regions=False, dtype=torch.float64, channels=3):
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, channels, *shape, generator=generator, dtype=torch.float64)
    if regions:
        target = torch.rand(logits.shape, generator=generator) > 0.6
    else:
        target = torch.randint(0, channels, (2, 1, *shape), generator=generator)
    weight_map = 5 * torch.rand(2, 1, *shape, generator=generator, dtype=torch.float64)
    mask = torch.rand(2, 1, *shape, generator=generator) > 0.4
    return logits.to(dtype).requires_grad_(), target, weight_map, mask


def gradient_of(loss, logits):
    return torch.autograd.grad(loss, logits)[0]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
@pytest.mark.parametrize("masked", [False, True], ids=["all counted", "mask"])
def test_equals_the_loop(shape, regions, masked):
    logits, target, weight_map, mask = sample(shape, regions)
    mask = mask if masked else None
    result = weighted_cross_entropy(logits, target, weight_map, mask)
    expected = naive(logits, target, weight_map, mask)
    torch.testing.assert_close(result, expected)
    gradient = gradient_of(result, logits)
    assert gradient.abs().max() > 1e-3
    torch.testing.assert_close(gradient, gradient_of(expected, logits))


def test_literal():
    """Weights 3, 1, 0: the third voxel does not count."""
    logits = torch.tensor([[[0.0, 0.0, 9.0], [0.0, math.log(3), 0.0]]])
    loss = weighted_cross_entropy(logits, torch.tensor([[[0, 0, 1]]]), torch.tensor([[[3.0, 1.0, 0.0]]]))
    assert loss.item() == pytest.approx((3 * math.log(2) + math.log(4)) / 4)


@pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
def test_equal_weights_are_the_plain_mean_whatever_their_unit(regions):
    logits, target, weight_map, _ = sample(regions=regions)
    plain = (
        binary_cross_entropy_with_logits(logits, target.double())
        if regions
        else cross_entropy(logits, target[:, 0])
    )
    for weight in (1e-9, 1.0, 1e6):
        weights = torch.full_like(weight_map, weight)
        torch.testing.assert_close(weighted_cross_entropy(logits, target, weights), plain)


@pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
def test_perfect_prediction_is_the_minimum(regions):
    logits, target, weight_map, _ = sample(regions=regions)
    perfect = target.double() if regions else torch.zeros_like(logits).scatter(1, target, 1)
    assert weighted_cross_entropy(100 * (perfect - 0.5), target, weight_map) < 1e-12
    assert weighted_cross_entropy(logits, target, weight_map) > 0.5


@pytest.mark.parametrize("mask", [None, "nothing counted"])
def test_no_weight_is_no_loss_but_keeps_the_graph(mask):
    logits, target, weight_map, counted = sample()
    weights = weight_map if mask else torch.zeros_like(weight_map)
    loss = weighted_cross_entropy(logits, target, weights, torch.zeros_like(counted) if mask else None)
    assert loss.item() == 0
    assert torch.equal(gradient_of(loss, logits), torch.zeros_like(logits))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
def test_half_precision_is_computed_in_float32(dtype, regions):
    logits, target, weight_map, mask = sample((32, 32), regions, dtype)
    weight_map = 1e4 * weight_map  # their sum is beyond float16
    loss = weighted_cross_entropy(logits, target, weight_map.float(), mask)
    expected = weighted_cross_entropy(logits.double(), target, weight_map, mask)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)
    assert gradient_of(loss, logits).dtype == dtype


@pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
def test_ignored_voxels_may_hold_anything(regions):
    logits, target, weight_map, mask = sample(regions=regions)
    strange = target if regions else target.masked_fill(~mask, 99)
    loss = weighted_cross_entropy(logits, strange, weight_map.masked_fill(~mask, math.nan), mask)
    torch.testing.assert_close(loss, weighted_cross_entropy(logits, target, weight_map, mask))
    assert torch.all(gradient_of(loss, logits)[(~mask).expand_as(logits)] == 0)


@pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
def test_module_reads_nnunets_target(regions):
    logits, target, weight_map, mask = sample(regions=regions)
    loaded = torch.cat([target, ~mask], 1) if regions else target.masked_fill(~mask, 3).to(torch.int16)
    loss = WeightedCrossEntropy(regions=regions, ignore_label=3)
    expected = weighted_cross_entropy(logits, target, weight_map, mask)
    torch.testing.assert_close(loss(logits, loaded, weight_map), expected)


@pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
def test_dice_term_is_nnunets_own(regions):
    """nnU-Net's loss without its cross-entropy, on nnU-Net's target with an ignore label."""
    logits, target, weight_map, mask = sample(regions=regions, dtype=torch.float32)
    loaded = torch.cat([target, ~mask], 1) if regions else target.masked_fill(~mask, 3).to(torch.int16)
    settings = {"batch_dice": True, "smooth": 1e-5, "do_bg": regions, "ddp": False}
    kinds = {"dice_class": MemoryEfficientSoftDiceLoss}
    stock = (
        DC_and_BCE_loss({}, settings, use_ignore_label=True, **kinds)
        if regions
        else DC_and_CE_loss(settings, {}, ignore_label=3, **kinds)
    )
    stock.weight_ce = 0
    both = WeightedCrossEntropy(stock, regions=regions, ignore_label=3)(logits, loaded, weight_map.float())
    alone = WeightedCrossEntropy(regions=regions, ignore_label=3)(logits, loaded, weight_map.float())
    p = (logits.sigmoid() if regions else logits.softmax(1)) * mask
    y = (target if regions else torch.zeros_like(logits).scatter(1, target, 1)) * mask
    p, y = (p, y) if regions else (p[:, 1:], y[:, 1:])
    axes = (0, 2, 3)
    dice = ((2 * (p * y).sum(axes) + 1e-5) / (p.sum(axes) + y.sum(axes) + 1e-5)).mean()
    torch.testing.assert_close(both, alone - dice)
    assert dice > 0.1


@pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
def test_gradcheck(regions):
    logits, target, weight_map, mask = sample((2, 3), regions)
    assert torch.autograd.gradcheck(lambda z: weighted_cross_entropy(z, target, weight_map, mask), logits)


def test_compiled_equals_eager():
    logits, target, weight_map, mask = sample()
    compiled = torch.compile(weighted_cross_entropy, backend="aot_eager")
    result = compiled(logits, target, weight_map, mask)
    torch.testing.assert_close(result, weighted_cross_entropy(logits, target, weight_map, mask))


@pytest.mark.parametrize(
    "weight_map",
    [torch.ones(2, 5, 6), torch.ones(2, 3, 5, 6), torch.ones(2, 1, 5, 5), torch.ones(2, 1, 5, 6).long()],
    ids=["no channel", "three channels", "wrong edge", "integers"],
)
def test_a_map_that_does_not_fit_is_refused(weight_map):
    logits, target, _, _ = sample()
    with pytest.raises(ValueError, match=r"weight_map is floating \(2, 1, 5, 6\)"):
        weighted_cross_entropy(logits, target, weight_map)
