"""SCNP against a loop that follows Eq. 1 voxel by voxel."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, one_hot

from nnunet_ext.losses import (
    SCNP,
    SCNPLoss,
    recommended_neighborhood,
    same_class_neighbor_penalization,
    worst_neighbor,
)

SHAPES = {"1d": (7,), "2d": (5, 6), "2d-odd": (3, 7), "2d-thin": (1, 5), "3d": (4, 3, 5)}


def channels_of(target, num_classes):
    """Binary channels (B, C, *spatial) of a label target; values outside the classes belong to none."""
    return torch.cat([target == c for c in range(num_classes)], 1)


def naive_scnp(logits, channels, w, mask=None):
    """Eq. 1, one voxel at a time; differentiable, so that its gradient can be compared too."""
    mask = torch.ones_like(channels[:, :1]) if mask is None else mask
    result = logits.clone()
    spatial = logits.shape[2:]
    for b, c in itertools.product(range(logits.shape[0]), range(logits.shape[1])):
        for v in itertools.product(*map(range, spatial)):
            if not mask[(b, 0, *v)]:
                continue
            window = itertools.product(
                *[range(max(0, x - w // 2), min(n, x + w // 2 + 1)) for x, n in zip(v, spatial, strict=True)]
            )
            same = [
                u for u in window
                if mask[(b, 0, *u)] and channels[(b, c, *u)] == channels[(b, c, *v)]
            ]  # fmt: skip
            values = torch.stack([logits[(b, c, *u)] for u in same])
            result[(b, c, *v)] = values.min() if channels[(b, c, *v)] else values.max()
    return result


def sample(shape, num_classes=3, dtype=torch.float64, seed=0, batch=2):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, num_classes, *shape, generator=generator, dtype=torch.float64).to(dtype)
    target = torch.randint(0, num_classes, (batch, 1, *shape), generator=generator)
    return logits.requires_grad_(), target


@pytest.mark.parametrize("w", [3, 5, 9])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_value_and_gradient_equal_the_loop(shape, w):
    logits, target = sample(shape)
    weight = torch.randn_like(logits)
    expected = naive_scnp(logits, channels_of(target, 3), w)
    (expected_gradient,) = torch.autograd.grad((expected * weight).sum(), logits)
    result = same_class_neighbor_penalization(logits, target, w)
    (gradient,) = torch.autograd.grad((result * weight).sum(), logits)
    torch.testing.assert_close(result, expected, rtol=0, atol=0)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(5, 6), (4, 3, 5)])
def test_lower_precision_selects_exactly(shape, dtype):
    logits, target = sample(shape, dtype=dtype)
    result = same_class_neighbor_penalization(logits, target, 3)
    assert result.dtype == dtype
    expected = naive_scnp(logits.detach(), channels_of(target, 3), 3)
    torch.testing.assert_close(result, expected, rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(result.sum(), logits)
    assert gradient.dtype == dtype
    # Every penalised logit sends 1 to exactly one winner.
    assert gradient.float().sum() == result.numel()


@pytest.mark.parametrize("shape", [(5, 6), (3, 4, 4)])
def test_regions_and_mask_equal_the_loop(shape):
    logits, _ = sample(shape, num_classes=2)
    generator = torch.Generator().manual_seed(3)
    regions = torch.rand(logits.shape, generator=generator) > 0.4
    mask = torch.rand(2, 1, *shape, generator=generator) > 0.3
    weight = torch.randn_like(logits)
    expected = naive_scnp(logits, regions, 3, mask)
    (expected_gradient,) = torch.autograd.grad((expected * weight).sum(), logits)
    result = same_class_neighbor_penalization(logits, regions, 3, mask)
    (gradient,) = torch.autograd.grad((result * weight).sum(), logits)
    torch.testing.assert_close(result, expected, rtol=0, atol=0)
    torch.testing.assert_close(gradient, expected_gradient)


def test_ignored_voxels_change_nothing():
    logits, target = sample((6, 6))
    mask = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(1)) > 0.4
    counted = mask.expand_as(logits)
    result = same_class_neighbor_penalization(logits, target, 3, mask)
    spoiled = torch.where(mask, logits, 1e6)
    again = same_class_neighbor_penalization(spoiled, torch.where(mask, target, 9), 3, mask)
    assert torch.equal(result[counted], again[counted])
    assert torch.equal(again[~counted], spoiled[~counted])


@pytest.mark.parametrize(
    ("shape", "w"),
    [((3, 130, 130), 3), ((20, 64, 64), 15), ((40, 3000), 13)],
    ids=["3d w3", "3d w15", "2d w13"],
)
def test_gradient_at_real_patch_sizes_equals_masked_pooling(shape, w):
    """Flat distances to the winner beyond 32767, as in any real 3D patch; too large for the loop."""
    torch.manual_seed(0)
    logits = torch.randn(1, 2, *shape, requires_grad=True)
    positive = torch.rand(1, 2, *shape) > 0.5
    weight = torch.randn(1, 2, *shape)
    pool = torch.nn.functional.max_pool2d if len(shape) == 2 else torch.nn.functional.max_pool3d
    highest = pool(logits.masked_fill(positive, -torch.inf), w, 1, w // 2)
    lowest = -pool((-logits).masked_fill(~positive, -torch.inf), w, 1, w // 2)
    expected = torch.where(positive, lowest, highest)
    (expected_gradient,) = torch.autograd.grad((expected * weight).sum(), logits)
    result = same_class_neighbor_penalization(logits, positive, w)
    (gradient,) = torch.autograd.grad((result * weight).sum(), logits)
    assert torch.equal(result, expected)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_zero_logits_keep_their_gradient_near_where_subnormals_are_flushed(dtype):
    torch.set_flush_denormal(True)
    try:
        logits = torch.zeros(1, 2, 12, 12, dtype=dtype, requires_grad=True)
        target = torch.zeros(1, 1, 12, 12, dtype=torch.long)
        target[..., 6:] = 1
        result = same_class_neighbor_penalization(logits, target, 3)
        (gradient,) = torch.autograd.grad(result[..., :6].sum(), logits)
    finally:
        torch.set_flush_denormal(False)
    assert torch.equal(result, torch.zeros_like(result))
    assert gradient[..., 6:].abs().max() == 0
    assert gradient.sum() == 2 * 12 * 6
    assert gradient.max() <= 9


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=3),
    w=st.sampled_from([3, 5, 7, 31]),
    seed=st.integers(0, 2**16),
    scale=st.sampled_from([1e-30, 1.0, 1e30]),
)
def test_any_shape_and_magnitude(shape, w, seed, scale):
    logits, target = sample(tuple(shape), num_classes=2, seed=seed, batch=1)
    logits = (logits.detach() * scale).float().requires_grad_()
    result = same_class_neighbor_penalization(logits, target, w)
    torch.testing.assert_close(result, naive_scnp(logits, channels_of(target, 2), w), rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(result.sum(), logits)
    assert gradient.sum() == result.numel()


def test_ties_go_to_one_winner_inside_the_window():
    logits = torch.zeros(1, 2, 4, 4, requires_grad=True)
    target = torch.zeros(1, 1, 4, 4, dtype=torch.long)
    result = same_class_neighbor_penalization(logits, target, 3)
    assert torch.equal(result, torch.zeros_like(result))
    for v in itertools.product(range(4), range(4)):
        (gradient,) = torch.autograd.grad(result[(0, 1, *v)], logits, retain_graph=True)
        winner = gradient[0, 1].nonzero()
        assert gradient.sum() == 1
        assert len(winner) == 1
        assert (winner[0] - torch.tensor(v)).abs().max() <= 1


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_fills_the_patch(label):
    """The empty channel is all background, the full one all foreground; nothing is NaN."""
    logits, _ = sample((5, 5), num_classes=2)
    target = torch.full((2, 1, 5, 5), label)
    result = same_class_neighbor_penalization(logits, target, 5)
    assert torch.equal(result[:, 1 - label, 2, 2], logits[:, 1 - label].amax((1, 2)))
    assert torch.equal(result[:, label, 2, 2], logits[:, label].amin((1, 2)))


def test_infinite_logits_stay_infinite_and_nan_does_not_crash():
    logits = torch.tensor([[[torch.inf, 1.0, -torch.inf, 2.0, torch.nan, 3.0]]], requires_grad=True)
    result = same_class_neighbor_penalization(logits, torch.tensor([[[0, 0, 0, 1, 1, 1]]]), 3)
    assert result[0, 0, :3].tolist() == [torch.inf, torch.inf, 1.0]
    assert result[0, 0, 3:].isnan().all()
    result.sum().backward()
    assert logits.grad.shape == logits.shape


class Total(torch.nn.Module):
    """A loss that is the sum of the logits."""

    def forward(self, logits, target):
        return logits.sum()


@pytest.mark.parametrize("shape", [(5,), (5, 6), (3, 5, 6)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("blocks", [2**18, 20])
def test_nan_and_infinity_pass_on_in_every_precision(shape, dtype, blocks, monkeypatch):
    monkeypatch.setitem(worst_neighbor.BLOCK_VOXELS, "cpu", blocks)
    logits = sample(shape, seed=5)[0].detach().to(dtype)
    target = torch.zeros(2, 1, *shape)
    middle = (slice(None), slice(None), *(size // 2 for size in shape))
    near = torch.zeros(shape, dtype=torch.bool)
    near[tuple(slice(size // 2 - 1, size // 2 + 2) for size in shape)] = True
    logits[middle] = torch.nan
    result = same_class_neighbor_penalization(logits, target, 3)
    assert torch.equal(result.isnan(), near.expand_as(result))
    for joint in (False, True):
        assert SCNPLoss(Total(), joint=joint)(logits, target).isnan()
    logits[middle] = torch.inf  # the worst where the class is absent, channels 1 and 2; never in channel 0
    result = same_class_neighbor_penalization(logits, target, 3)
    assert torch.equal(result[:, 1:].isposinf(), near.expand_as(result[:, 1:]))
    assert result[:, 0].isfinite().all()
    logits[middle] = -torch.inf
    result = same_class_neighbor_penalization(logits, target, 3)
    assert torch.equal(result[:, 0].isneginf(), near.expand_as(result[:, 0]))


def test_several_nan_in_float64_and_a_masked_one():
    logits = torch.tensor([[[torch.nan, 1.0, 2.0, 3.0, torch.nan]]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[[False, True, True, True, True]]])
    result = same_class_neighbor_penalization(logits, torch.ones(1, 1, 5), 3, mask)
    assert result.isnan().tolist() == [[[True, False, False, True, True]]]
    assert result[0, 0, 1:3].tolist() == [1, 1]
    result.nansum().backward()
    assert logits.grad.shape == logits.shape


def test_float16_infinity_survives():
    logits = torch.tensor([[[65504.0, torch.inf, 1.0]]], dtype=torch.float16)
    result = same_class_neighbor_penalization(logits, torch.zeros(1, 1, 3), 3)
    assert result.isinf().all()


def test_gradcheck():
    logits, target = sample((3, 4), num_classes=2)
    assert torch.autograd.gradcheck(lambda z: same_class_neighbor_penalization(z, target, 3), logits)


def test_keeps_two_bytes_per_logit():
    logits, target = sample((16, 16), dtype=torch.float32)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        same_class_neighbor_penalization(logits, target, 3)
    assert sum(t.nbytes for t in saved) == 2 * logits.numel()


def test_blocks_of_batch_and_channels_agree(monkeypatch):
    """Work is cut into blocks; any cut gives the same result."""
    logits, target = sample((4, 5), num_classes=5, dtype=torch.float32, batch=3)
    whole = same_class_neighbor_penalization(logits, target, 3)
    (whole_gradient,) = torch.autograd.grad(whole.square().sum(), logits)
    for voxels in (1, 2 * 20, 5 * 20, 11 * 20):
        monkeypatch.setitem(worst_neighbor.BLOCK_VOXELS, "cpu", voxels)
        cut = same_class_neighbor_penalization(logits, target, 3)
        assert torch.equal(cut, whole)
        assert torch.equal(torch.autograd.grad(cut.square().sum(), logits)[0], whole_gradient)


def test_inputs_are_not_changed_and_any_layout_works():
    logits, target = sample((4, 6), dtype=torch.float32)
    before = logits.detach().clone()
    expected = same_class_neighbor_penalization(logits, target, 3)
    assert torch.equal(logits, before)
    strided = logits.detach().to(memory_format=torch.channels_last)
    assert torch.equal(same_class_neighbor_penalization(strided, target, 3), expected)
    for dtype in (torch.int16, torch.uint8, torch.float32):
        assert torch.equal(same_class_neighbor_penalization(logits, target.to(dtype), 3), expected)


def test_width_one_is_the_identity_and_an_empty_batch_stays_empty():
    logits, target = sample((4, 4))
    assert same_class_neighbor_penalization(logits, target, 1) is logits
    assert same_class_neighbor_penalization(logits[:0], target[:0], 3).shape == (0, 3, 4, 4)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"neighborhood": 4}, ValueError, "odd number of voxels.*got 4"),
        ({"neighborhood": 0}, ValueError, "got 0"),
        ({"neighborhood": -3}, ValueError, "got -3"),
        ({"neighborhood": 3.0}, TypeError, "got 3.0"),
        ({"neighborhood": True}, TypeError, "got True"),
        ({"neighborhood": 129}, ValueError, "largest is 127"),
        ({"target": torch.zeros(2, 1, 4, 5)}, ValueError, r"labels \(2, 1, 4, 4\).*got \(2, 1, 4, 5\)"),
        ({"target": torch.zeros(2, 2, 4, 4)}, ValueError, r"got \(2, 2, 4, 4\)"),
        ({"mask": torch.ones(2, 3, 4, 4, dtype=torch.bool)}, ValueError, "mask is bool"),
        ({"mask": torch.ones(2, 1, 4, 4)}, ValueError, "float32"),
        ({"logits": torch.zeros(2, 3, 4, 4, dtype=torch.long)}, ValueError, "logits are floating"),
    ],
)
def test_exception(change, error, text):
    arguments = {"logits": torch.zeros(2, 3, 4, 4), "target": torch.zeros(2, 1, 4, 4)} | change
    with pytest.raises(error, match=text):
        same_class_neighbor_penalization(**arguments)


def test_width_limit_in_3d():
    with pytest.raises(ValueError, match="largest is 31"):
        same_class_neighbor_penalization(torch.zeros(1, 2, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4), 33)


def test_module_equals_function():
    logits, target = sample((4, 4))
    mask = target != 2
    expected = same_class_neighbor_penalization(logits, target, np.int64(5), mask)
    assert torch.equal(SCNP(5)(logits, target, mask), expected)


class CrossEntropy(torch.nn.Module):
    """Cross-entropy over labels with nnU-Net's call signature."""

    def forward(self, logits, target):
        return cross_entropy(logits, target[:, 0].long(), ignore_index=9)


