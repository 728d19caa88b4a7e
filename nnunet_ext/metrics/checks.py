"""The checks that every array metric begins with."""

from __future__ import annotations

from typing import Any

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
    check_one_shape(prediction, reference)
    if mask is None:
        return prediction, reference
    check_boolean(mask, "mask")
    if mask.shape != reference.shape:
        raise ValueError(f"mask: expected shape {reference.shape}, got {mask.shape}")
    return prediction & mask, reference & mask


def check_one_shape(prediction: NDArray[Any], reference: NDArray[Any]) -> None:
    """Raise `ValueError` unless the shapes are equal."""
    if prediction.shape != reference.shape:
        raise ValueError(
            f"expected prediction and reference of one shape, got {prediction.shape} and {reference.shape}"
        )


def check_instances(array: NDArray[Any], name: str) -> None:
    """Raise `ValueError` unless `array` holds integers of 0 (background) and above (instance ids)."""
    if array.dtype.kind not in "ui":
        raise ValueError(f"{name}: expected instance ids, an array of integers, got dtype {array.dtype}")
    if array.dtype.kind == "i" and array.min(initial=0) < 0:
        raise ValueError(f"{name}: expected 0 for background and ids above, got {array.min()}")


def check_iou(iou: float) -> None:
    """Raise `ValueError` unless a match at IoU > `iou` is possible."""
    if not 0 <= iou < 1:  # NaN too
        raise ValueError(f"iou: expected a threshold from 0 to below 1, got {iou}")


def check_tolerance(tolerance: float) -> None:
    """Raise `ValueError` unless `tolerance` is a distance."""
    if not 0 <= tolerance < float("inf"):
        raise ValueError(f"tolerance: expected a distance of 0 or more, got {tolerance}")
