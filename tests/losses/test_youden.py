"""Youden's J against loops over voxels and pairs of classes that follow the formula."""

import itertools
import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from nnunet_ext.losses import JCLoss, SCNPLoss, label_sums, same_class_neighbor_penalization, youden_j_loss

SHAPES = {"1d": (7,), "2d": (5, 6), "3d": (4, 3, 5)}
MATRIX = [[math.nan, 0.1, 0.2, 0.3], [0.4, math.nan, 0.6, 0.7], [0.8, 0.9, 1.0, 0.0], [1.2, 1.3, 1.4, 9e9]]


def voxels_of(target, mask):
    """Index (b, ...) of every counted voxel."""
    everywhere = itertools.product(*map(range, (len(target), *target.shape[2:])))
    return [(b, *v) for b, *v in everywhere if mask is None or mask[(b, 0, *v)]]


def naive_classes(logits, target, weight, mask=None):
    """The multiclass form, one voxel and one pair at a time; differentiable."""
    classes = range(logits.shape[1])
    probability = {c: {k: [] for k in classes} for c in classes}  # of class c, at every voxel labelled k
    for b, *v in voxels_of(target, mask):
        exponentials = [torch.exp(logits[(b, c, *v)]) for c in classes]
        for c in classes:
            probability[c][int(target[(b, 0, *v)])].append(exponentials[c] / sum(exponentials))
    loss = torch.zeros((), dtype=logits.dtype)
    for i, k in itertools.permutations(classes, 2):
        if probability[i][i] and probability[i][k]:
            alpha = sum(probability[i][i]) / len(probability[i][i])
            beta = sum(1 - p for p in probability[i][k]) / len(probability[i][k])
            pair_weight = weight if isinstance(weight, float) else weight[i][k]
            loss = loss - pair_weight * torch.log((alpha + beta) / 2)
    return loss


def naive_regions(logits, target, weight, mask=None):
    """The binary form, one region and one voxel at a time; differentiable."""
    loss = torch.zeros((), dtype=logits.dtype)
    for r in range(logits.shape[1]):
        hits, rejections = [], []
        for b, *v in voxels_of(target, mask):
            p = 1 / (1 + torch.exp(-logits[(b, r, *v)]))
            hits.append(p) if target[(b, r, *v)] else rejections.append(1 - p)
        if hits and rejections:
            rate = (sum(hits) / len(hits) + sum(rejections) / len(rejections)) / 2
            loss = loss - (weight if isinstance(weight, float) else weight[r]) * torch.log(rate)
    return loss


def sample(shape=(5, 6), channels=4, dtype=torch.float64, seed=0, labels=None):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, channels, *shape, generator=generator, dtype=torch.float64)
    target = torch.randint(0, labels or channels, (2, 1, *shape), generator=generator)
    return logits.to(dtype).requires_grad_(), target


def sample_regions(shape=(5, 6), channels=3, seed=0):
    logits, _ = sample(shape, channels, seed=seed)
    return logits, torch.rand(logits.shape, generator=torch.Generator().manual_seed(seed + 1)) > 0.6


def sample_mask(shape, seed=2):
    return torch.rand(2, 1, *shape, generator=torch.Generator().manual_seed(seed)) > 0.4


def gradient_of(loss, logits):
    return torch.autograd.grad(loss, logits)[0]


def assert_equal_with_gradient(result, expected, logits):
    torch.testing.assert_close(result, expected)
    gradient = gradient_of(result, logits)
    assert gradient.abs().max() > 1e-4
    torch.testing.assert_close(gradient, gradient_of(expected, logits))


# youden_j_loss: values


@pytest.mark.parametrize("weight", [0.5, MATRIX], ids=["scalar", "matrix"])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_classes_equal_the_loop(shape, masked, weight):
    logits, target = sample(shape)
    mask = sample_mask(shape) if masked else None
    result = youden_j_loss(logits, target, weight, mask)
    assert_equal_with_gradient(result, naive_classes(logits, target, weight, mask), logits)


@pytest.mark.parametrize("weight", [0.5, [0.2, 0.9, 0.4]], ids=["scalar", "each"])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_regions_equal_the_loop(shape, masked, weight):
    logits, target = sample_regions(shape)
    mask = sample_mask(shape) if masked else None
    result = youden_j_loss(logits, target, weight, mask)
    assert_equal_with_gradient(result, naive_regions(logits, target, weight, mask), logits)


