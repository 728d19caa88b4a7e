"""From the target a data loader hands over to what a loss computes with."""

from __future__ import annotations

from torch import Tensor


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
