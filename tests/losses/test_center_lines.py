"""The soft skeleton against its definition step by step, and the two losses that are made of it."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from every_loss import draw, random_logits
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_ext.losses import centerline_cross_entropy, cldice_loss, soft_skeleton
from nnunet_ext.losses.soft_skeleton import VOXELS_AT_ONCE

SHAPES = {"1d": (9,), "2d": (9, 11), "3d": (5, 7, 6)}
BOTH = pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
MASKED = pytest.mark.parametrize("masked", [False, True], ids=["all counted", "mask"])


def shifted(x, offsets, outside):
    """(number of offsets, *x.shape): every voxel's neighbours, `outside` beyond the border."""
    axes = x.dim() - 2
    padded = F.pad(x, (1, 1) * axes, value=outside)
    views = [
        padded[(..., *(slice(1 + o, 1 + o + edge) for o, edge in zip(offset, x.shape[2:], strict=True)))]
        for offset in offsets
    ]
    return torch.stack(views)


def erode(x):
    axes = x.dim() - 2
    cross = [
        tuple(step if a == axis else 0 for a in range(axes)) for axis in range(axes) for step in (-1, 0, 1)
    ]
    return shifted(x, cross, torch.inf).amin(0)


def dilate(x):
    return shifted(x, itertools.product((-1, 0, 1), repeat=x.dim() - 2), -torch.inf).amax(0)


def by_definition(x, steps):
    """As the authors write it down; differentiable."""
    result = F.relu(x - dilate(erode(x)))
    for _ in range(steps):
        x = erode(x)
        thin = F.relu(x - dilate(erode(x)))
        result = result + F.relu(thin - result * thin)
    return result


