"""What losses are called with: shapes and types of logits, target and mask, and nnU-Net's target split up.

Of tensors on a GPU only shapes and types are looked at, so that nothing has to wait for it.
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


def check_labels(target: Tensor, classes: int, mask: Tensor | None = None) -> None:
    """Raise an IndexError, as PyTorch's own losses do, where a counted voxel has a label that is no class.

    Parameters
    ----------
    target : Tensor
        Labels (B, 1, *spatial). Not looked at on a GPU, which would stall, nor in a compiled graph.
    classes : int
        Their number; labels are 0 to `classes` - 1.
    mask : Tensor, optional
        bool, the shape of `target`, True where a voxel counts. Others may carry any label.
    """
    if target.device.type != "cpu" or torch.compiler.is_compiling() or target.numel() == 0:
        return
    lowest, highest = (target if mask is None else target.masked_fill(~mask, 0)).aminmax()
    if lowest < 0 or highest >= classes:
        label = int(lowest if lowest < 0 else highest)
        raise IndexError(
            f"the target has label {label}, but the labels are 0 to {classes - 1}. Voxels without annotation "
            "need an ignore label in dataset.json, or a mask."
        )


def known_labels(target: Tensor, classes: int, mask: Tensor | None = None, ignored: int = 0) -> Tensor:
    """Labels as indices into a table of classes, where an undeclared one never stands for another.

    Parameters
    ----------
    target, classes, mask
        As in `check_labels`, which this calls. Where that does not look, a negative label becomes `classes`:
        out of range, so that PyTorch stops when it is used, where -1 would be the last class.
    ignored : int
        What voxels get that do not count.

    Returns
    -------
    Tensor
        int64, the shape of `target`.

    Examples
    --------
    >>> known_labels(torch.tensor([[[0, 1, 9]]]), 2, torch.tensor([[[True, True, False]]]))
    tensor([[[0, 1, 0]]])
    """
    check_labels(target, classes, mask)
    labels = target.long()
    labels = torch.where(labels < 0, classes, labels)
    return labels if mask is None else labels.masked_fill(~mask, ignored)


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