def test_value_by_hand():
    """α = .85 and .65, β = .65 and .85: both pairs -log .75."""
    p = torch.tensor([[[0.9, 0.8, 0.3, 0.4], [0.1, 0.2, 0.7, 0.6]]])
    target = torch.tensor([[[0, 0, 1, 1]]])
    assert youden_j_loss(p.log(), target).item() == pytest.approx(2 * 0.5 * -math.log(0.75))
    asymmetric = youden_j_loss(p.log(), target, [[0.0, 3.0], [0.0, 0.0]])
    assert asymmetric.item() == pytest.approx(3 * -math.log(0.75))
    assert youden_j_loss(p[:, 1:].logit(), target).item() == pytest.approx(0.5 * -math.log(0.75))


def test_sums_by_hand():
    p = torch.tensor([[[0.9, 0.8, 0.3, 0.4], [0.1, 0.2, 0.7, 0.6]]])
    sums = label_sums.label_sums(p.log(), torch.tensor([[[0, 0, 1, 7]]]))
    torch.testing.assert_close(sums, torch.tensor([[1.7, 0.3], [0.3, 0.7]]))
    inside = torch.tensor([[[1, 0, 0, 1], [0, 0, 0, 0]]])
    sums = label_sums.label_sums(p.logit(), inside, torch.tensor([[[True, True, True, False]]]))
    torch.testing.assert_close(sums, torch.tensor([[1.1, 0.9], [1.0, 0.0]]))


def test_sizes_of_the_classes_do_not_matter():
    logits, target = sample((30,))
    many = torch.where(target == 0, 50, 1)[0, 0]
    longer = [t[:1].repeat_interleave(many, dim=2) for t in (logits, target)]
    torch.testing.assert_close(youden_j_loss(*longer), youden_j_loss(logits[:1], target[:1]))


def test_pooled_over_the_batch():
    """Not a mean over samples: the classes of one sample are told from those of the other."""
    logits, target = sample((4, 5))
    target[0], target[1] = 0, 1
    in_a_row = [torch.cat(tuple(t), 1)[None] for t in (logits, target)]
    assert youden_j_loss(logits[:1], target[:1]) == 0
    torch.testing.assert_close(youden_j_loss(logits, target), youden_j_loss(*in_a_row))
    assert youden_j_loss(logits, target) > 0.1


@pytest.mark.parametrize("regions", [False, True])
def test_perfect_prediction_is_the_minimum(regions):
    _, target = sample_regions() if regions else sample()
    channels = target if regions else torch.cat([target == c for c in range(4)], 1)
    perfect = 40.0 * channels.double() - 20
    assert 0 <= youden_j_loss(perfect, target) < 1e-6
    generator = torch.Generator().manual_seed(0)
    for scale in (5, 20, 50):
        disturbed = perfect + scale * torch.randn(perfect.shape, generator=generator, dtype=torch.float64)
        assert youden_j_loss(disturbed, target) > youden_j_loss(perfect, target)


def test_gradcheck():
    logits, target = sample((3, 3))
    mask = sample_mask((3, 3))
    assert torch.autograd.gradcheck(lambda z: youden_j_loss(z, target, MATRIX, mask), logits)
    logits, regions = sample_regions((3, 3))
    assert torch.autograd.gradcheck(lambda z: youden_j_loss(z, regions, 0.5, mask), logits)


# youden_j_loss: what is absent


def test_absent_classes_contribute_nothing():
    logits, target = sample(labels=3)  # of four
    target[target == 1] = 0
    assert_equal_with_gradient(youden_j_loss(logits, target), naive_classes(logits, target, 0.5), logits)


def test_regions_without_inside_or_outside_contribute_nothing():
    logits, target = sample_regions()
    target[:, 0], target[:, 1] = True, False
    result = youden_j_loss(logits, target)
    assert_equal_with_gradient(result, naive_regions(logits, target, 0.5), logits)
    assert gradient_of(youden_j_loss(logits, target), logits)[:, :2].abs().max() == 0


@pytest.mark.parametrize(
    "case", ["one class", "empty mask", "one region value", "empty regions' mask", "empty"]
)
def test_nothing_to_compare_is_a_zero_of_the_graph(case):
    logits, target = sample_regions() if "region" in case else sample()
    mask = None
    if "mask" in case:
        mask = torch.zeros(2, 1, 5, 6, dtype=torch.bool)
    elif case == "empty":
        logits, target = logits.detach()[:0].requires_grad_(), target[:0]
    else:
        target[:] = 1
    loss = youden_j_loss(logits, target, 0.5, mask)
    assert loss == 0
    assert torch.equal(gradient_of(loss, logits), torch.zeros_like(logits))