def test_loss_is_the_base_loss_on_penalised_logits():
    logits, target = sample((5, 5))
    base = CrossEntropy()
    penalised = naive_scnp(logits, channels_of(target, 3), 3)
    torch.testing.assert_close(SCNPLoss(base)(logits, target), base(penalised, target))
    torch.testing.assert_close(
        SCNPLoss(base, joint=True)(logits, target), base(penalised, target) + base(logits, target)
    )


def test_loss_is_an_upper_bound_of_cross_entropy_and_small_when_perfect():
    logits, target = sample((6, 6))
    base = CrossEntropy()
    assert SCNPLoss(base)(logits, target) > base(logits, target)
    perfect = 20.0 * one_hot(target[:, 0], 3).movedim(-1, 1).double()
    assert SCNPLoss(base)(perfect, target) < 1e-6


def test_loss_with_ignore_label():
    logits, target = sample((5, 5))
    target[:, :, :2] = 9
    mask = target != 9
    penalised = naive_scnp(logits, channels_of(target, 3), 3, mask)
    loss = SCNPLoss(CrossEntropy(), ignore_label=9)
    torch.testing.assert_close(loss(logits, target), CrossEntropy()(penalised, target))
    (gradient,) = torch.autograd.grad(loss(logits, target), logits)
    assert gradient[:, :, :2].abs().max() == 0
    assert gradient[:, :, 2:].abs().max() > 0


