"""Probabilities of the foreground beside the truth, for losses that look at each structure by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from nnunet_ext.losses.arguments import check_tensors, known_labels


def foreground(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Predicted and true foreground: the classes without background, or the regions.

    Parameters
    ----------
    logits : Tensor
        Floating (B, C, *spatial). Half precision is computed in float32.
    target : Tensor
        Integer labels (B, 1, *spatial), background included among the C classes; or binary channels shaped
        like `logits` (regions; also what a single channel is taken for).
    mask : Tensor, optional
        bool (B, 1, *spatial), True where a voxel counts. Others may carry any label and any logit.

    Returns
    -------
    probabilities, truth : Tensor
        (B, C - 1, *spatial), or (B, C, *spatial) of regions; float32 or the dtype of float64 logits; the
        truth is 0 or 1. Both are 0 where a voxel does not count.

    Raises
    ------
    ValueError
        If the shapes or dtypes do not fit.
    IndexError
        If a counted voxel has a label that is no class (on the CPU).

    Examples
    --------
    >>> foreground(torch.zeros(1, 2, 3), torch.tensor([[[0, 1, 9]]]), torch.tensor([[[True, True, False]]]))
    (tensor([[[0.5000, 0.5000, 0.0000]]]), tensor([[[0., 1., 0.]]]))
    """
    check_tensors(logits, target, mask)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if mask is not None:
        logits = logits.masked_fill(~mask, 0)  # whatever is there, a NaN too, has no gradient
    if target.shape == logits.shape:
        probabilities, truth = logits.sigmoid(), target > 0.5
    else:
        probabilities = logits.softmax(1)[:, 1:]
        classes = torch.arange(1, logits.shape[1], device=logits.device)
        labels = known_labels(target, logits.shape[1], mask)
        truth = labels == classes.view(1, -1, *[1] * (logits.dim() - 2))
    if mask is not None:
        probabilities = torch.where(mask, probabilities, 0)
        truth = truth & mask
    return probabilities, truth.to(probabilities.dtype)
