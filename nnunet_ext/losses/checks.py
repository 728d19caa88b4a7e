"""What every loss asks of the tensors it is called with. Looks at shapes and dtypes only: no device waits."""

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