@pytest.mark.parametrize(
    ("label", "dtype"),
    [(255, torch.uint8), (-1, torch.int16), (4, torch.long), (2**40, torch.long), (9.0, torch.float32)],
)
def test_ignored_voxels_may_carry_anything(label, dtype):
    logits, target = sample()
    mask = sample_mask((5, 6))
    expected = youden_j_loss(logits, target, 0.5, mask)
    spoiled = torch.where(mask, target.to(dtype), torch.tensor(label, dtype=dtype))
    before = spoiled.clone()
    assert torch.equal(youden_j_loss(logits, spoiled, 0.5, mask), expected)
    assert torch.equal(youden_j_loss(logits, spoiled), expected)  # nor does a label that is no class count
    assert torch.equal(spoiled, before)
    gradient = gradient_of(expected, logits)
    assert gradient[~mask.expand_as(gradient)].abs().max() == 0


# youden_j_loss: numbers


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("regions", [False, True])
def test_half_precision_computes_in_float32(dtype, regions):
    logits, target = sample_regions() if regions else sample()
    half = logits.detach().to(dtype).requires_grad_()
    single = half.detach().float().requires_grad_()
    loss, expected = youden_j_loss(half, target), youden_j_loss(single, target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)
    gradient = gradient_of(loss, half)
    assert gradient.dtype == dtype
    torch.testing.assert_close(gradient, gradient_of(expected, single).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_large_logits(dtype, regions, right):
    _, target = sample_regions() if regions else sample(channels=2)
    channels = target if regions else torch.cat([target == c for c in range(2)], 1)
    logits = torch.where(channels == right, 1e4, -1e4).to(dtype).requires_grad_()
    loss = youden_j_loss(logits, target)
    # Wholly wrong: three regions, or two pairs, at the clamp.
    worst = (3 if regions else 2) * 0.5 * -math.log(1e-8)
    assert loss.item() == pytest.approx(0 if right else worst, rel=1e-6, abs=1e-6)
    assert gradient_of(loss, logits).isfinite().all()


def test_below_the_clamp_the_gradient_still_leads_out_and_is_bounded():
    target = torch.tensor([[[0, 0, 0, 1]]])
    confidence = 20.0  # in the wrong class: rates of 4e-18
    logits = torch.full((1, 2, 4), -confidence, dtype=torch.float64)
    logits.scatter_(1, 1 - target, confidence).requires_grad_()
    loss = youden_j_loss(logits, target)
    assert loss.item() == pytest.approx(-math.log(1e-8))
    gradient = gradient_of(loss, logits)
    towards_the_label = -gradient.gather(1, target)
    assert (towards_the_label > 0).all()
    for scale in (1.0, 2.0, 5.0, 9.0, 12.0, 20.0):
        wrong = (logits.detach() / confidence * scale).requires_grad_()
        per_channel = gradient_of(youden_j_loss(wrong, target, [[0, 0.7], [0, 0]]), wrong).abs().sum((0, 2))
        assert per_channel.max() <= 0.7


def test_many_voxels_lose_no_digits():
    """Added one by one in float32, four million probabilities of 0.9 come out 4 % wrong."""
    logits = torch.tensor([2.197, 0.0]).view(1, 2, 1).expand(1, 2, 2**22)
    sums = label_sums.label_sums(logits, torch.zeros(1, 1, 2**22, dtype=torch.uint8))
    expected = 2**22 * logits[0, :, 0].double().softmax(0)
    torch.testing.assert_close(sums[:, 0].double(), expected, rtol=1e-4, atol=0)


def test_not_a_number_is_not_hidden():
    logits, target = sample(labels=2)
    logits.data[0, 0, 0, 0] = math.nan
    assert youden_j_loss(logits, target).isnan()


# youden_j_loss: how it is computed


@pytest.mark.parametrize("block", [1, 200, 400, 10**6])
@pytest.mark.parametrize("lanes", [1, 4, 256])
def test_any_cut_into_blocks_and_lanes_agrees(monkeypatch, block, lanes):
    logits, target = sample((5, 7))
    region_logits, regions = sample_regions((5, 7))
    mask = sample_mask((5, 7))
    expected = naive_classes(logits, target, 0.5, mask)
    expected_regions = naive_regions(region_logits, regions, 0.5, mask)
    monkeypatch.setitem(label_sums.BLOCK_LOGITS, "cpu", block)
    monkeypatch.setitem(label_sums.LANES, "cpu", lanes)
    assert_equal_with_gradient(youden_j_loss(logits, target, 0.5, mask), expected, logits)
    result = youden_j_loss(region_logits, regions, 0.5, mask)
    assert_equal_with_gradient(result, expected_regions, region_logits)


def test_any_layout_and_label_dtype_and_nothing_is_changed():
    logits, target = sample((4, 6))
    before = logits.detach().clone(), target.clone()
    expected = youden_j_loss(logits, target)
    gradient = gradient_of(expected, logits)
    assert torch.equal(logits, before[0])
    assert torch.equal(target, before[1])
    plain = logits.detach()
    layouts = {
        "channels last": plain.to(memory_format=torch.channels_last),
        "transposed": plain.mT.contiguous().mT,
        "strided": torch.stack([plain, plain], -1)[..., 0],
    }
    for strided in layouts.values():
        strided.requires_grad_()
        assert not strided.is_contiguous()
        result = youden_j_loss(strided, target)
        torch.testing.assert_close(result, expected)
        torch.testing.assert_close(gradient_of(result, strided), gradient)
    for dtype in (torch.uint8, torch.int16, torch.int32, torch.float32):
        assert torch.equal(youden_j_loss(logits, target.to(dtype)), expected)


def test_keeps_nothing_but_its_inputs():
    logits, target = sample((16, 16), dtype=torch.float32)
    mask = sample_mask((16, 16))
    inputs = {t.untyped_storage().data_ptr() for t in (logits, target, mask)}
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        youden_j_loss(logits, target, 0.5, mask)
    assert kept
    own = [t for t in kept if t.untyped_storage().data_ptr() not in inputs]
    assert max(t.numel() for t in own) <= 4 * 4  # tables of classes


@pytest.mark.parametrize("loss", [JCLoss(MATRIX, ignore_label=9), JCLoss(ignore_label=9, regions=True)])
def test_never_reads_a_value_back(loss):
    """Tensors without values: anything a GPU would have to be waited for raises an error."""
    logits = torch.empty(2, 4, 5, 6, device="meta", requires_grad=True)
    target = torch.empty(2, 5 if loss.regions else 1, 5, 6, device="meta", dtype=torch.int16)
    result = loss(logits, target)
    result.backward()
    assert result.shape == ()
    assert logits.grad.shape == logits.shape


# errors


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"target": torch.zeros(2, 1, 4, 5)}, r"labels \(2, 1, 4, 4\).*got \(2, 1, 4, 5\)"),
        ({"target": torch.zeros(2, 2, 4, 4)}, r"got \(2, 2, 4, 4\)"),
        ({"target": torch.zeros(2, 4, 4)}, r"got \(2, 4, 4\)"),
        ({"mask": torch.ones(2, 3, 4, 4, dtype=torch.bool)}, r"mask is bool \(2, 1, 4, 4\)"),
        ({"mask": torch.ones(2, 1, 4, 4)}, "float32"),
        ({"logits": torch.zeros(2, 3, 4, 4, dtype=torch.long)}, "logits are floating.*int64"),
        ({"logits": torch.zeros(2, 3)}, r"logits are floating \(B, C, \*spatial\); got \(2, 3\)"),
        ({"weight": [1.0, 2.0, 3.0]}, r"weight is one number or \(3, 3\) for these logits; got \(3,\)"),
        ({"weight": torch.ones(2, 2)}, r"got \(2, 2\)"),
        ({"weight": torch.ones(2, 2), "target": torch.zeros(2, 3, 4, 4)}, r"number or \(3,\).*got \(2, 2\)"),
        ({"weight": -0.1}, "weight is 0 or a positive number; got -0.1"),
        ({"weight": math.nan}, "got nan"),
    ],
)
def test_exception(change, text):
    arguments = {"logits": torch.zeros(2, 3, 4, 4), "target": torch.zeros(2, 1, 4, 4)} | change
    with pytest.raises(ValueError, match=text):
        youden_j_loss(**arguments)


