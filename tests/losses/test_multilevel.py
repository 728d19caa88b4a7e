"""The multi-level activation and its losses against a loop over voxels."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_ext.losses.multilevel import (
    inverse_activation,
    mce,
    multi_level_activation,
    nce,
    preset_thresholds,
    sse,
)

LOSSES = {"sse": sse, "mce": mce, "nce": nce}


def activation(x, m, kappa, h):
    return sum(1 / (1 + math.exp(-kappa * (x + h * (n - (m + 1) / 2)))) for n in range(1, m + 1))


def softplus(u):
    return math.log1p(math.exp(10 * u)) / 10


def one_voxel(name, x, y, m, kappa=10.0, h=1.0):
    a = activation(x, m, kappa, h)
    if name == "sse":
        return (a - y) ** 2
    if name == "mce":
        return -math.log(1 - abs(a - y) / max(y, m - y))
    if y == 0:
        return -math.log(softplus(1 - a))
    if y == m:
        return -math.log(softplus(a - (m - 1)))
    on_this_side = (y == 1) if a < y else (y == m - 1)
    return -math.log(1 - abs(a - y) if on_this_side else softplus(1 - abs(a - y)))


@pytest.mark.parametrize("shape", [(2, 1, 7, 5), (1, 1, 3, 4, 5)])
@pytest.mark.parametrize("m", [1, 2, 3, 4])
@pytest.mark.parametrize("name", LOSSES)
def test_equals_a_loop_over_voxels(name, m, shape):
    generator = torch.Generator().manual_seed(m)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    target = torch.randint(0, m + 1, shape, generator=generator)
    mask = torch.rand(shape, generator=generator) < 0.7
    kappa, h = 6.0, 0.8
    losses = [
        one_voxel(name, a, y, m, kappa, h)
        for a, y, counts in zip(
            x.flatten().tolist(), target.flatten().tolist(), mask.flatten().tolist(), strict=True
        )
        if counts
    ]
    target[~mask] = 99  # may be anything
    got = LOSSES[name](x, target, m, kappa, h, mask)
    # where the tent of an inner class meets the softplus, at the top, they differ by 5e-6
    assert got.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name, m):
    generator = torch.Generator().manual_seed(m)
    x = torch.randn((1, 1, 4, 5), generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, m + 1, x.shape, generator=generator)
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, target, m, 4.0), (x,))


@pytest.mark.parametrize("m", [1, 2, 3, 6])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_finite_however_far_off(name, m, dtype):
    x = torch.linspace(-100, 100, 401).to(dtype).reshape(1, 1, -1).requires_grad_()
    for y in range(m + 1):
        loss = LOSSES[name](x, torch.full(x.shape, y), m)
        (gradient,) = torch.autograd.grad(loss, x)
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("m", [1, 2, 4])
def test_mce_pulls_however_far_off(m):
    """Where a float has a = 0 or m, as saturated sigmoids give it, the gradient must not vanish."""
    x = torch.tensor([-100.0, 100.0]).reshape(1, 1, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(mce(x, torch.tensor([[[m, 0]]]), m), x)
    torch.testing.assert_close(gradient, torch.tensor([[[-5.0, 5.0]]]), atol=1e-3, rtol=0)  # κ / 2 voxels


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_float32(name):
    x = torch.randn(2, 1, 30, generator=torch.Generator().manual_seed(0)).half()
    target = torch.randint(0, 3, x.shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(LOSSES[name](x, target, 2), LOSSES[name](x.float(), target, 2))


def test_one_level_is_a_sigmoid_classifier():
    x = torch.randn(3, 1, 50, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, 2, x.shape, generator=torch.Generator().manual_seed(1))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(10 * x, target.float())
    torch.testing.assert_close(mce(x, target, 1), expected)
    torch.testing.assert_close(multi_level_activation(x, 1), torch.sigmoid(10 * x))


def test_class_weights():
    x = torch.randn(1, 1, 60, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, 3, x.shape, generator=torch.Generator().manual_seed(1))
    weights = torch.tensor([1.5, 4.0, 30.0])
    each = torch.stack([mce(x[..., [i]], target[..., [i]], 2) for i in range(60)])
    expected = (weights[target.flatten()] * each).mean()
    torch.testing.assert_close(mce(x, target, 2, class_weights=weights), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_counted(name):
    x = torch.randn(1, 1, 5, requires_grad=True)
    loss = LOSSES[name](x, torch.full((1, 1, 5), 7), 2, mask=torch.zeros(1, 1, 5, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(loss, x)
    assert loss == 0
    assert (gradient == 0).all()


def test_stairs():
    a = multi_level_activation(torch.tensor([-1.5, -0.5, 0.5, 1.5]), 2)
    torch.testing.assert_close(a, torch.tensor([0.0, 0.5, 1.5, 2.0]), atol=1e-4, rtol=0)
    assert multi_level_activation(torch.tensor([0.0]), 5, spacing=0.3).item() == pytest.approx(2.5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.floats(1, 30), st.floats(0.2, 3))
def test_the_activation_rises_from_0_to_m(m, kappa, h):
    a = multi_level_activation(torch.linspace(-50, 50, 999, dtype=torch.float64), m, kappa, h)
    assert (a.diff() >= 0).all()
    assert a[0] < 1e-3 < m - 1e-3 < a[-1]


@pytest.mark.parametrize("m", [1, 2, 5])
def test_inverse(m):
    x = torch.linspace(-m / 2 - 0.5, m / 2 + 0.5, 500)
    a = multi_level_activation(x, m)
    torch.testing.assert_close(inverse_activation(a, m), x, atol=1e-3, rtol=0)
    ends = inverse_activation(torch.tensor([-1.0, 0.0, m, m + 1.0]), m)
    assert (multi_level_activation(ends, m) - torch.tensor([0.0, 0.0, m, m])).abs().max() < 1e-5


def test_preset_thresholds():
    assert preset_thresholds("mce", 2) == pytest.approx([2 / 3, 4 / 3])
    assert preset_thresholds("mce", 1) == [0.5]
    for name in ("sse", "nce"):
        assert preset_thresholds(name, 3) == [0.5, 1.5, 2.5]


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_preset_thresholds_are_where_classes_are_equally_likely(m):
    for level, a in enumerate(preset_thresholds("mce", m), start=1):
        outer, inner = (1 - abs(a - c) / max(c, m - c) for c in (level - 1, level))
        assert outer == pytest.approx(inner)


@pytest.mark.parametrize(
    ("x", "target", "text"),
    [
        (torch.zeros(1, 2, 5), torch.zeros(1, 1, 5), "one channel"),
        (torch.zeros(1, 1, 5), torch.zeros(1, 1, 4), "target is labels"),
        (torch.zeros(1, 1, 5, dtype=torch.long), torch.zeros(1, 1, 5), "logits are floating"),
    ],
)
def test_wrong_tensors(x, target, text):
    with pytest.raises(ValueError, match=text):
        sse(x, target, 2)


def test_wrong_parameters():
    with pytest.raises(ValueError, match="levels is 1 or more"):
        multi_level_activation(torch.zeros(3), 0)
