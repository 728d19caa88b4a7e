"""JC in two processes (gloo, CPU) must have the value and train like one on the whole batch."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from two_processes import assert_same, in_two_processes

from nnunet_ext.losses import JCLoss, SCNPLoss

pytestmark = pytest.mark.slow

CASES = ["all counted", "ignore label", "class on one rank", "one rank ignored", "SCNP logits"]
KINDS = [(case, regions) for case in CASES for regions in (False, True)]


def make_loss(case, regions):
    target_format = {"regions": regions, "ignore_label": None if case == "all counted" else 3}
    loss = JCLoss(2.0, **target_format)
    return SCNPLoss(loss, 3, joint=True, **target_format) if case == "SCNP logits" else loss


def make_batch(case, regions):
    """Two samples per process; the ignored voxels are not spread evenly."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 12, 12, generator=generator)
    target = torch.randint(0, 3, (4, 1, 12, 12), generator=generator)
    if case == "class on one rank":
        target[2:][target[2:] == 2] = 1
    if case == "one rank ignored":
        target[:2] = 3
    elif case != "all counted":
        target[0, ..., :7] = 3
    if regions:
        channels = [target.eq(1) | target.eq(2), target.eq(2)]
        target = torch.cat(channels if case == "all counted" else [*channels, target.eq(3)], 1)
    return images, target


def make_network(regions):
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2 if regions else 3, 1))


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
    images, target = make_batch("class on one rank", False)
    loss, network = make_loss("class on one rank", False), make_network(False)
    halves = [loss(network(images[half]), target[half]) for half in (slice(0, 2), slice(2, 4))]
    whole = loss(network(images), target)
    assert (sum(halves) / 2 - whole).abs() > 0.1