# JCLoss


def test_module_equals_functions():
    logits, target = sample()
    expected = cross_entropy(logits, target[:, 0]) + youden_j_loss(logits, target, 0.7)
    assert_equal_with_gradient(JCLoss(0.7)(logits, target), expected, logits)
    torch.testing.assert_close(JCLoss(0)(logits, target), cross_entropy(logits, target[:, 0]))


@pytest.mark.parametrize("ignored", [-1, 4, 255])
def test_module_with_ignore_label(ignored):
    logits, target = sample()
    mask = sample_mask((5, 6))
    expected = cross_entropy(logits.movedim(1, -1)[mask[:, 0]], target[mask])
    expected = expected + youden_j_loss(logits, target, 0.5, mask)
    raw = target.masked_fill(~mask, ignored).to(torch.int16)
    assert_equal_with_gradient(JCLoss(ignore_label=ignored)(logits, raw), expected, logits)


@pytest.mark.parametrize("ignore", [None, 4])
def test_module_with_regions(ignore):
    logits, target = sample_regions()
    mask = None if ignore is None else sample_mask((5, 6))
    counted = torch.ones_like(target) if mask is None else mask.expand_as(target)
    expected = binary_cross_entropy_with_logits(logits[counted], target[counted].double())
    expected = expected + youden_j_loss(logits, target, 0.5, mask)
    raw = (target if mask is None else torch.cat([target, ~mask], 1)).to(torch.uint8)
    loss = JCLoss(regions=True, ignore_label=ignore)
    assert_equal_with_gradient(loss(logits, raw), expected, logits)


