"""Centre-line cross-entropy: that of voxels which are, or are predicted to be, on centre lines."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nnunet_ext.losses.arguments import split_target
from nnunet_ext.losses.cross_entropy import voxel_cross_entropy
from nnunet_ext.losses.foreground import foreground
from nnunet_ext.losses.reduction import pooled_mean
from nnunet_ext.losses.soft_skeleton import soft_skeleton


def _line_costs(logits: Tensor, target: Tensor, steps: int, mask: Tensor | None) -> Tensor:
    """The sum of m (S_Y + S_p) over the counted voxels, and the regions."""
    if mask is not None:
        logits = logits.masked_fill(~mask, 0)  # whatever is there, a NaN too, has no gradient
    probabilities, truth = foreground(logits, target, mask)
    lines = soft_skeleton(probabilities, steps)
    lines = lines + soft_skeleton(truth.to(torch.uint8), steps)
    if target.shape == logits.shape:
        entropy = F.binary_cross_entropy_with_logits(logits.to(truth.dtype), truth, reduction="none")
    else:
        entropy = voxel_cross_entropy(logits, target, mask)
        lines = lines.sum(1, keepdim=True)
    return (entropy * lines).sum()  # where a voxel does not count, there are no lines


def centerline_cross_entropy(
    logits: Tensor, target: Tensor, steps: int = 3, mask: Tensor | None = None
) -> Tensor:
    r"""Cross-entropy weighed by the soft skeletons of truth and prediction.

    .. math::
        L = \operatorname{mean}_v m \, S_Y + \operatorname{mean}_v m \, S_p

    with m the cross-entropy of a voxel, and S the soft skeletons of the foreground classes added up. Of
    regions each has a cross-entropy and skeletons of its own, and the mean is over them, too.

    Parameters
    ----------
    logits : Tensor
        Floating (B, C, *spatial). Half precision is computed in float32.
    target : Tensor
        Integer labels (B, 1, *spatial), background included among the C classes; or binary channels shaped
        like `logits` (regions; also what a single channel is taken for).
    steps : int
        k of `soft_skeleton`.
    mask : Tensor, optional
        bool (B, 1, *spatial), True where a voxel counts. Others may carry any label and any logit; before the
        skeletons are made, they are taken for background in prediction and truth.

    Returns
    -------
    Tensor
        Scalar, float32 or the dtype of float64 logits; 0 where nothing counts. The mean is over all counted
        voxels, not only those on centre lines, and over all processes of a distributed training.

    Raises
    ------
    ValueError
        If the shapes or dtypes do not fit.
    IndexError
        If a counted voxel has a label that is no class (on the CPU).

    References
    ----------
    Acebes, Moustafa, Camara, Galdran. The centerline-cross entropy loss for vessel-like structure
    segmentation. MICCAI 2024. Its code is for one class against background; what several do is ours.

    Examples
    --------
    One voxel of three is on a true centre line, and with p = .119 on a predicted one: 1.119 log(1 + e²) / 3.

    >>> logits = torch.tensor([[[[-9.0], [-2.0], [-9.0]]]])
    >>> round(centerline_cross_entropy(logits, torch.tensor([[[[0], [1], [0]]]])).item(), 3)
    0.793
    """
    # The backward pass makes probabilities and skeletons anew: until then nothing is kept but the inputs.
    total = checkpoint(
        _line_costs, logits, target, steps, mask, use_reentrant=False, preserve_rng_state=False
    )
    channels = target.shape[1]  # 1 of labels
    count = total.new_full((), target.numel()) if mask is None else mask.sum() * channels
    return pooled_mean(total, count)


class CenterlineCrossEntropyLoss(nn.Module):
    """`centerline_cross_entropy` as a loss of nnU-Net. The authors add it to soft Dice.

    Parameters
    ----------
    steps : int
        k of `soft_skeleton`.
    regions : bool
        Whether targets are binary region channels.
    ignore_label : int, optional
        Label of voxels without annotation (with `regions`: their mask is the target's last channel).
    """

    def __init__(self, steps: int = 3, *, regions: bool = False, ignore_label: int | None = None) -> None:
        super().__init__()
        self.steps = steps
        self.regions = regions
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of `logits` (B, C, *spatial) and nnU-Net's `target` for them."""
        labels, mask = split_target(target, regions=self.regions, ignore_label=self.ignore_label)
        return centerline_cross_entropy(logits, labels, self.steps, mask)

    def extra_repr(self) -> str:
        """What is shown in nnU-Net's debug.json."""
        return f"steps={self.steps}, regions={self.regions}, ignore_label={self.ignore_label}"
