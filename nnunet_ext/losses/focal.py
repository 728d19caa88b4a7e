"""Focal loss: cross-entropy in which voxels that are right already count less."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nnunet_ext.losses.arguments import split_target
from nnunet_ext.losses.cross_entropy import voxel_cross_entropy
from nnunet_ext.losses.reduction import mean_over_counted


def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0, mask: Tensor | None = None) -> Tensor:
    r"""Mean focal loss of the counted voxels, and of the regions.

    With p the probability of a voxel's class (of a region: of what is true of it there):

    .. math::
        L = -(1 - p)^\gamma \log p

    Parameters
    ----------
    logits : Tensor
        Floating (B, C, *spatial). Half precision is computed in float32.
    target : Tensor
        Integer labels (B, 1, *spatial), background included among the C classes, or binary channels shaped
        like `logits` (regions; also what a single channel is taken for).
    gamma : float
        γ, 0 or more; 0 is cross-entropy.
    mask : Tensor, optional
        bool (B, 1, *spatial), True where a voxel counts. Others may carry any label.

    Returns
    -------
    Tensor
        Scalar, float32 or the dtype of float64 logits; 0 where nothing counts. The mean is that of all
        processes in a distributed training.

    Raises
    ------
    ValueError
        If the shapes or dtypes do not fit, or γ is negative or not finite.
    IndexError
        If a counted voxel has a label that is no class (on the CPU).

    Notes
    -----
    There is no weight α. MONAI's loss of classes is this divided by their number: it also averages over the
    channels, of which only one of each voxel is not 0.

    References
    ----------
    Lin, Goyal, Girshick, He, Dollár. Focal loss for dense object detection. ICCV 2017, arXiv:1708.02002.

    Examples
    --------
    >>> focal_loss(torch.zeros(1, 2, 3), torch.tensor([[[0, 1, 0]]]))  # .25 log 2
    tensor(0.1733)
    """
    if not 0 <= gamma < math.inf:
        raise ValueError(f"gamma is 0 or a positive number; got {gamma}")
    if target.shape == logits.shape:
        # Each region by itself: the channels become samples of one region.
        channels = logits.shape[1]
        logits, target = logits.flatten(0, 1)[:, None], target.flatten(0, 1)[:, None]
        mask = None if mask is None else mask.expand(-1, channels, *mask.shape[2:]).flatten(0, 1)[:, None]
    entropy = voxel_cross_entropy(logits, target, mask)
    # 1 - p by expm1, or a voxel that is nearly right would lose its digits; above 0, or γ < 1 has no slope.
    wrong = (-torch.expm1(-entropy)).clamp_min(torch.finfo(entropy.dtype).tiny)
    return mean_over_counted(wrong**gamma * entropy, mask)


class FocalLoss(nn.Module):
    """`focal_loss` as a loss of nnU-Net.

    Parameters
    ----------
    gamma : float
        γ.
    regions : bool
        Whether targets are binary region channels.
    ignore_label : int, optional
        Label of voxels without annotation (with `regions`: their mask is the target's last channel).
    """

    def __init__(self, gamma: float = 2.0, *, regions: bool = False, ignore_label: int | None = None) -> None:
        super().__init__()
        self.gamma = gamma
        self.regions = regions
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of `logits` (B, C, *spatial) and nnU-Net's `target` for them."""
        labels, mask = split_target(target, regions=self.regions, ignore_label=self.ignore_label)
        return focal_loss(logits, labels, self.gamma, mask)

    def extra_repr(self) -> str:
        """What is shown in nnU-Net's debug.json."""
        return f"gamma={self.gamma}, regions={self.regions}, ignore_label={self.ignore_label}"