def test_loss_with_regions_and_ignore_channel():
    logits, _ = sample((5, 5), num_classes=2)
    target = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(5)) > 0.5
    seen = []

    def base(penalised, passed):
        seen.append(passed)
        return penalised.sum()

    result = SCNPLoss(base, regions=True, ignore_label=4)(logits, target)
    expected = naive_scnp(logits, target[:, :2], 3, ~target[:, 2:])
    torch.testing.assert_close(result, expected.sum())
    assert seen[0] is target


def test_compiled_equals_eager():
    logits, target = sample((6, 6), dtype=torch.float32)
    loss = SCNPLoss(CrossEntropy(), joint=True)
    compiled = torch.compile(loss, backend="aot_eager")
    torch.testing.assert_close(compiled(logits, target), loss(logits, target))


@pytest.mark.parametrize(
    ("thickness", "width"),
    [(0.1, 3), (1.88, 3), (3, 3), (4.999, 3), (5, 5), (6.0, 5), (7.23, 7), (9.69, 9), (31.9, 31), (1e6, 31)],
)
def test_recommended_neighborhood_is_the_largest_odd_one_within_the_thickness(thickness, width):
    assert recommended_neighborhood(thickness) == width
    assert recommended_neighborhood(np.float32(thickness)) == width


@pytest.mark.parametrize("thickness", [0, -3, float("nan"), float("inf")])
def test_no_neighborhood_without_a_thickness(thickness):
    with pytest.raises(ValueError, match="a number of voxels above 0"):
        recommended_neighborhood(thickness)
