"""Two processes (gloo, CPU) must train like one on the whole batch."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from nnunet_ext.losses import SCNPLoss

WORLD = 2


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


def worker(rank, regions, store, results):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=WORLD)
    images, target = make_batch(regions)
    half = slice(2 * rank, 2 * rank + 2)
    network = DistributedDataParallel(make_network(regions))
    torch.save(
        gradients(network, make_loss(regions, ddp=True), images[half], target[half]), f"{results}/{rank}"
    )
    dist.destroy_process_group()


@pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
def test_two_processes_equal_one(regions, tmp_path):
    mp.spawn(worker, args=(regions, str(tmp_path / "store"), str(tmp_path)), nprocs=WORLD)
    expected = gradients(make_network(regions), make_loss(regions, ddp=False), *make_batch(regions))
    assert max(g.abs().max() for g in expected) > 1e-3
    for rank in range(WORLD):
        for ours, theirs in zip(torch.load(tmp_path / str(rank)), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