def smooth(shape, seed=0, dtype=torch.float64):
    """Probabilities in blobs, no two alike."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, 2, *shape, generator=generator, dtype=torch.float64)
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(shape) - 1]
    return (4 * pool(noise, 3, 1, 1)).sigmoid().to(dtype).requires_grad_()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("steps", [0, 1, 3, 10])
def test_skeleton_is_its_definition(shape, steps):
    x = smooth(shape)
    weights = torch.rand(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    expected, found = by_definition(x, steps), soft_skeleton(x, steps)
    assert 0.1 < expected.max() <= 1
    torch.testing.assert_close(found, expected)
    wanted = torch.autograd.grad((expected * weights).sum(), x)[0]
    assert wanted.abs().max() > 0.1
    torch.testing.assert_close(torch.autograd.grad((found * weights).sum(), x)[0], wanted)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_float32_takes_another_way_to_the_same_gradient(shape):
    double = smooth(shape)
    single = double.detach().float().requires_grad_()
    weights = torch.rand(double.shape, generator=torch.Generator().manual_seed(1))
    gradients = []
    for x in (single, double):
        found = soft_skeleton(x, 3)
        gradients.append(torch.autograd.grad((found * weights).sum(), x)[0])
        torch.testing.assert_close(found.double(), by_definition(double, 3), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradients[0].double(), gradients[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64], ids=str)
def test_of_a_mask(shape, kind):
    mask = (smooth(shape) > 0.55).to(kind)
    found = soft_skeleton(mask, 4)
    assert found.dtype == kind
    torch.testing.assert_close(found.double(), by_definition(mask.double(), 4))
    assert found.any()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.sampled_from([0.0, 0.5, 1.0]))
def test_ties_and_saturated_values(seed, steps, share):
    """Probabilities of exactly 0 and 1, and few different ones: values as defined, finite gradients."""
    rng = np.random.default_rng(seed)
    x = rng.choice([0.0, 0.25, 0.5, 1.0], (1, 2, 6, 7)) if rng.random() < share else rng.random((1, 2, 6, 7))
    x = torch.from_numpy(np.where(rng.random(x.shape) < 0.3, rng.integers(0, 2, x.shape), x)).requires_grad_()
    found = soft_skeleton(x, steps)
    torch.testing.assert_close(found, by_definition(x, steps))
    gradient = torch.autograd.grad(found.sum(), x)[0]
    assert torch.isfinite(gradient).all()
    single = x.detach().float().requires_grad_()
    torch.testing.assert_close(
        torch.autograd.grad(soft_skeleton(single, steps).sum(), single)[0].double(),
        gradient,
        rtol=1e-3,
        atol=1e-3,
    )


def test_a_lonely_certain_voxel_keeps_its_gradient():
    """δ is exactly 1 there, so 1 - S is 0, and the other factors have to be known without dividing by it."""
    x = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    x[0, 0, 2, 2] = 1
    x.requires_grad_()
    gradient = torch.autograd.grad(soft_skeleton(x, 3)[0, 0, 2, 2], x)[0]
    assert gradient[0, 0, 2, 2] == 1


def kept_bytes(function, *inputs):
    """Memory that autograd keeps for the backward pass, without the inputs."""
    known, storages = {x.untyped_storage().data_ptr() for x in inputs}, {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            storages[storage.data_ptr()] = storage  # kept alive, so that no other gets its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = function()
    assert result.requires_grad
    return sum(storage.nbytes() for storage in storages.values())


def test_of_a_skeleton_nothing_is_kept_but_itself():
    x = smooth((32, 32), dtype=torch.float32)
    assert kept_bytes(lambda: by_definition(x, 10), x) > 100 * x.nbytes
    assert kept_bytes(lambda: soft_skeleton(x, 10), x) == x.nbytes


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("voxels", [1, 200, 2**30])
def test_how_many_maps_are_worked_on_at_once_changes_nothing(shape, voxels, monkeypatch):
    """A CPU takes one at a time, a GPU several."""
    x = torch.cat([smooth(shape, seed, torch.float32).detach() for seed in range(3)]).requires_grad_()
    weights = torch.rand(x.shape, generator=torch.Generator().manual_seed(1))
    found = []
    for at_once in (1, voxels):
        monkeypatch.setitem(VOXELS_AT_ONCE, "cpu", at_once)
        skeleton = soft_skeleton(x, 3)
        found.append([skeleton, *torch.autograd.grad((skeleton * weights).sum(), x)])
        found[-1].append(soft_skeleton((x > 0.55).to(torch.uint8), 3))
    for one, several in zip(*found, strict=True):
        assert torch.equal(one, several)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_skeleton_of_half_precision_is_computed_in_float32(dtype):
    half = smooth((32, 32), dtype=dtype).detach().requires_grad_()
    single = half.detach().float().requires_grad_()
    found, expected = soft_skeleton(half, 10), soft_skeleton(single, 10)
    assert found.dtype == dtype
    assert torch.equal(found, expected.to(dtype))
    gradient = torch.autograd.grad(found.sum(), half)[0]
    assert torch.equal(gradient, torch.autograd.grad(expected.sum(), single)[0].to(dtype))


@pytest.mark.parametrize("order", ["transposed", "channels last", "strided"])
def test_any_memory_order(order):
    x = smooth((16, 18), dtype=torch.float32).detach()
    x = {
        "transposed": x.transpose(2, 3),
        "channels last": x.contiguous(memory_format=torch.channels_last),
        "strided": x[:, :, ::2, 1::3],
    }[order].requires_grad_()
    assert not x.is_contiguous()
    found, expected = soft_skeleton(x, 3), by_definition(x, 3)
    torch.testing.assert_close(found, expected)
    weights = torch.rand(x.shape, generator=torch.Generator().manual_seed(1))
    gradients = [torch.autograd.grad((each * weights).sum(), x)[0] for each in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 9, 8), (1, 1, 7), (2, 1, 3), (1, 1, 1)], ids=str)
def test_edges_of_one_or_two_voxels(shape):
    """A volume of one slice is a picture; what has no neighbour is its own opening."""
    x = smooth((9, 9, 9)).detach()[(..., *map(slice, shape))].requires_grad_()
    found = soft_skeleton(x, 2)
    torch.testing.assert_close(found, by_definition(x, 2))
    if shape[0] == 1:
        torch.testing.assert_close(found[:, :, 0], soft_skeleton(x[:, :, 0], 2))
    assert torch.isfinite(torch.autograd.grad(found.sum(), x)[0]).all()


@pytest.mark.parametrize("steps", [1, 4])
def test_what_is_too_thick_for_the_steps_has_no_skeleton_in_its_middle(steps):
    """Bars of 2k + 2 voxels have, thicker ones have not."""
    for thickness in range(1, 2 * steps + 5):
        bar = torch.zeros(1, 1, 40, 60, dtype=torch.uint8)
        bar[..., 10 : 10 + thickness, 5:55] = 1
        middle = soft_skeleton(bar, steps)[0, 0, :, 30]
        assert bool(middle.any()) == (thickness <= 2 * steps + 2)


def test_nan_is_not_hidden():
    """A training in half precision finds out by it that its step was too large."""
    labels = draw((12, 14))
    logits = random_logits(labels, False, torch.float32).detach()
    logits[0, 1, 5, 5] = torch.nan
    logits.requires_grad_()
    for loss in (cldice_loss, centerline_cross_entropy):
        value = loss(logits, labels, 3)
        assert value.isnan()
        assert torch.autograd.grad(value, logits)[0].isnan().any()


@pytest.mark.parametrize(
    ("x", "steps", "error", "text"),
    [
        (torch.zeros(1, 1, 3, dtype=torch.int64), 1, TypeError, "floating, or a mask in uint8"),
        (torch.zeros(3, 3), 1, ValueError, r"\(B, C, \*spatial\)"),
        (torch.zeros(1, 1, 3), -1, ValueError, "steps is 0 or more"),
        (torch.tensor([[[-3.0, 0.5]]]), 1, ValueError, "from 0 to 1; got -3 to 0.5. Are these logits"),
        (torch.tensor([[[2, 1]]], dtype=torch.uint8), 1, ValueError, "from 0 to 1; got 1 to 2"),
        (torch.tensor([[[0.5, 1 + 2**-23]]]), 1, ValueError, "from 0 to 1; got 0.5 to 1.00000012"),
    ],
)
def test_what_is_no_probability_is_refused(x, steps, error, text):
    with pytest.raises(error, match=text):
        soft_skeleton(x, steps)


# the losses


def masked_problem(shape, regions, masked):
    labels = draw(shape)
    logits = (2 * random_logits(labels, regions).detach()).requires_grad_()
    target = torch.cat([labels > 0, labels > 1], 1) if regions else labels
    mask = torch.rand(labels.shape, generator=torch.Generator().manual_seed(3)) > 0.2 if masked else None
    p = logits.sigmoid() if regions else logits.softmax(1)[:, 1:]
    y = (target if regions else torch.cat([labels == 1, labels == 2], 1)).double()
    if masked:
        p, y = p * mask, y * mask
    return logits, target, mask, p, y


@pytest.mark.parametrize("shape", [(12, 14), (6, 8, 7)], ids=["2d", "3d"])
@BOTH
@MASKED
@pytest.mark.parametrize("batch_dice", [False, True], ids=["per sample", "batch"])
def test_cldice(shape, regions, masked, batch_dice):
    logits, target, mask, p, y = masked_problem(shape, regions, masked)
    lines, true_lines = by_definition(p, 2), by_definition(y, 2)
    terms = []
    for group, c in itertools.product([[0, 1]] if batch_dice else [[0], [1]], range(2)):
        precision = ((lines[group, c] * y[group, c]).sum() + 1) / (lines[group, c].sum() + 1)
        sensitivity = ((true_lines[group, c] * p[group, c]).sum() + 1) / (true_lines[group, c].sum() + 1)
        terms.append(1 - 2 * precision * sensitivity / (precision + sensitivity))
    expected = sum(terms) / len(terms)
    found = cldice_loss(logits, target, 2, mask, batch_dice=batch_dice)
    assert_equal_with_gradient(found, expected, logits)


@pytest.mark.parametrize("shape", [(12, 14), (6, 8, 7)], ids=["2d", "3d"])
@BOTH
@MASKED
def test_centerline_cross_entropy(shape, regions, masked):
    logits, target, mask, p, y = masked_problem(shape, regions, masked)
    lines = by_definition(p, 3) + by_definition(y, 3)
    if regions:
        entropy = F.binary_cross_entropy_with_logits(logits, target.double(), reduction="none")
    else:
        entropy, lines = (
            F.cross_entropy(logits, target[:, 0], reduction="none")[:, None],
            lines.sum(1)[:, None],
        )
    counted = torch.ones_like(entropy, dtype=torch.bool) if mask is None else mask.expand_as(entropy)
    expected = (entropy * lines)[counted].sum() / counted.sum()
    assert_equal_with_gradient(centerline_cross_entropy(logits, target, 3, mask), expected, logits)


@BOTH
@pytest.mark.parametrize("loss", [cldice_loss, centerline_cross_entropy])
@pytest.mark.parametrize("logit", [torch.nan, torch.inf, -torch.inf, 1e4])
def test_any_logit_may_be_where_nothing_counts(logit, loss, regions):
    logits, target, mask, *_ = masked_problem((12, 14), regions, True)
    expected = loss(logits, target, 3, mask)
    changed = logits.detach().masked_fill(~mask, logit).requires_grad_()
    found = loss(changed, target, 3, mask)
    assert torch.equal(found, expected)
    gradients = [torch.autograd.grad(v, x)[0] for v, x in ((found, changed), (expected, logits))]
    assert torch.equal(*gradients)
    assert gradients[0].any()


@BOTH
@MASKED
@pytest.mark.parametrize("loss", [cldice_loss, centerline_cross_entropy])
def test_of_a_loss_nothing_is_kept_but_its_inputs(loss, regions, masked):
    logits, target, mask, *_ = masked_problem((64, 64), regions, masked)
    inputs = [target, mask] if masked else [target]
    for each in (logits, logits.detach().half().requires_grad_()):
        assert kept_bytes(lambda each=each: loss(each, target, 3, mask), each, *inputs) < 1000


def assert_equal_with_gradient(found, expected, logits):
    torch.testing.assert_close(found, expected)
    gradient = torch.autograd.grad(expected, logits)[0]
    assert gradient.abs().max() > 1e-4
    torch.testing.assert_close(torch.autograd.grad(found, logits)[0], gradient)


def test_a_broken_line_costs_more_than_a_thinner_one():
    """What the loss is for: as many voxels are missing, but one prediction is in two pieces."""
    truth = torch.zeros(1, 1, 9, 21, dtype=torch.long)
    truth[..., 3:6, 2:19] = 1
    broken, thinner = truth.clone(), truth.clone()
    broken[..., 3:6, 9:12] = 0
    thinner[..., 5, 2:11] = 0
    assert broken.sum() == thinner.sum()
    costs = [cldice_loss(60.0 * torch.cat([1 - each, each], 1) - 30, truth, 3) for each in (broken, thinner)]
    assert costs[0] > costs[1] + 0.05


@pytest.mark.parametrize("background_wins", [False, True])
def test_untrained_networks_learn(background_wins):
    """The fault of published versions: fed with logits the loss does not move."""
    labels = draw((12, 14))
    logits = random_logits(labels, False).detach()
    if background_wins:
        logits[:, 0] += 3
    logits.requires_grad_()
    before = cldice_loss(logits, labels, 3, batch_dice=True)
    for _ in range(30):
        loss = cldice_loss(logits, labels, 3, batch_dice=True)
        (gradient,) = torch.autograd.grad(loss, logits)
        logits = (logits - 50 * gradient).detach().requires_grad_()
    assert cldice_loss(logits, labels, 3, batch_dice=True) < 0.5 * before
