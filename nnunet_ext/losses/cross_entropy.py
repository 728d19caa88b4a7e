"""Cross-entropy, the term that most losses here are added to or weigh: of every voxel, and its mean."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nnunet_ext.losses.arguments import check_tensors, known_labels, split_target
from nnunet_ext.losses.reduction import pooled_mean

NO_LABEL = -100


def voxel_cross_entropy(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Cross-entropy of every voxel; of regions, the mean of their binary ones.

    Parameters
    ----------
    logits : Tensor
        Floating (B, C, *spatial). Half precision is computed in float32.
    target : Tensor
        Integer labels (B, 1, *spatial), background included among the C classes, or binary channels shaped
        like `logits` (regions; also what a single channel is taken for).
    mask : Tensor, optional
        bool (B, 1, *spatial), True where a voxel counts. Others may carry any label.

    Returns
    -------
    Tensor
        (B, 1, *spatial), float32 or the dtype of float64 logits; 0 where a voxel does not count.

    Raises
    ------
    ValueError
        If the shapes or dtypes do not fit.
    IndexError
        If a counted voxel has a label that is no class (on the CPU; on a GPU PyTorch stops).

    Examples
    --------
    >>> voxel_cross_entropy(torch.zeros(1, 2, 2), torch.tensor([[[0, 1]]]))  # log 2
    tensor([[[0.6931, 0.6931]]])
    """
    check_tensors(logits, target, mask)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if target.shape == logits.shape:
        regions = (target > 0.5).to(logits.dtype)
        entropy = F.binary_cross_entropy_with_logits(logits, regions, reduction="none").mean(1, keepdim=True)
        return entropy if mask is None else torch.where(mask, entropy, 0)
    labels = known_labels(target, logits.shape[1], mask, NO_LABEL)
    return F.cross_entropy(logits, labels[:, 0], ignore_index=NO_LABEL, reduction="none")[:, None]


def cross_entropy(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of `voxel_cross_entropy` over the counted voxels of the batch, and of all processes.

    Parameters and errors are those of `voxel_cross_entropy`.

    Returns
    -------
    Tensor
        Scalar; 0 where nothing counts.

    Examples
    --------
    >>> cross_entropy(torch.zeros(1, 2, 2), torch.tensor([[[0, 1]]]))
    tensor(0.6931)
    """
    entropy = voxel_cross_entropy(logits, target, mask)
    # Summed as one tensor of values: a reduction within the loss would, on a GPU, add up in any order.
    count = entropy.new_full((), entropy.numel()) if mask is None else mask.sum()
    return pooled_mean(entropy.sum(), count)


class CrossEntropyLoss(nn.Module):
    """`cross_entropy` as a loss of nnU-Net: its own without the Dice term.

    The mean over the counted voxels (and regions) is that of the whole batch in a distributed training, too.
    nnU-Net's is the same in one process, except for regions with an ignore label: there it adds up the
    regions instead of taking their mean.

    Parameters
    ----------
    regions : bool
        Whether targets are binary region channels.
    ignore_label : int, optional
        Label of voxels without annotation (with `regions`: their mask is the target's last channel).

    Examples
    --------
    >>> CrossEntropyLoss(ignore_label=2)(torch.zeros(1, 2, 3), torch.tensor([[[0, 1, 2]]]))
    tensor(0.6931)
    """

    def __init__(self, *, regions: bool = False, ignore_label: int | None = None) -> None:
        super().__init__()
        self.regions = regions
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of `logits` (B, C, *spatial) and nnU-Net's `target` for them."""
        return cross_entropy(
            logits, *split_target(target, regions=self.regions, ignore_label=self.ignore_label)
        )

    def extra_repr(self) -> str:
        """What is shown in nnU-Net's debug.json."""
        return f"regions={self.regions}, ignore_label={self.ignore_label}"
