"""Two processes (gloo, CPU) must train like one on the whole batch."""

import pytest
import torch
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from two_processes import assert_same, in_two_processes

from nnunet_ext.losses import SCNPLoss

pytestmark = pytest.mark.slow


def make_loss(regions, ddp):
    """SCNP on nnU-Net's own loss with batch Dice, as the trainer builds it; with an ignore label."""
    dice = {"batch_dice": True, "smooth": 1e-5, "do_bg": regions, "ddp": ddp}
    if regions:
        base = DC_and_BCE_loss({}, dice, use_ignore_label=True, dice_class=MemoryEfficientSoftDiceLoss)
    else:
        base = DC_and_CE_loss(dice, {}, ignore_label=3, dice_class=MemoryEfficientSoftDiceLoss)
    return SCNPLoss(base, 3, joint=True, regions=regions, ignore_label=3)


def make_batch(regions):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 12, 12, generator=generator)
    target = torch.randint(0, 3, (4, 1, 12, 12), generator=generator)
    target[..., 0] = 3  # as many ignored voxels in each half: cross-entropy averages over the others
    if regions:
        target = torch.cat([target.eq(1) | target.eq(2), target.eq(2), target.eq(3)], 1)
    return images, target


def make_network(regions):
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2 if regions else 3, 1))


def gradients(network, loss, images, target):
    loss(network(images), target).backward()
    return [p.grad.clone() for p in network.parameters()]


def of_half(half):
    found = {}
    for regions in (False, True):
        images, target = make_batch(regions)
        network = DistributedDataParallel(make_network(regions))
        found[regions] = gradients(network, make_loss(regions, ddp=True), images[half], target[half])
    return found


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    return in_two_processes(of_half, tmp_path_factory.mktemp("ddp"))


@pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
def test_two_processes_equal_one(regions, two_processes):
    expected = gradients(make_network(regions), make_loss(regions, ddp=False), *make_batch(regions))
    assert_same([of_one[regions] for of_one in two_processes], expected)
