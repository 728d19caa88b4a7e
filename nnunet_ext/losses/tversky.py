"""Tversky loss: Dice in which false positives and false negatives weigh differently."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nnunet_ext.losses.arguments import check_labels, check_tensors, split_target
from nnunet_ext.losses.label_sums import label_sums
from nnunet_ext.losses.reduction import sum_over_processes

SMOOTH = 1e-5


def _overlaps(logits: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    """(3, C): true positives, all positives (predicted), and voxels of the class, summed over a batch."""
    sums = label_sums(logits, target, mask)
    if target.shape == logits.shape:
        inside = target > 0.5 if mask is None else (target > 0.5) & mask
        sizes = inside.transpose(0, 1).flatten(1).sum(1).to(sums.dtype)
        return torch.stack([sums[:, 1], sums.sum(1), sizes])
    # The probabilities of a voxel add up to one, so a column adds up to its class's number of voxels.
    return torch.stack([sums.diagonal(), sums.sum(1), sums.detach().sum(0)])


def tversky_loss(
    logits: Tensor,
    target: Tensor,
    fp: float = 0.5,
    fn: float = 0.5,
    mask: Tensor | None = None,
    *,
    batch_dice: bool = False,
) -> Tensor:
    r"""Tversky loss, the mean over the classes, background included, or over the regions.

    With the sums over the voxels TP = Σ p·Y, FP = Σ p·(1 - Y) and FN = Σ (1 - p)·Y of a class:

    .. math::
        L = 1 - \frac{TP + 10^{-5}}{TP + w_{fp} FP + w_{fn} FN + 10^{-5}}

    Equal weights of one half are Dice. Papers disagree on which of α and β is which; here the weights are
    called what they weigh.

    Parameters
    ----------
    logits : Tensor
        Floating (B, C, *spatial). Half precision is computed in float32.
    target : Tensor
        Integer labels (B, 1, *spatial), or binary channels shaped like `logits` (regions; also what a single
        channel is taken for).
    fp, fn : float
        Weights of false positives and false negatives, 0 or more. More weight on `fn` finds more.
    mask : Tensor, optional
        bool (B, 1, *spatial), True where a voxel counts. Others may carry any label.
    batch_dice : bool
        Sum over the batch (and all processes of a distributed training) first, as nnU-Net's Dice does under
        this name; or else the mean over the samples, each with sums of its own.

    Returns
    -------
    Tensor
        Scalar from 0 to 1, float32 or the dtype of float64 logits. A class that is in no sample counts as
        the formula says: 1 as soon as it is predicted anywhere.

    Raises
    ------
    ValueError
        If the shapes or dtypes do not fit, or a weight is negative or not finite.
    IndexError
        If a counted voxel has a label that is no class (on the CPU).

    References
    ----------
    Salehi, Erdogmus, Gholipour. Tversky loss function for image segmentation using 3D fully convolutional
    deep networks. MLMI 2017, arXiv:1706.05721. The constant, and the background, are MONAI's.

    Examples
    --------
    One of two foreground voxels found, nothing else: TP 1, FN 1.

    >>> logits = torch.tensor([[[-20.0, 20.0, -20.0]]])
    >>> tversky_loss(logits, torch.tensor([[[0, 1, 1]]]), fp=0.5, fn=3.0)
    tensor(0.7500)
    """
    check_tensors(logits, target, mask)
    if not all(0 <= weight < math.inf for weight in (fp, fn)):
        raise ValueError(f"fp and fn are 0 or positive numbers; got {fp} and {fn}")
    if target.shape != logits.shape:
        check_labels(target, logits.shape[1], mask)
    if batch_dice:
        overlaps = sum_over_processes(_overlaps(logits, target, mask))[None]
    else:
        samples = [slice(b, b + 1) for b in range(len(logits))]
        overlaps = torch.stack(
            [_overlaps(logits[b], target[b], None if mask is None else mask[b]) for b in samples]
        )
    hits, predicted, there = overlaps.unbind(1)
    wrong = fp * (predicted - hits) + fn * (there - hits)
    return (1 - (hits + SMOOTH) / (hits + wrong + SMOOTH)).mean()


class TverskyLoss(nn.Module):
    """`tversky_loss` as a loss of nnU-Net.

    Parameters
    ----------
    fp, fn, batch_dice : float, float, bool
        As in `tversky_loss`.
    regions : bool
        Whether targets are binary region channels.
    ignore_label : int, optional
        Label of voxels without annotation (with `regions`: their mask is the target's last channel).
    """

    def __init__(
        self,
        fp: float = 0.5,
        fn: float = 0.5,
        *,
        batch_dice: bool = False,
        regions: bool = False,
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        self.fp, self.fn = fp, fn
        self.batch_dice = batch_dice
        self.regions = regions
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of `logits` (B, C, *spatial) and nnU-Net's `target` for them."""
        labels, mask = split_target(target, regions=self.regions, ignore_label=self.ignore_label)
        return tversky_loss(logits, labels, self.fp, self.fn, mask, batch_dice=self.batch_dice)

    def extra_repr(self) -> str:
        """What is shown in nnU-Net's debug.json."""
        return (
            f"fp={self.fp}, fn={self.fn}, batch_dice={self.batch_dice}, regions={self.regions}, "
            f"ignore_label={self.ignore_label}"
        )
