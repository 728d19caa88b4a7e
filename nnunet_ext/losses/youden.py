"""JC: cross-entropy plus Youden's J, in which a class of few voxels weighs as much as one of many."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nnunet_ext.losses.arguments import check_tensors, split_target
from nnunet_ext.losses.cross_entropy import cross_entropy
from nnunet_ext.losses.label_sums import label_sums
from nnunet_ext.losses.reduction import sum_over_processes

Weight = float | Sequence[float] | Sequence[Sequence[float]] | Tensor
SMALLEST_RATE = 1e-8


def _weights(weight: Weight, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """λ as a tensor that multiplies one of `shape`, made without waiting for the device."""
    if isinstance(weight, (int, float)):
        if not 0 <= weight < math.inf:
            raise ValueError(f"weight is 0 or a positive number; got {weight}")
        return torch.full((), weight, dtype=like.dtype, device=like.device)
    tensor = torch.as_tensor(weight, dtype=like.dtype)
    if tensor.shape not in ((), shape):
        raise ValueError(f"weight is one number or {shape} for these logits; got {tuple(tensor.shape)}")
    return tensor.to(like.device, non_blocking=True)


def _pair_rates(sums: Tensor) -> tuple[Tensor, Tensor]:
    """(α_i + β_ik) / 2 from the (C, C) label sums, and which pairs count: different classes, both there."""
    # The probabilities of a voxel add up to one, so a column of S adds up to its class's number of voxels.
    sizes = sums.detach().sum(0)
    there = sizes > 0
    means = sums / torch.where(there, sizes, 1)
    pairs = (there[:, None] & there).fill_diagonal_(False)
    return (means.diagonal()[:, None] + 1 - means) / 2, pairs


def _region_rates(sums: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """(TPR + TNR) / 2 of every region from its sums and numbers of voxels outside and inside, (R, 2) each."""
    negative, positive = (sums / sizes.clamp_min(1)).unbind(1)
    return (positive + 1 - negative) / 2, (sizes > 0).all(1)


def _region_sizes(target: Tensor, mask: Tensor | None) -> Tensor:
    """(R, 2) numbers of counted voxels outside and inside each region."""
    inside = target > 0.5
    outside = ~inside if mask is None else ~inside & mask
    inside = inside if mask is None else inside & mask
    return torch.stack([side.transpose(0, 1).flatten(1).sum(1) for side in (outside, inside)], 1)


def _negative_log(rate: Tensor) -> Tensor:
    """-log(max(rate, 1e-8)); below 1e-8 the gradient is that of -rate / 1e-8 rather than none."""
    return -(rate + (rate.clamp_min(SMALLEST_RATE) - rate).detach()).log()


def youden_j_loss(logits: Tensor, target: Tensor, weight: Weight = 0.5, mask: Tensor | None = None) -> Tensor:
    r"""Youden's J as a loss: how well each class is told from every other one, whatever their sizes.

    With n_k the number of voxels of class k in the whole batch (and in all processes of a distributed
    training) and S_ik the sum over them of the predicted probability of class i:

    .. math::
        L_J = -\sum_{i \neq k} \lambda_{ik} \log \frac{\alpha_i + \beta_{ik}}{2}, \quad
        \alpha_i = \frac{S_{ii}}{n_i}, \quad \beta_{ik} = 1 - \frac{S_{ik}}{n_k}

    Regions are told from their own outside: :math:`-\sum_r \lambda_r \log((TPR_r + TNR_r) / 2)`. A class that
    is absent contributes nothing, nor does a region without voxels inside or outside; a perfect prediction
    has loss 0. Time and memory are proportional to channels × voxels, not to pairs of classes.

    Parameters
    ----------
    logits : Tensor
        Floating (B, C, *spatial). Half precision is computed in float32.
    target : Tensor
        Integer labels (B, 1, *spatial), background included among the C classes, or binary channels shaped
        like `logits` (regions; also what a single channel is taken for).
    weight : float, sequence or Tensor
        λ: one number for all; (C, C) for classes, row i the one that is to be found, column k the one it is
        told from, diagonal unused; (C,) for regions. The authors use 0.5.
    mask : Tensor, optional
        bool (B, 1, *spatial), True where a voxel counts. Others may carry any label. Without it, too, a voxel
        whose label is no class belongs to none; `JCLoss` refuses it.

    Returns
    -------
    Tensor
        Scalar, float32 or the dtype of float64 logits; 0 where nothing can be compared.

    Raises
    ------
    ValueError
        If the shapes or dtypes do not fit, or if a number given as weight is negative or not finite.

    Notes
    -----
    The logarithm's argument is clamped at 1e-8. Where it is smaller, one class being wholly taken for
    another, the gradient still passes, as of rate / 1e-8: such a network can learn, too. It stays small,
    since p (1 - p) is at most p and at most 1 - p: summed over the voxels of a channel, the gradient of a
    term is at most λ, clamped or not.

    In a distributed training every process gets the loss of the whole batch, and the gradient that
    DistributedDataParallel averages to that of the whole batch.

    References
    ----------
    Guerrero-Peña, Marrero Fernandez, Ren, Cunha. J regularization improves imbalanced multiclass
    segmentation. ISBI 2020, arXiv:1910.09783, Eqs. 1 and 2 (their terms i = k are constants, left out).

    Examples
    --------
    Two voxels of class 0, one of class 1, and a network that knows nothing: both rates are one half.

    >>> youden_j_loss(torch.zeros(1, 2, 3), torch.tensor([[[0, 1, 0]]]), weight=1.0)  # 2 log 2
    tensor(1.3863)
    """
    check_tensors(logits, target, mask)
    channels = logits.shape[1]
    sums = label_sums(logits, target, mask)
    if target.shape == logits.shape:
        weights = _weights(weight, (channels,), sums)
        sizes = _region_sizes(target, mask).to(sums.dtype)
        rates, counted = _region_rates(*sum_over_processes(torch.stack([sums, sizes])).unbind())
    else:
        weights = _weights(weight, (channels, channels), sums)
        rates, counted = _pair_rates(sum_over_processes(sums))
    return (torch.where(counted, weights, 0) * _negative_log(rates)).sum()


class JCLoss(nn.Module):
    """Cross-entropy plus Youden's J, the JC loss: ``CE + youden_j_loss``; with `regions` ``BCE + ...``.

    The cross-entropy is the mean over the counted voxels (and regions). Like J it is pooled over the
    processes of a distributed training, and it has no class weights: J takes care of small classes.

    Parameters
    ----------
    weight : float, sequence or Tensor
        λ of J, as in `youden_j_loss`; 0 is cross-entropy alone.
    regions : bool
        Whether targets are binary region channels.
    ignore_label : int, optional
        Label of voxels without annotation (with `regions`: their mask is the target's last channel).

    Examples
    --------
    >>> JCLoss()(torch.zeros(1, 2, 3), torch.tensor([[[0, 1, 0]]]))  # log 2, and 0.5 * 2 log 2
    tensor(1.3863)
    """

    def __init__(
        self, weight: Weight = 0.5, *, regions: bool = False, ignore_label: int | None = None
    ) -> None:
        super().__init__()
        self.weight = weight
        self.regions = regions
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of `logits` (B, C, *spatial) and nnU-Net's `target` for them."""
        labels, mask = split_target(target, regions=self.regions, ignore_label=self.ignore_label)
        youden = youden_j_loss(logits, labels, self.weight, mask)
        return cross_entropy(logits, labels, mask) + youden

    def extra_repr(self) -> str:
        """What is shown in nnU-Net's debug.json."""
        return f"weight={self.weight}, regions={self.regions}, ignore_label={self.ignore_label}"
