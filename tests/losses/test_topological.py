"""TopoLoss against a loop over patches that follows the formula, and on pictures that it has to mend."""

import itertools
import math
import sys

import numpy as np
import pytest
import torch

from nnunet_ext.arrays.persistence import persistence_pairs
from nnunet_ext.errors import UserError
from nnunet_ext.losses import TopologicalLoss, topological, topological_loss
from nnunet_ext.metrics import betti_numbers

SHAPES = {"2d": (9, 12), "3d": (6, 5, 7)}
PATCHES = {"2d": (5, 7), "3d": (4, 5, 3)}


def naive(logits, target, patch_size, holes=False, threshold=0.03, mask=None):
    """One sample, class and patch at a time; differentiable. `persistence_pairs` has tests of its own."""
    regions = target.shape == logits.shape
    p = logits.sigmoid() if regions else logits.softmax(1)[:, 1:]
    truth = target > 0.5 if regions else torch.cat([target == c for c in range(1, logits.shape[1])], 1)
    counted = torch.ones_like(truth[:, :1]) if mask is None else mask
    starts = [range(0, n, edge) for n, edge in zip(p.shape[2:], patch_size, strict=True)]
    total, patches = torch.zeros((), dtype=p.dtype), 0
    for b, c, *corner in itertools.product(range(p.shape[0]), range(p.shape[1]), *starts):
        box = tuple(slice(start, start + edge) for start, edge in zip(corner, patch_size, strict=True))
        of_patch = p[b, c][box], truth[b, c][box].numpy(), counted[b, 0][box].numpy()
        if of_patch[2].any():
            patches += 1
            total = total + naive_patch(*of_patch, holes, threshold)
    return total / max(patches, 1)


def naive_patch(p, truth, counted, holes, threshold):
    values = p.detach().numpy()
    wanted, predicted = betti_numbers(truth & counted), betti_numbers((values > 0.5) & counted)
    loss = torch.zeros((), dtype=p.dtype)
    for dimension in range(p.dim() if holes else 1):
        if wanted[dimension] == predicted[dimension]:
            continue
        pairs = []
        for birth, death in zip(*persistence_pairs(values, dimension, counted), strict=True):
            p_birth = p.reshape(-1)[int(birth)]
            p_death = p.reshape(-1)[int(death)] if death >= 0 else None
            pairs.append(
                (
                    float(p_birth.detach()) - (0 if p_death is None else float(p_death.detach())),
                    p_birth,
                    p_death,
                )
            )
        pairs.sort(key=lambda pair: -pair[0])
        for place, (persistence, p_birth, p_death) in enumerate(pairs):
            if place < wanted[dimension]:
                loss = loss + (p_birth - 1) ** 2 + (0 if p_death is None else p_death**2)
            elif persistence > threshold and p_death is None:
                loss = loss + p_birth**2
            elif persistence > threshold:
                middle = (float(p_birth.detach()) + float(p_death.detach())) / 2
                loss = loss + (p_birth - middle) ** 2 + (p_death - middle) ** 2
    return loss


