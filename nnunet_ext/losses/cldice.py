"""clDice: how well prediction and truth lie on each other's centre lines."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nnunet_ext.losses.arguments import split_target
from nnunet_ext.losses.foreground import foreground
from nnunet_ext.losses.reduction import sum_over_processes
from nnunet_ext.losses.soft_skeleton import soft_skeleton

SMOOTH = 1.0


def _line_sums(logits: Tensor, target: Tensor, steps: int, mask: Tensor | None) -> Tensor:
    """(4, B, classes or regions): sums of S_p Y, S_p, S_Y p and S_Y."""
    probabilities, truth = foreground(logits, target, mask)
    lines = soft_skeleton(probabilities, steps)
    true_lines = soft_skeleton(truth.to(torch.uint8), steps)
    axes = tuple(range(2, lines.dim()))
    return torch.stack(
        [
            (lines * truth).sum(axes),
            lines.sum(axes),
            (probabilities * true_lines).sum(axes),
            true_lines.sum(axes, dtype=lines.dtype),
        ]
    )


def cldice_loss(
    logits: Tensor,
    target: Tensor,
    steps: int = 10,
    mask: Tensor | None = None,
    *,
    batch_dice: bool = False,
) -> Tensor:
    r"""1 - soft clDice, the mean over the foreground classes or the regions.

    With S the soft skeletons of the probabilities p and of the truth Y of a class:

    .. math::
        T_p = \frac{\sum S_p Y + 1}{\sum S_p + 1}, \quad T_s = \frac{\sum S_Y p + 1}{\sum S_Y + 1}, \quad
        L = 1 - \frac{2 T_p T_s}{T_p + T_s}

    Parameters
    ----------
    logits : Tensor
        Floating (B, C, *spatial). Half precision is computed in float32.
    target : Tensor
        Integer labels (B, 1, *spatial), background included among the C classes; or binary channels shaped
        like `logits` (regions; also what a single channel is taken for).
    steps : int
        k of `soft_skeleton`: at least the largest radius of the structures, in voxels.
    mask : Tensor, optional
        bool (B, 1, *spatial), True where a voxel counts. Others may carry any label and any logit; before the
        skeletons are made, they are taken for background in prediction and truth.
    batch_dice : bool
        Sum over the batch (and all processes of a distributed training) first, as nnU-Net's Dice does under
        this name; or else the mean over the samples, each with sums of its own.

    Returns
    -------
    Tensor
        Scalar from 0 to 1, float32 or the dtype of float64 logits. Of a class that is not there, 0 if
        nothing is predicted, and the more the longer the centre lines predicted.

    Raises
    ------
    ValueError
        If the shapes or dtypes do not fit.
    IndexError
        If a counted voxel has a label that is no class (on the CPU).

    Notes
    -----
    The authors' PyTorch code always takes ten steps, adds up all channels before it divides, background
    included unless told otherwise, and takes probabilities; here logits come in, and each class counts alike.

    References
    ----------
    Shit, Paetzold et al. clDice: a novel topology-preserving loss function for tubular structure
    segmentation. CVPR 2021, arXiv:2003.07311.

    Examples
    --------
    A line of three voxels of which the last was not found: Tp = (2 + 1) / (2 + 1), Ts = (2 + 1) / (3 + 1).

    >>> logits = torch.tensor([[[[-50.0] * 5, [-50.0, 50.0, 50.0, -50.0, -50.0], [-50.0] * 5]]])
    >>> target = torch.tensor([[[[0] * 5, [0, 1, 1, 1, 0], [0] * 5]]])
    >>> cldice_loss(logits, target, steps=1)
    tensor(0.1429)
    """
    # The backward pass makes probabilities and skeletons anew: until then nothing is kept but the inputs.
    sums = checkpoint(_line_sums, logits, target, steps, mask, use_reentrant=False, preserve_rng_state=False)
    if batch_dice:
        sums = sum_over_processes(sums.sum(1))
    found, predicted, covered, there = (sums + SMOOTH).unbind()
    precision, sensitivity = found / predicted, covered / there
    return (1 - 2 * precision * sensitivity / (precision + sensitivity)).mean()


class ClDiceLoss(nn.Module):
    """`cldice_loss` as a loss of nnU-Net. The authors add it to soft Dice.

    Parameters
    ----------
    steps, batch_dice : int, bool
        As in `cldice_loss`.
    regions : bool
        Whether targets are binary region channels.
    ignore_label : int, optional
        Label of voxels without annotation (with `regions`: their mask is the target's last channel).
    """

    def __init__(
        self,
        steps: int = 10,
        *,
        batch_dice: bool = False,
        regions: bool = False,
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        self.steps = steps
        self.batch_dice = batch_dice
        self.regions = regions
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of `logits` (B, C, *spatial) and nnU-Net's `target` for them."""
        labels, mask = split_target(target, regions=self.regions, ignore_label=self.ignore_label)
        return cldice_loss(logits, labels, self.steps, mask, batch_dice=self.batch_dice)

    def extra_repr(self) -> str:
        """What is shown in nnU-Net's debug.json."""
        return (
            f"steps={self.steps}, batch_dice={self.batch_dice}, regions={self.regions}, "
            f"ignore_label={self.ignore_label}"
        )
