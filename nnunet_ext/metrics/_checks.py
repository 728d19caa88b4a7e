"""The checks that every array metric begins with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]


def check_boolean(array: BoolArray, name: str) -> None:
    """Raise `ValueError` unless `array` is a boolean array in 2D or 3D."""
    if array.dtype != np.bool_:
        raise ValueError(f"{name}: expected a boolean array (e.g. `labels == 1`), got dtype {array.dtype}")
    if array.ndim not in (2, 3):
        raise ValueError(f"{name}: expected a 2D or 3D array, got shape {array.shape}")


def counted_pair(
    prediction: BoolArray, reference: BoolArray, mask: BoolArray | None
) -> tuple[BoolArray, BoolArray]:
    """Check both maps and set what `mask` does not count to background, without touching the inputs."""
    check_boolean(prediction, "prediction")
    check_boolean(reference, "reference")
    if prediction.shape != reference.shape:
        raise ValueError(
            f"expected prediction and reference of one shape, got {prediction.shape} and {reference.shape}"
        )
    if mask is None:
        return prediction, reference
    check_boolean(mask, "mask")
    if mask.shape != reference.shape:
        raise ValueError(f"mask: expected shape {reference.shape}, got {mask.shape}")
    return prediction & mask, reference & mask
