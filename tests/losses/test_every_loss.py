"""What every loss promises, whatever it measures; its formula is in the test of its own."""

import pytest
import torch
from every_loss import (
    IGNORE,
    LOSSES,
    SHAPES,
    as_nnunet_loads,
    draw,
    form,
    perfect_logits,
    random_logits,
)

BOTH = pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
EVERY = pytest.mark.parametrize("name", LOSSES)
DIMENSIONS = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def problem(name, shape, regions, ignored=True, seed=0):
    """A loss as a function of logits alone, and the labels."""
    case, labels = LOSSES[name], draw(shape, seed=seed, ignored=ignored)
    loss, target = case.make(**form(regions, ignored)), as_nnunet_loads(labels, regions, ignored)
    maps = case.maps_of(labels, regions, ignored)
    return lambda logits: loss(logits, target, *maps), labels


def gradient_of(loss, logits):
    return torch.autograd.grad(loss(logits), logits)[0]


@EVERY
@BOTH
@DIMENSIONS
def test_a_perfect_prediction_is_the_minimum_and_a_random_one_has_a_gradient(name, shape, regions):
    loss, labels = problem(name, shape, regions)
    best = loss(perfect_logits(labels, regions))
    for seed in range(3):
        logits = random_logits(labels, regions, seed=seed)
        assert loss(logits) > best + 0.05
        assert gradient_of(loss, logits).abs().max() > 1e-4
        # half way to the truth is better
        assert loss(0.5 * logits + 0.01 * perfect_logits(labels, regions)) < loss(logits)


@EVERY
@BOTH
@DIMENSIONS
def test_gradcheck(name, shape, regions):
    loss, labels = problem(name, tuple(edge // 2 + 1 for edge in shape), regions)
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(loss, random_logits(labels, regions), fast_mode=True)


@EVERY
@BOTH
def test_ignored_voxels_have_no_influence(name, regions):
    loss, labels = problem(name, SHAPES["2d"], regions)
    logits = random_logits(labels, regions)
    ignored = (labels == IGNORE).expand_as(logits)
    gradient = gradient_of(loss, logits)
    assert (gradient[ignored] == 0).all()
    assert (gradient[~ignored] != 0).any()
    changed = logits.detach().masked_fill(ignored, 50.0).requires_grad_()
    torch.testing.assert_close(loss(changed), loss(logits))
    torch.testing.assert_close(gradient_of(loss, changed), gradient)


@EVERY
@BOTH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32(name, regions, dtype):
    loss, labels = problem(name, (64, 64), regions)
    logits = random_logits(labels, regions, dtype)
    value = loss(logits)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), loss(logits.double()).double(), rtol=1e-5, atol=1e-6)
    gradient = gradient_of(loss, logits)
    assert gradient.dtype == dtype
    with torch.autocast("cpu", torch.bfloat16):  # as in a training: autocast is on around the loss
        torch.testing.assert_close(loss(logits), value, rtol=1e-5, atol=1e-6)


@EVERY
@BOTH
@pytest.mark.parametrize("what", ["all background", "all one class", "one class absent", "all ignored"])
def test_patches_without_a_class_or_anything(name, regions, what):
    labels = draw(SHAPES["2d"])
    if what == "one class absent":
        labels[labels == 2] = 1
    else:
        labels[:] = {"all background": 0, "all one class": 1, "all ignored": IGNORE}[what]
    case, target = LOSSES[name], as_nnunet_loads(labels, regions, ignored=True)
    maps, loss = case.maps_of(labels, regions, True), case.make(**form(regions, True))
    logits = random_logits(labels, regions)
    value = loss(logits, target, *maps)
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    assert what != "all ignored" or (gradient == 0).all()
    if what != "all ignored":
        assert loss(perfect_logits(labels, regions), target, *maps) <= value


@EVERY
def test_a_label_that_is_not_declared_is_refused(name):
    labels = draw(SHAPES["2d"])
    maps = LOSSES[name].maps_of(labels, False, False)
    labels[0, 0, 0, 0] = 7
    with pytest.raises(IndexError, match="label 7, but the labels are 0 to 2"):
        LOSSES[name].make()(random_logits(labels, False), labels, *maps)


@EVERY
@BOTH
def test_compiled_equals_eager(name, regions):
    loss, labels = problem(name, SHAPES["2d"], regions)
    logits = random_logits(labels, regions)
    compiled = torch.compile(loss, backend="aot_eager")
    torch.testing.assert_close(compiled(logits), loss(logits))
    torch.testing.assert_close(gradient_of(compiled, logits), gradient_of(loss, logits))
