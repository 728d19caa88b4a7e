"""Skeleton Recall: how much of the tubes around the true centre lines is found."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nnunet_ext.losses.arguments import split_target
from nnunet_ext.losses.foreground import foreground
from nnunet_ext.losses.reduction import sum_over_processes

SMOOTH = 1e-5


def skeleton_recall_loss(
    logits: Tensor,
    target: Tensor,
    tubes: Tensor,
    mask: Tensor | None = None,
    *,
    batch_dice: bool = False,
) -> Tensor:
    r"""Minus the soft recall of tubes around the true centre lines, the mean over classes or regions.

    With T_c the voxels of class c in a tube:

    .. math::
        L = -\operatorname{mean}_c \frac{\sum_v p_c T_c + 10^{-5}}{\sum_v T_c + 10^{-5}}

    Background is left out. False positives cost nothing: it is a term beside another loss.

    Parameters
    ----------
    logits : Tensor
        Floating (B, C, *spatial). Half precision is computed in float32.
    target : Tensor
        Integer labels (B, 1, *spatial), background included among the C classes; or binary channels shaped
        like `logits` (regions; also what a single channel is taken for).
    tubes : Tensor
        0 or 1, (B, 1, *spatial), for all foreground together; or a channel for each class but background, or
        for each region. See `nnunet_ext.targets.skeleton_tube`.
    mask : Tensor, optional
        bool (B, 1, *spatial), True where a voxel counts. Others may carry any label.
    batch_dice : bool
        Sum over the batch (and all processes of a distributed training) first, as nnU-Net's Dice does under
        this name; or else the mean over the samples, each with sums of its own.

    Returns
    -------
    Tensor
        Scalar from -1 to 0, float32 or the dtype of float64 logits. A class without tubes has recall 1.

    Raises
    ------
    ValueError
        If the shapes or dtypes do not fit.
    IndexError
        If a counted voxel has a label that is no class (on the CPU).

    References
    ----------
    Kirchhoff, Rokuss, Roy et al. Skeleton Recall loss for connectivity conserving and resource efficient
    segmentation of thin tubular structures. ECCV 2024, arXiv:2404.03010.

    Examples
    --------
    Of two voxels in a tube one is found:

    >>> logits = torch.tensor([[[50.0, -50.0, 50.0]]])
    >>> skeleton_recall_loss(logits, torch.tensor([[[1, 1, 0]]]), torch.tensor([[[1.0, 1.0, 1.0]]]))
    tensor(-0.5000)
    """
    probabilities, truth = foreground(logits, target, mask)
    batch, _, *spatial = probabilities.shape
    if tubes.shape not in ((batch, 1, *spatial), probabilities.shape):
        raise ValueError(
            f"tubes are {(batch, 1, *spatial)} or {tuple(probabilities.shape)} for these logits; "
            f"got {tuple(tubes.shape)}"
        )
    inside = truth * (tubes > 0.5)
    axes = tuple(range(2, inside.dim()))
    found, there = (probabilities * inside).sum(axes), inside.sum(axes)
    if batch_dice:
        found, there = sum_over_processes(torch.stack([found.sum(0), there.sum(0)])).unbind()
    return -((found + SMOOTH) / (there + SMOOTH)).mean()


class SkeletonRecallLoss(nn.Module):
    """`skeleton_recall_loss` as a loss of nnU-Net: ``loss(logits, target, tubes)``.

    Parameters
    ----------
    batch_dice : bool
        As in `skeleton_recall_loss`.
    regions : bool
        Whether targets are binary region channels.
    ignore_label : int, optional
        Label of voxels without annotation (with `regions`: their mask is the target's last channel).
    """

    def __init__(
        self, *, batch_dice: bool = False, regions: bool = False, ignore_label: int | None = None
    ) -> None:
        super().__init__()
        self.batch_dice = batch_dice
        self.regions = regions
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor, tubes: Tensor) -> Tensor:
        """Scalar loss of `logits` (B, C, *spatial), nnU-Net's `target`, and the maps of the tubes."""
        labels, mask = split_target(target, regions=self.regions, ignore_label=self.ignore_label)
        return skeleton_recall_loss(logits, labels, tubes, mask, batch_dice=self.batch_dice)

    def extra_repr(self) -> str:
        """What is shown in nnU-Net's debug.json."""
        return f"batch_dice={self.batch_dice}, regions={self.regions}, ignore_label={self.ignore_label}"