def sample(shape=(9, 12), channels=3, dtype=torch.float64, seed=0):
    """Logits and labels in which the labels are foreground about half of the time."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, channels, *shape, generator=generator, dtype=torch.float64)
    logits[:, 0] -= 0.5
    target = torch.randint(0, channels, (2, 1, *shape), generator=generator)
    return logits.to(dtype).requires_grad_(), target


def sample_regions(shape=(9, 12), channels=2, seed=0):
    logits, _ = sample(shape, channels, seed=seed)
    return logits, torch.rand(logits.shape, generator=torch.Generator().manual_seed(seed + 1)) > 0.5


def sample_mask(shape, seed=2):
    return torch.rand(2, 1, *shape, generator=torch.Generator().manual_seed(seed)) > 0.2


def gradient_of(loss, logits):
    return torch.autograd.grad(loss, logits)[0]


def assert_equal_with_gradient(result, expected, logits):
    torch.testing.assert_close(result, expected)
    gradient = gradient_of(result, logits)
    assert gradient.abs().max() > 1e-4
    torch.testing.assert_close(gradient, gradient_of(expected, logits))


# values and gradients


@pytest.mark.parametrize("holes", [False, True], ids=["components", "holes"])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
@pytest.mark.parametrize("kind", SHAPES)
def test_equals_the_loop(kind, regions, masked, holes):
    shape, patches = SHAPES[kind], PATCHES[kind]
    logits, target = sample_regions(shape) if regions else sample(shape)
    mask = sample_mask(shape) if masked else None
    result = topological_loss(logits, target, patches, holes, mask=mask)
    assert_equal_with_gradient(result, naive(logits, target, patches, holes, mask=mask), logits)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 2.0])
def test_threshold(threshold):
    logits, target = sample()
    result = topological_loss(logits, target, 6, True, threshold)
    assert_equal_with_gradient(result, naive(logits, target, (6, 6), True, threshold), logits)


def test_value_by_hand():
    """A line with a gap: the higher part should be 1, the lower one and the gap should meet half way."""
    p = torch.tensor([[[[0.9, 0.8, 0.3, 0.6, 0.7]]]], dtype=torch.float64)
    line = torch.ones_like(p)
    assert topological_loss(p.logit(), line).item() == pytest.approx(0.1**2 + 2 * 0.2**2)
    two = torch.tensor([[[[1, 1, 0, 1, 1]]]])
    assert topological_loss(p.logit(), two) == 0
    assert topological_loss((p * 0.6).logit(), two).item() == pytest.approx(0.46**2 + 0.58**2 + 0.18**2)
    assert topological_loss(p.logit(), 0 * line).item() == pytest.approx(0.9**2 + 2 * 0.2**2)
    # In patches of three: the first is right; in the second the line begins with p = 0.6.
    assert topological_loss(p.logit(), line, 3) == 0
    # In patches of one: the third should be there, and costs 0.7² of five patches.
    assert topological_loss(p.logit(), line, 1).item() == pytest.approx(0.7**2 / 5)


def test_classes_and_samples_are_averaged():
    """Each class against the rest, whose log-odds come from the other channels."""
    logits, target = sample()
    each = []
    for b, c in itertools.product(range(2), (1, 2)):
        rest = torch.logsumexp(logits[b : b + 1, [0, 3 - c]], 1, keepdim=True)
        each.append(topological_loss(logits[b : b + 1, c : c + 1] - rest, target[b : b + 1] == c, 6))
    torch.testing.assert_close(topological_loss(logits, target, 6), torch.stack(each).mean())


def test_gradcheck():
    logits, target = sample((4, 5))
    mask = sample_mask((4, 5))
    assert topological_loss(logits, target, 3, True, mask=mask) > 0.01
    assert torch.autograd.gradcheck(lambda z: topological_loss(z, target, 3, True, mask=mask), logits)
    logits, regions = sample_regions((4, 5))
    assert torch.autograd.gradcheck(lambda z: topological_loss(z, regions, 3, True), logits)


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("regions", [False, True])
def test_perfect_prediction_is_the_minimum(regions, holes):
    _, target = sample_regions() if regions else sample()
    channels = target if regions else torch.cat([target == c for c in range(3)], 1)
    for confidence in (4.0, 1000.0):
        perfect = (confidence * channels.double() - confidence / 2).requires_grad_()
        loss = topological_loss(perfect, target, 5, holes)
        assert loss == 0
        assert gradient_of(loss, perfect).abs().max() == 0
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        wrong = torch.randn(perfect.shape, generator=generator, dtype=torch.float64).requires_grad_()
        loss = topological_loss(wrong, target, 5, holes)
        assert loss > 0.05
        assert gradient_of(loss, wrong).abs().max() > 1e-3


# Pictures that have to be mended. A digit is a probability in tenths. Then the truth, and where the
# probability has to rise (+) and to fall (-); of equal pixels the first counts as the highest.

PICTURES = {
    "two blobs that should be one": """
        11111111 ........ ........
        19918881 .######. .+..-...
        19938881 .######. ...+....
        19918881 .######. ........
        11111111 ........ ........
        11111111 ........ ........
        11111111 ........ ........
        11111111 ........ ........""",
    "a blob too many": """
        11111111 ........ ........
        19911111 .##..... .+......
        19927111 .##..... ...+-...
        19911611 .##..... ........
        11111111 ........ ........
        11111111 ........ ........
        11111111 ........ ........
        11111111 ........ ........""",
    "one blob that should be two": """
        11111111 ........ ........
        19918881 .##.###. .+..+...
        19968881 .##.###. ...-....
        19918881 .##.###. ........
        11111111 ........ ........
        11111111 ........ ........
        11111111 ........ ........
        11111111 ........ ........""",
    "a blob that is missed": """
        11111111 ........ ........
        11111111 ........ ........
        11133111 ...##... ........
        11134111 ...##... ....+...
        11111111 ........ ........
        11111111 ........ ........
        11111111 ........ ........
        11111111 ........ ........""",
    "nothing should be there": """
        11111111 ........ ........
        11111111 ........ ........
        11116111 ........ ....-...
        11112111 ........ ....+...
        11117111 ........ ....-...
        11111111 ........ ........
        11111111 ........ ........
        11111111 ........ ........""",
    "a ring that is broken twice": """
        11111111 ........ ........
        19938881 .######. .+.+-...
        19111181 .#....#. ........
        19111181 .#....#. ........
        19111181 .#....#. ........
        19928881 .######. ........
        11111111 ........ ........
        11111111 ........ ........""",
    "holes: a broken ring": """
        11111111 ........ ........
        19993991 .######. ....+...
        19222291 .#....#. ........
        19202291 .#....#. ...-....
        19222291 .#....#. ........
        19999991 .######. ........
        11111111 ........ ........
        11111111 ........ ........""",
    "holes: a ring that is broken twice": """
        11111111 ........ ........
        19938881 .######. .+.+-...
        19111181 .#....#. ........
        19101181 .#....#. ...-....
        19111181 .#....#. ........
        19928881 .######. ...+....
        11111111 ........ ........
        11111111 ........ ........""",
    "holes: a hole too many": """
        11111111 ........ ........
        19899991 .######. ..-.....
        19399991 .######. ..+.....
        19999991 .######. ........
        19999991 .######. ........
        19999991 .######. ........
        11111111 ........ ........
        11111111 ........ ........""",
    "holes: a hole that is too few": """
        11111111 ........ ........
        19999991 .######. ........
        19999991 .#....#. ........
        19976991 .#....#. ....-...
        19998991 .#....#. ....+...
        19997991 .######. ........
        11111111 ........ ........
        11111111 ........ ........""",
}


def parse(picture):
    """Probabilities, truth and signs, (1, 1, y, x)."""
    columns = zip(*(row.split() for row in picture.split("\n")[1:]), strict=True)
    digits, truth, signs = (np.array([list(row) for row in rows])[None, None] for rows in columns)
    p = torch.from_numpy(digits.astype(float)).div(10).clamp_min(0.02)
    return p, torch.from_numpy(truth == "#"), (signs == "+").astype(int) - (signs == "-")


def mended(logits, truth, patch_size=None, holes=False, rate=10.0, steps=10):
    """The prediction after so many steps of gradient descent with that rate."""
    logits = logits.detach().clone().requires_grad_()
    optimizer = torch.optim.SGD([logits], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        topological_loss(logits, truth, patch_size, holes).backward()
        optimizer.step()
    return logits.detach() > 0


def same_topology(one, other, dimensions):
    numbers = (betti_numbers(array[0, 0].numpy())[:dimensions] for array in (one, other))
    return next(numbers) == next(numbers)


@pytest.mark.parametrize("name", PICTURES)
def test_gradient_points_at_the_right_pixels_and_mends_the_picture(name):
    p, truth, signs = parse(PICTURES[name])
    holes = name.startswith("holes")
    logits = p.logit().requires_grad_()
    loss = topological_loss(logits, truth, holes=holes)
    np.testing.assert_array_equal(-gradient_of(loss, logits).sign().numpy(), signs)
    assert not same_topology(p > 0.5, truth, 1 + holes)
    assert same_topology(mended(logits, truth, holes=holes), truth, 1 + holes)


def test_patches_that_are_not_square():
    """Of 4 × 6 and, below, 2 × 6: the upper left one is wrong, the upper right one right; others empty."""
    p, truth, signs = parse("""
        991881189199 ##.##..##.## +..-........
        993881189199 #####..##.## ..+.........
        991881189199 ##.##..##.## ............
        111111111111 ............ ............
        111111111111 ............ ............
        111111111111 ............ ............""")
    logits = p.logit().requires_grad_()
    loss = topological_loss(logits, truth, (4, 6))
    assert loss.item() == pytest.approx((0.1**2 + 2 * 0.25**2) / 4)
    np.testing.assert_array_equal(-gradient_of(loss, logits).sign().numpy(), signs)
    assert same_topology(mended(logits, truth, (4, 6)), truth, 1)


def test_mends_a_vessel_in_3d():
    p = torch.full((1, 1, 3, 4, 8), 0.1, dtype=torch.float64)
    p[..., 1, 1:3, :] = torch.tensor([0.9, 0.9, 0.8, 0.3, 0.7, 0.8, 0.8, 0.8])
    p[..., 1, 2, 3] = 0.2
    logits, truth = p.logit().requires_grad_(), p > 0.25
    gradient = gradient_of(topological_loss(logits, truth), logits)[0, 0]
    assert gradient.nonzero().tolist() == [[1, 1, 0], [1, 1, 3], [1, 1, 5]]
    assert (gradient[1, 1, [0, 3, 5]].sign() == torch.tensor([-1, -1, 1])).all()
    assert same_topology(mended(logits, truth), truth, 1)


def test_mends_a_tunnel_in_3d():
    p = torch.full((1, 1, 4, 5, 5), 0.1, dtype=torch.float64)
    p[..., 1:3, 1:4, 1:4] = 0.9
    p[..., 1:3, 2, 2] = 0.2
    truth = p > 0.5
    p[..., 1:3, 1, 2] = torch.tensor([0.3, 0.25])  # the torus is open
    logits = p.logit().requires_grad_()
    gradient = gradient_of(topological_loss(logits, truth, holes=True), logits)[0, 0]
    assert gradient[1, 1, 2] < 0
    assert gradient.nonzero().tolist()[0] == [1, 1, 2]
    assert not same_topology(p > 0.5, truth, 3)
    assert same_topology(mended(logits, truth, holes=True), truth, 3)


# what does not count, what is absent


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("holes", [False, True])
def test_ignored_voxels_have_no_influence(regions, holes):
    logits, target = sample_regions() if regions else sample()
    mask = sample_mask((9, 12))
    expected = topological_loss(logits, target, 5, holes, mask=mask)
    gradient = gradient_of(expected, logits)
    assert gradient.abs().max() > 1e-3
    assert gradient[~mask.expand_as(gradient)].abs().max() == 0
    for value in (-30.0, 30.0, math.inf, math.nan):
        spoiled = logits.detach().masked_fill(~mask, value).requires_grad_()
        labels = ~target & ~mask | target & mask if regions else target.masked_fill(~mask, 255)
        result = topological_loss(spoiled, labels, 5, holes, mask=mask)
        assert torch.equal(result, expected)
        assert torch.equal(gradient_of(result, spoiled), gradient)


def test_what_ignored_voxels_cut_off_is_a_component_of_its_own():
    """As in the metrics: with the gap ignored the truth has two components, too, and nothing is wrong."""
    p, truth, _ = parse(PICTURES["two blobs that should be one"])
    mask = torch.ones_like(truth)
    mask[..., 3] = False
    assert topological_loss(p.logit(), truth) > 0
    assert topological_loss(p.logit(), truth, mask=mask) == 0
    # Of nothing in the truth: either blob has to go, and there is no voxel at which they meet.
    logits = p.logit().requires_grad_()
    loss = topological_loss(logits, torch.zeros_like(truth), mask=mask)
    assert loss.item() == pytest.approx(0.9**2 + 0.8**2)
    assert gradient_of(loss, logits)[0, 0].nonzero().tolist() == [[1, 1], [1, 4]]


def test_an_ignored_hole_can_be_closed_but_not_filled():
    p, truth, _ = parse(PICTURES["holes: a broken ring"])
    mask = torch.ones_like(truth)
    mask[..., 2:5, 2:6] = False
    logits = p.logit().requires_grad_()
    loss = topological_loss(logits, truth, holes=True, mask=mask)
    assert loss.item() == pytest.approx(0.7**2)  # the gap, 0.3
    assert gradient_of(loss, logits)[0, 0].nonzero().tolist() == [[1, 4]]


def test_patches_without_annotation_are_left_out_of_the_mean():
    logits, target = sample((8, 8))
    mask = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    mask[0, :, :4] = True
    upper = topological_loss(logits[:1, :, :4], target[:1, :, :4], 4)
    assert upper > 0
    torch.testing.assert_close(topological_loss(logits, target, 4, mask=mask), upper)


@pytest.mark.parametrize("case", ["mask", "samples", "voxels"])
def test_nothing_that_counts_is_a_zero_of_the_graph(case):
    logits, target = sample((8, 8))
    mask = torch.zeros(2, 1, 8, 8, dtype=torch.bool) if case == "mask" else None
    if case == "samples":
        logits, target = logits.detach()[:0].requires_grad_(), target[:0]
    elif case == "voxels":
        logits, target = logits.detach()[:, :, :0].requires_grad_(), target[:, :, :0]
    loss = topological_loss(logits, target, holes=True, mask=mask)
    assert loss == 0
    assert torch.equal(gradient_of(loss, logits), torch.zeros_like(logits))


def test_absent_classes_are_to_vanish():
    logits, target = sample()
    target[target == 2] = 1
    assert_equal_with_gradient(topological_loss(logits, target, 5), naive(logits, target, (5, 5)), logits)
    background = torch.zeros_like(target)
    gradient = gradient_of(topological_loss(logits, background, 20), logits)
    oldest = logits.detach().softmax(1)[:, 1:].flatten(2).argmax(2, keepdim=True)
    assert (gradient[:, 1:].flatten(2).gather(2, oldest) > 0).all()


def test_no_prediction_at_all_is_called_up_where_it_is_highest():
    p = torch.full((1, 1, 6, 7), 0.1, dtype=torch.float64)
    p[..., 2, 3] = 0.2
    logits = p.logit().requires_grad_()
    loss = topological_loss(logits, torch.ones_like(p))
    assert loss.item() == pytest.approx(0.8**2)
    assert gradient_of(loss, logits)[0, 0].nonzero().tolist() == [[2, 3]]


# numbers


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("regions", [False, True])
def test_half_precision_computes_in_float32(dtype, regions):
    logits, target = sample_regions() if regions else sample()
    half = logits.detach().to(dtype).requires_grad_()
    single = half.detach().float().requires_grad_()
    loss, expected = (topological_loss(z, target, 6, True) for z in (half, single))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)
    gradient = gradient_of(loss, half)
    assert gradient.dtype == dtype
    torch.testing.assert_close(gradient, gradient_of(expected, single).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast(dtype):
    logits, target = sample()
    image = logits.detach().float()
    weight = torch.eye(3).view(3, 3, 1, 1).requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        output = torch.nn.functional.conv2d(image, weight)
        loss = TopologicalLoss(6)(output, target)
    assert output.dtype == dtype
    torch.testing.assert_close(loss, topological_loss(image.to(dtype), target, 6))
    assert gradient_of(loss, weight).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_large_logits(dtype, right):
    _, target = sample_regions()
    logits = torch.where(target == right, 1e4, -1e4).to(dtype).requires_grad_()
    loss = topological_loss(logits, target, 5, True)
    assert (loss == 0) == right
    assert loss.isfinite()
    assert gradient_of(loss, logits).isfinite().all()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_not_a_number_is_not_hidden(value):
    logits, target = sample()
    logits.data[0, 0, 3, 3] = value
    assert topological_loss(logits, target, 5, True).isnan()


def test_equal_probabilities_give_the_same_each_time():
    """Of two equal blobs the first one stays; a plateau has no pairs within itself."""
    p = torch.full((1, 1, 3, 9), 0.1, dtype=torch.float64)
    p[..., 1, [1, 2, 5, 6, 7]] = 0.9
    truth = torch.zeros_like(p)
    truth[..., 1, 1:3] = 1
    logits = p.logit().requires_grad_()
    loss = topological_loss(logits, truth)
    assert loss.item() == pytest.approx(0.1**2 + 2 * 0.4**2)
    gradient = gradient_of(loss, logits)[0, 0]
    assert gradient[1, 1] < 0 < gradient[1, 5]
    assert len(gradient.nonzero()) == 3


# how it is computed


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("portion", [1, 60, 10**6])
def test_any_portions_and_threads_agree(monkeypatch, portion, threads):
    logits, target = sample()
    mask = sample_mask((9, 12))
    expected = naive(logits, target, (4, 5), True, mask=mask)
    monkeypatch.setattr(topological, "PORTION_VOXELS", portion)
    monkeypatch.setattr(topological, "THREADS", threads)
    assert_equal_with_gradient(topological_loss(logits, target, (4, 5), True, mask=mask), expected, logits)


def test_any_layout_and_label_dtype_and_nothing_is_changed():
    logits, target = sample()
    before = logits.detach().clone(), target.clone()
    expected = topological_loss(logits, target, 5)
    gradient = gradient_of(expected, logits)
    for dtype in (torch.uint8, torch.int16, torch.float32):
        assert torch.equal(topological_loss(logits, target.to(dtype), 5), expected)
    plain = logits.detach()
    for strided in (plain.to(memory_format=torch.channels_last), plain.mT.contiguous().mT):
        strided.requires_grad_()
        result = topological_loss(strided, target, 5)
        torch.testing.assert_close(result, expected)
        torch.testing.assert_close(gradient_of(result, strided), gradient)
    assert torch.equal(logits, before[0])
    assert torch.equal(target, before[1])


def test_patch_sizes():
    logits, target = sample((60, 110))
    whole = topological_loss(logits, target, 1000)
    torch.testing.assert_close(topological_loss(logits, target, (60, 110)), whole)
    torch.testing.assert_close(topological_loss(logits, target, np.array([60, 110]).tolist()), whole)
    torch.testing.assert_close(topological_loss(logits, target), topological_loss(logits, target, 100))
    assert (topological_loss(logits, target) - whole).abs() > 1e-3
    logits, target = sample((3, 4, 60))
    torch.testing.assert_close(topological_loss(logits, target), topological_loss(logits, target, 48))
    assert (topological_loss(logits, target) - topological_loss(logits, target, 60)).abs() > 1e-3


def test_in_a_compiled_loss():
    logits, target = sample()
    expected = topological_loss(logits, target, 5) + logits.mean()
    compiled = torch.compile(lambda z: topological_loss(z, target, 5) + z.mean(), backend="eager")
    assert_equal_with_gradient(compiled(logits), expected, logits)


# errors


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"target": torch.zeros(2, 1, 4, 5)}, r"labels \(2, 1, 4, 4\).*got \(2, 1, 4, 5\)"),
        ({"mask": torch.ones(2, 1, 4, 4)}, "mask is bool.*float32"),
        ({"logits": torch.zeros(2, 3, 4, 4, dtype=torch.long)}, "logits are floating.*int64"),
        ({"logits": torch.zeros(2, 3, 4), "target": torch.zeros(2, 1, 4)}, r"2D or 3D logits.*got 1 axes"),
        ({"patch_size": 0}, r"positive whole number, or one per axis \(2\); got 0"),
        ({"patch_size": 2.5}, "got 2.5"),
        ({"patch_size": (4, 4, 4)}, r"one per axis \(2\); got \(4, 4, 4\)"),
        ({"threshold": -0.1}, "threshold is a persistence, 0 or more; got -0.1"),
        ({"threshold": math.nan}, "got nan"),
    ],
)
def test_exception(change, text):
    arguments = {"logits": torch.zeros(2, 3, 4, 4), "target": torch.zeros(2, 1, 4, 4)} | change
    with pytest.raises(ValueError, match=text):
        topological_loss(**arguments)


def test_a_label_that_is_no_class_is_an_error():
    logits, target = sample()
    target[0, 0, 0, 0] = 3
    with pytest.raises(IndexError, match="has label 3, but the labels are 0 to 2"):
        topological_loss(logits, target)


def test_without_gudhi_holes_in_3d_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "gudhi", None)
    logits, target = sample((4, 4, 4))
    assert topological_loss(logits, target).isfinite()
    with pytest.raises(UserError, match="need gudhi"):
        topological_loss(logits, target, holes=True)


# TopologicalLoss


@pytest.mark.parametrize("ignored", [None, -1, 3, 255])
def test_module_equals_the_function(ignored):
    logits, target = sample()
    mask = None if ignored is None else sample_mask((9, 12))
    expected = topological_loss(logits, target, (4, 5), True, 0.2, mask)
    raw = target if mask is None else target.masked_fill(~mask, ignored).to(torch.int16)
    loss = TopologicalLoss((4, 5), True, 0.2, ignore_label=ignored)
    assert_equal_with_gradient(loss(logits, raw), expected, logits)


@pytest.mark.parametrize("ignore", [None, 4])
def test_module_with_regions(ignore):
    logits, target = sample_regions()
    mask = None if ignore is None else sample_mask((9, 12))
    expected = topological_loss(logits, target, 5, mask=mask)
    raw = (target if mask is None else torch.cat([target, ~mask], 1)).to(torch.uint8)
    loss = TopologicalLoss(5, regions=True, ignore_label=ignore)
    assert_equal_with_gradient(loss(logits, raw), expected, logits)
