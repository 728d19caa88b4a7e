"""Cross-entropy with a weight for every voxel."""

from __future__ import annotations

from torch import Tensor, nn

from nnunet_ext.losses.arguments import split_target
from nnunet_ext.losses.cross_entropy import voxel_cross_entropy
from nnunet_ext.losses.reduction import pooled_mean


def weighted_cross_entropy(
    logits: Tensor, target: Tensor, weight_map: Tensor, mask: Tensor | None = None
) -> Tensor:
    r"""Mean cross-entropy in which every voxel has its own weight.

    .. math::
        L = \frac{\sum_v w(v) \, CE(v)}{\sum_v w(v)}

    over the counted voxels of the whole batch (and of all processes of a distributed training): the weights
    act as if scaled to mean 1, so that the learning rate keeps its meaning whatever their unit. Of regions,
    CE(v) is the mean of their binary cross-entropies.

    Parameters
    ----------
    logits : Tensor
        Floating (B, C, *spatial). Half precision is computed in float32.
    target : Tensor
        Integer labels (B, 1, *spatial), background included among the C classes, or binary channels shaped
        like `logits` (regions; also what a single channel is taken for).
    weight_map : Tensor
        Floating (B, 1, *spatial), 0 or more, finite. Its values are not looked at, which would stall a GPU:
        a negative one pushes its voxel away from its label, and a NaN makes the loss NaN.
    mask : Tensor, optional
        bool (B, 1, *spatial), True where a voxel counts. Others may carry any label and any weight.

    Returns
    -------
    Tensor
        Scalar, float32 or the dtype of float64 logits; 0 where all weights are 0.

    Raises
    ------
    ValueError
        If the shapes or dtypes do not fit.
    IndexError
        If a counted voxel has a label that is no class (on the CPU; on a GPU PyTorch stops).

    Notes
    -----
    In a distributed training every process gets the loss of the whole batch, and the gradient that
    DistributedDataParallel averages to that of the whole batch.

    References
    ----------
    Ronneberger, Fischer, Brox. U-Net: Convolutional Networks for Biomedical Image Segmentation. MICCAI 2015,
    arXiv:1505.04597, Eq. 1. Guerrero-Peña et al. Multiclass Weighted Loss for Instance Segmentation of
    Cluttered Cells. ICIP 2018, arXiv:1802.07465.

    Examples
    --------
    Two wrong voxels with loss log(1 + e) = 1.3133, a right one with log(1 + 1/e) = 0.3133 that weighs twice:

    >>> import torch
    >>> logits = torch.tensor([[[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    >>> labels = torch.tensor([[[1, 1, 1]]])
    >>> weighted_cross_entropy(logits, labels, torch.tensor([[[1.0, 1.0, 2.0]]]))
    tensor(0.8133)
    """
    entropy = voxel_cross_entropy(logits, target, mask)
    expected = (logits.shape[0], 1, *logits.shape[2:])
    if weight_map.shape != expected or not weight_map.is_floating_point():
        raise ValueError(
            f"weight_map is floating {expected} for these logits; "
            f"got {tuple(weight_map.shape)} of {weight_map.dtype}"
        )
    weights = weight_map.to(entropy.dtype)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0)  # not multiplied: an ignored weight may be NaN
    return pooled_mean((weights * entropy).sum(), weights.sum())


class WeightedCrossEntropy(nn.Module):
    """`weighted_cross_entropy` as a loss of nnU-Net: ``loss(logits, target, weight_map)``.

    Parameters
    ----------
    dice : nn.Module, optional
        A further term, called as ``dice(logits, target)`` with nnU-Net's target and added. nnU-Net's own loss
        with its ``weight_ce`` set to 0 is its Dice term, prepared for regions and ignore label.
    regions : bool
        Whether targets are binary region channels.
    ignore_label : int, optional
        Label of voxels without annotation (with `regions`: their mask is the target's last channel).

    Examples
    --------
    >>> import torch
    >>> weights = torch.tensor([[[1.0, 1.0, 5.0]]])
    >>> WeightedCrossEntropy()(torch.zeros(1, 2, 3), torch.tensor([[[0, 1, 0]]]), weights)  # log 2
    tensor(0.6931)
    """

    def __init__(
        self, dice: nn.Module | None = None, *, regions: bool = False, ignore_label: int | None = None
    ) -> None:
        super().__init__()
        self.dice = dice
        self.regions = regions
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor, weight_map: Tensor) -> Tensor:
        """Scalar loss of `logits` (B, C, *spatial), nnU-Net's `target` and (B, 1, *spatial) `weight_map`."""
        labels, mask = split_target(target, regions=self.regions, ignore_label=self.ignore_label)
        loss = weighted_cross_entropy(logits, labels, weight_map, mask)
        return loss if self.dice is None else loss + self.dice(logits, target)

    def extra_repr(self) -> str:
        """What is shown in nnU-Net's debug.json."""
        return f"regions={self.regions}, ignore_label={self.ignore_label}"
