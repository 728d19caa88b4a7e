"""Weighted cross-entropy in two processes (gloo, CPU) must train like one on the whole batch."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from two_processes import assert_same, in_two_processes

from nnunet_ext.losses import WeightedCrossEntropy

pytestmark = pytest.mark.slow

CASES = ["all counted", "ignore label", "one rank without weight", "one rank ignored"]
KINDS = [(case, regions) for case in CASES for regions in (False, True)]


def make_loss(case, regions):
    return WeightedCrossEntropy(regions=regions, ignore_label=3 if "ignore" in case else None)


def make_batch(case, regions):
    """Two samples per process; the second has five times the weights and the contrast of the first."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 12, 12, generator=generator)
    target = torch.randint(0, 3, (4, 1, 12, 12), generator=generator)
    weights = torch.rand(4, 1, 12, 12, generator=generator)
    images[2:] *= 5
    weights[2:] *= 5
    if case == "ignore label":
        target[0, ..., :7] = 3
    if case == "one rank ignored":
        target[:2] = 3
    if case == "one rank without weight":
        weights[:2] = 0
    if regions:
        channels = [target.eq(1) | target.eq(2), target.eq(2)]
        target = torch.cat([*channels, target.eq(3)] if "ignore" in case else channels, 1)
    return images, target, weights


def make_network(regions):
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2 if regions else 3, 1))


def value_and_gradients(network, loss, images, target, weights):
    value = loss(network(images), target, weights)
    value.backward()
    return [value.detach(), *(p.grad.clone() for p in network.parameters())]


def of_half(half):
    found = {}
    for case, regions in KINDS:
        network = DistributedDataParallel(make_network(regions))
        batch = (tensor[half] for tensor in make_batch(case, regions))
        found[case, regions] = value_and_gradients(network, make_loss(case, regions), *batch)
    return found


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    return in_two_processes(of_half, tmp_path_factory.mktemp("ddp"))


@pytest.mark.parametrize(
    ("case", "regions"), KINDS, ids=lambda v: v if isinstance(v, str) else f"regions {v}"
)
def test_two_processes_equal_one(case, regions, two_processes):
    expected = value_and_gradients(
        make_network(regions), make_loss(case, regions), *make_batch(case, regions)
    )
    assert_same([of_one[case, regions] for of_one in two_processes], expected)


def test_halves_alone_would_differ():
    """The comparison above can tell a mean over processes from pooling."""
    images, target, weights = make_batch("all counted", False)
    loss, network = make_loss("all counted", False), make_network(False)
    halves = [loss(network(images[h]), target[h], weights[h]) for h in (slice(0, 2), slice(2, 4))]
    whole = loss(network(images), target, weights)
    assert (sum(halves) / 2 - whole).abs() > 0.01
