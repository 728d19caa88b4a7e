"""Every loss that sums over processes: two of them (gloo, CPU) must train like one on the whole batch."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from two_processes import assert_same, in_two_processes

sys.path.insert(0, str(Path(__file__).parents[1] / "losses"))
from every_loss import IGNORE, LOSSES, SHAPES, as_nnunet_loads, channels_of, draw, form

pytestmark = pytest.mark.slow

KINDS = [(name, regions) for name, case in LOSSES.items() if case.pools for regions in (False, True)]


def make_batch(regions):
    """Two samples per process; one class is on one of them alone, and most of its voxels are ignored."""
    labels = draw(SHAPES["2d"], samples=4, ignored=True)
    labels[2:][labels[2:] == 2] = 1
    labels[0] = IGNORE
    images = 5 * torch.randn(labels.shape, generator=torch.Generator().manual_seed(0))
    return images, labels, as_nnunet_loads(labels, regions, True)


def make_network(regions):
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, channels_of(regions), 1))


def value_and_gradients(network, name, regions, half=slice(None)):
    images, labels, target = (each[half] for each in make_batch(regions))
    maps = LOSSES[name].maps_of(labels, regions, True)
    value = LOSSES[name].make(**form(regions, True))(network(images), target, *maps)
    value.backward()
    return [value.detach(), *(p.grad.clone() for p in network.parameters())]


def of_half(half):
    return {
        (name, regions): value_and_gradients(
            DistributedDataParallel(make_network(regions)), name, regions, half
        )
        for name, regions in KINDS
    }


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    return in_two_processes(of_half, tmp_path_factory.mktemp("ddp"))


@pytest.mark.parametrize(("name", "regions"), KINDS)
def test_two_processes_equal_one(name, regions, two_processes):
    expected = value_and_gradients(make_network(regions), name, regions)
    assert_same([of_one[name, regions] for of_one in two_processes], expected)


@pytest.mark.parametrize(("name", "regions"), KINDS)
def test_halves_alone_would_differ(name, regions):
    """The comparison above can tell a mean over processes from pooling."""
    halves = [
        value_and_gradients(make_network(regions), name, regions, half)[0]
        for half in (slice(0, 2), slice(2, 4))
    ]
    whole = value_and_gradients(make_network(regions), name, regions)[0]
    assert (sum(halves) / 2 - whole).abs() > 1e-4
