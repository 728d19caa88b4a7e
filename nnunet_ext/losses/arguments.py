"""What losses are called with: shapes and types of logits, target and mask, and nnU-Net's target split up.

Only shapes and types are looked at, so that no device has to wait.
"""

from __future__ import annotations

import torch
from torch import Tensor


def check_tensors(logits: Tensor, target: Tensor, mask: Tensor | None) -> None:
    """Raise a ValueError unless logits, target and mask fit each other.

    Parameters
    ----------
    logits : Tensor
        Floating (B, C, *spatial), at least one spatial axis.
    target : Tensor
        Labels (B, 1, *spatial), or binary channels shaped like `logits`.
    mask : Tensor or None
        bool (B, 1, *spatial).
    """
    if logits.dim() < 3 or not logits.is_floating_point():
        raise ValueError(f"logits are floating (B, C, *spatial); got {tuple(logits.shape)} of {logits.dtype}")
    labels = (logits.shape[0], 1, *logits.shape[2:])
    if target.shape not in (labels, logits.shape):
        raise ValueError(
            f"target is labels {labels} or binary channels {tuple(logits.shape)} for these logits; "
            f"got {tuple(target.shape)}"
        )
    if mask is not None and (mask.shape != labels or mask.dtype != torch.bool):
        raise ValueError(f"mask is bool {labels} for these logits; got {tuple(mask.shape)} of {mask.dtype}")


def split_target(
    target: Tensor, *, regions: bool = False, ignore_label: int | None = None
) -> tuple[Tensor, Tensor | None]:
    """Separate what is to be learned from where it counts.

    Parameters
    ----------
    target : Tensor
        Labels (B, 1, *spatial), or with `regions` binary channels (B, R, *spatial), followed by one
        more channel that marks ignored voxels if there is an ignore label.
    regions : bool
        Whether the target is region-based.
    ignore_label : int, optional
        The label of voxels that take no part; None if the dataset has none.

    Returns
    -------
    labels : Tensor
        Labels (B, 1, *spatial), untouched (ignored voxels keep their label), or the R region channels.
    mask : Tensor or None
        bool (B, 1, *spatial), True where a voxel counts; None where all do.

    Raises
    ------
    ValueError
        If a label target has more than one channel.

    Examples
    --------
    >>> import torch
    >>> labels, mask = split_target(torch.tensor([[[0, 1, 9]]]), ignore_label=9)
    >>> mask
    tensor([[[ True,  True, False]]])
    """
    if regions:
        if ignore_label is None:
            return target, None
        return target[:, :-1], target[:, -1:] < 0.5
    if target.shape[1] != 1:
        raise ValueError(f"a label target has one channel, (B, 1, *spatial); got {tuple(target.shape)}")
    return target, None if ignore_label is None else target != ignore_label
