"""Whether an array holds probabilities, checked in blocks: it may be mapped into memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError

_BLOCK = 1 << 20  # voxels at a time
# nnU-Net stores half precision, of which a sum is a thousandth off; logits, votes or per mille are far off
_TOLERANCE = 0.02
_REMEDY = "Predict again with --save_probabilities."


def check_probabilities(p: NDArray[Any], where: str, exclusive: bool) -> None:
    """Raise a `UserError` unless every value is a probability.

    Parameters
    ----------
    p : (C, *shape) ndarray of float
        What is checked.
    where : str
        How the error text begins.
    exclusive : bool
        Whether the probabilities of a voxel have to add up to 1, as those of a softmax do.
    """
    rows = max(1, _BLOCK // max(1, math.prod(p.shape[2:])))
    for start in range(0, p.shape[1], rows):
        with np.errstate(over="ignore"):
            block = p[:, start : start + rows].astype(np.float32, copy=False)  # half precision is slow
        low, high = float(block.min(initial=0)), float(block.max(initial=0))  # NaN if there is one
        if math.isnan(low) or math.isnan(high):
            raise UserError(f"{where}: contains NaN, which is no probability. {_REMEDY}")
        if low < -_TOLERANCE or high > 1 + _TOLERANCE:
            worst = low if low < -_TOLERANCE else high
            raise UserError(f"{where}: contains {worst:.6g}, but probabilities are from 0 to 1. {_REMEDY}")
        if exclusive and block.size:
            sums = block.sum(axis=0)
            worst = float(sums.flat[np.abs(sums - 1).argmax()])
            if abs(worst - 1) > _TOLERANCE:
                raise UserError(
                    f"{where}: the probabilities of a voxel add up to {worst:.6g}, but those of classes that "
                    f"exclude each other add up to 1. {_REMEDY}"
                )
