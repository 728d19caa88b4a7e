"""SCNP around nnU-Net's own losses, the way a GPU training calls them: autocast, compiled Dice."""

import pytest
import torch
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

from nnunet_ext.losses import SCNPLoss

DICE = {"batch_dice": True, "smooth": 1e-5, "do_bg": False, "ddp": False}


def setup(regions, shape):
    torch.manual_seed(0)
    base_class = DC_and_BCE_loss if regions else DC_and_CE_loss
    base = base_class(
        *(({}, dict(DICE)) if regions else (dict(DICE), {})), dice_class=MemoryEfficientSoftDiceLoss
    )
    convolution = torch.nn.Conv2d if len(shape) == 2 else torch.nn.Conv3d
    network = convolution(1, 2 if regions else 3, 3, padding=1)
    target = torch.randint(0, 3, (2, 1, *shape)).to(torch.int16)
    if regions:
        target = torch.cat([target > 0, target > 1], 1)
    return SCNPLoss(base, 3, joint=True, regions=regions), network, torch.randn(2, 1, *shape), target


def run(loss, network, image, target, autocast=False):
    network.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        value = loss(network(image), target)
    value.backward()
    return value.detach().float(), network.weight.grad.clone()


@pytest.mark.parametrize("shape", [(16, 16), (6, 8, 8)], ids=["2d", "3d"])
@pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
def test_autocast_trains_like_float32(regions, shape):
    problem = setup(regions, shape)
    value, gradient = run(*problem)
    low_value, low_gradient = run(*problem, autocast=True)
    torch.testing.assert_close(low_value, value, rtol=0.02, atol=0.02)
    assert torch.cosine_similarity(low_gradient.flatten(), gradient.flatten(), dim=0) > 0.98


def test_compiled_dice_inside_equals_eager():
    """nnU-Net compiles the Dice term of its loss on a GPU."""
    loss, *problem = setup(False, (16, 16))
    value, gradient = run(loss, *problem)
    loss.base_loss.dc = torch.compile(loss.base_loss.dc, backend="aot_eager")
    compiled_value, compiled_gradient = run(loss, *problem)
    torch.testing.assert_close(compiled_value, value)
    torch.testing.assert_close(compiled_gradient, gradient)