@pytest.mark.parametrize("regions", [False, True])
def test_module_without_any_annotation_is_a_zero_of_the_graph(regions):
    logits, target = sample_regions() if regions else sample()
    raw = torch.cat([target, torch.ones_like(target[:, :1])], 1) if regions else torch.full_like(target, 4)
    loss = JCLoss(regions=regions, ignore_label=4)(logits, raw)
    assert loss == 0
    assert torch.equal(gradient_of(loss, logits), torch.zeros_like(logits))


def test_module_on_scnp_logits():
    logits, target = sample()
    target[:, :, 0] = 4
    mask = target != 4
    result = SCNPLoss(JCLoss(ignore_label=4), 3, ignore_label=4)(logits, target)
    penalised = same_class_neighbor_penalization(logits, target, 3, mask)
    assert_equal_with_gradient(result, JCLoss(ignore_label=4)(penalised, target), logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_module_in_half_precision_and_under_autocast(dtype):
    logits, target = sample()
    half = logits.detach().to(dtype)
    expected = JCLoss()(half.float(), target)
    result = JCLoss()(half, target)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expected)
    with torch.autocast("cpu", dtype):
        torch.testing.assert_close(JCLoss()(half, target), expected)


def test_training_with_j_finds_a_class_that_cross_entropy_leaves_out():
    """One voxel in fifty, with a weak sign of its own: the mean over voxels is best served by ignoring it."""
    generator = torch.Generator().manual_seed(0)
    target = (torch.arange(2000) % 50 == 0).long().view(1, 1, -1)
    signal = target + 0.5 * torch.randn(target.shape, generator=generator)
    found = {}
    for weight in (0.0, 0.5):
        slope, bias = torch.zeros(1, 2, 1, requires_grad=True), torch.zeros(1, 2, 1, requires_grad=True)
        optimizer = torch.optim.Adam([slope, bias], lr=0.1)
        for _ in range(150):
            optimizer.zero_grad()
            JCLoss(weight)(slope * signal + bias, target).backward()
            optimizer.step()
        predicted = (slope * signal + bias).argmax(1, keepdim=True)
        found[weight] = (predicted[target == 1] == 1).float().mean()
    assert found[0.0] < 0.2
    assert found[0.5] > 0.4


def test_repr_says_what_is_in_force():
    assert repr(JCLoss(0.2, ignore_label=4)) == "JCLoss(weight=0.2, regions=False, ignore_label=4)"


@pytest.mark.parametrize("regions", [False, True])
def test_compiled_equals_eager_in_one_graph(regions):
    torch.compiler.reset()
    logits, target = sample_regions() if regions else sample()
    raw = torch.cat([target, ~sample_mask((5, 6))], 1) if regions else target.to(torch.int16)
    loss = JCLoss(regions=regions, ignore_label=3)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    assert_equal_with_gradient(compiled(logits, raw), loss(logits, raw), logits)
