"""TopoLoss in two processes (gloo, CPU) must have the value and train like one on the whole batch."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from two_processes import assert_same, in_two_processes

from nnunet_ext.losses import TopologicalLoss

pytestmark = pytest.mark.slow

CASES = ["all counted", "ignore label", "one rank ignored", "one rank right"]
KINDS = [(case, regions) for case in CASES for regions in (False, True)]


def make_loss(case, regions):
    return TopologicalLoss(8, holes=True, regions=regions, ignore_label=None if case == "all counted" else 3)


def make_batch(case, regions):
    """Two samples per process; of the first, whole patches are ignored."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 14, 20, generator=generator)
    target = torch.randint(0, 3, (4, 1, 14, 20), generator=generator)
    if case == "one rank ignored":
        target[:2] = 3
    elif case == "one rank right":
        images[:2], target[:2] = -9, 0
    elif case == "ignore label":
        target[0, ..., :17] = 3
    if regions:
        channels = [target.eq(1) | target.eq(2), target.eq(2)]
        target = torch.cat(channels if case == "all counted" else [*channels, target.eq(3)], 1)
    return images, target


def make_network(regions):
    """Dark is background."""
    torch.manual_seed(1)
    network = nn.Conv2d(1, 2 if regions else 3, 1)
    weight = torch.tensor([2.0, 1.5] if regions else [-1.0, 2.0, 1.0])
    network.weight.data[:] = weight.view(-1, 1, 1, 1)
    return network


def value_and_gradients(network, loss, images, target):
    value = loss(network(images), target)
    value.backward()
    return [value.detach(), *(p.grad.clone() for p in network.parameters())]


def of_half(half):
    found = {}
    for case, regions in KINDS:
        images, target = make_batch(case, regions)
        network = DistributedDataParallel(make_network(regions))
        found[case, regions] = value_and_gradients(
            network, make_loss(case, regions), images[half], target[half]
        )
    return found


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    return in_two_processes(of_half, tmp_path_factory.mktemp("ddp"))


@pytest.mark.parametrize(
    ("case", "regions"), KINDS, ids=lambda v: v if isinstance(v, str) else f"regions {v}"
)
def test_two_processes_equal_one(case, regions, two_processes):
    loss = make_loss(case, regions)
    expected = value_and_gradients(make_network(regions), loss, *make_batch(case, regions))
    assert_same([of_one[case, regions] for of_one in two_processes], expected)


def test_halves_alone_would_differ():
    """The comparison above can tell a mean over processes from pooling."""
    images, target = make_batch("ignore label", False)
    loss, network = make_loss("ignore label", False), make_network(False)
    halves = [loss(network(images[half]), target[half]) for half in (slice(0, 2), slice(2, 4))]
    whole = loss(network(images), target)
    assert (sum(halves) / 2 - whole).abs() > 0.01
