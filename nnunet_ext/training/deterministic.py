"""Deterministic algorithms of PyTorch: on a GPU a sum may otherwise be rounded differently each time."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from nnunetv2.training.loss.robust_ce_loss import RobustCrossEntropyLoss
from torch import Tensor, nn
from torch.backends import cudnn

from nnunet_ext.errors import UserError

WORD = "deterministic"  # the option in a trainer's name
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_REFUSED = re.compile(r"(\S+) does not have a deterministic implementation")


@contextmanager
def deterministic_algorithms(trainer: str, device: torch.device) -> Iterator[None]:
    """Let PyTorch take deterministic algorithms alone, for as long as the context lasts.

    Parameters
    ----------
    trainer : str
        The name of the trainer, for the error text.
    device : torch.device
        What it trains on, for the same.

    Raises
    ------
    UserError
        If something inside needs an operation that has no such algorithm; the text names it.
    """
    os.environ.setdefault(_CUBLAS, ":4096:8")  # read by cuBLAS before its first multiplication
    before = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic = True
    try:
        yield
    except RuntimeError as error:
        operation = refused_operation(error)
        if operation is None:
            raise
        raise UserError(
            f"{trainer}: in PyTorch {torch.__version__} on {device.type}, {operation}. Train without "
            f"deterministic algorithms: -tr {trainer.replace('_' + WORD, '')}. Two such trainings of one "
            "seed begin alike and drift apart by rounding."
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.deterministic = before[1]


def refused_operation(error: RuntimeError) -> str | None:
    """What PyTorch refused to do otherwise than at random, or None if the error is another one."""
    if found := _REFUSED.search(str(error)):
        return f"the operation {found[1]} has no deterministic algorithm"
    if _CUBLAS in str(error):
        return (
            f"matrix multiplication is not deterministic with {_CUBLAS}={os.environ.get(_CUBLAS)} (an "
            "environment variable; deterministic are :4096:8 and :16:8)"
        )
    return None


class MeanOfVoxels(nn.Module):
    """nnU-Net's cross-entropy, voxel by voxel, and their mean: PyTorch's own mean adds up in any order.

    Parameters
    ----------
    entropy : RobustCrossEntropyLoss
        nnU-Net's, without class weights; changed in place.
    """

    def __init__(self, entropy: RobustCrossEntropyLoss) -> None:
        super().__init__()
        entropy.reduction = "none"
        self.entropy = entropy

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of logits (B, C, *spatial) and labels (B, *spatial) or (B, 1, *spatial)."""
        counted = target != self.entropy.ignore_index
        return self.entropy(output, target).sum() / counted.sum()


def with_deterministic_sums(loss: nn.Module) -> nn.Module:
    """`loss` with every cross-entropy of nnU-Net in it as `MeanOfVoxels`; changed in place."""
    for module in [*loss.modules()]:
        for name, inner in module.named_children():
            if type(inner) is RobustCrossEntropyLoss and inner.weight is None and inner.reduction == "mean":
                setattr(module, name, MeanOfVoxels(inner))
    return loss
