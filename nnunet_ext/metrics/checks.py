"""The checks of arrays that the metrics begin with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.checks import check_axes

BoolArray = NDArray[np.bool_]


def check_boolean(array: BoolArray, name: str) -> None:
    """Raise unless `array` is a boolean array in 2D or 3D."""
    _check_array(array, name)
    if array.dtype != np.bool_:
        raise ValueError(f"{name}: expected a boolean array (e.g. `labels == 1`), got dtype {array.dtype}")
    check_axes(array, name)


def check_mask(mask: BoolArray, shape: tuple[int, ...]) -> None:
    """Raise unless `mask` is a boolean array of this shape."""
    _check_array(mask, "mask")
    if mask.dtype != np.bool_:
        raise ValueError(f"mask: expected a boolean array, True = counted, got dtype {mask.dtype}")
    if mask.shape != shape:
        raise ValueError(f"mask: expected shape {shape}, got {mask.shape}")


def check_one_shape(prediction: NDArray[Any], reference: NDArray[Any]) -> None:
    """Raise `ValueError` unless the shapes are equal."""
    if prediction.shape != reference.shape:
        raise ValueError(
            f"expected prediction and reference of one shape, got {prediction.shape} and {reference.shape}"
        )


def counted_pair(
    prediction: BoolArray, reference: BoolArray, mask: BoolArray | None
) -> tuple[BoolArray, BoolArray]:
    """Check both maps and set what `mask` does not count to background, without touching the inputs."""
    check_boolean(prediction, "prediction")
    check_boolean(reference, "reference")
    check_one_shape(prediction, reference)
    if mask is None:
        return prediction, reference
    check_mask(mask, reference.shape)
    return prediction & mask, reference & mask


def check_instances(array: NDArray[Any], name: str) -> None:
    """Raise unless `array` is an array of integers of 0 (background) and above (instance ids)."""
    _check_array(array, name)
    if array.dtype.kind not in "ui":
        raise ValueError(f"{name}: expected instance ids, an array of integers, got dtype {array.dtype}")
    if array.dtype.kind == "i" and array.min(initial=0) < 0:
        raise ValueError(f"{name}: expected 0 for background and ids above, got {array.min()}")


def check_instance_pair(
    reference: NDArray[Any], prediction: NDArray[Any], mask: BoolArray | None = None
) -> None:
    """Raise unless both are arrays of instance ids of one shape, and `mask`, if given, fits them."""
    check_instances(reference, "reference")
    check_instances(prediction, "prediction")
    check_one_shape(prediction, reference)
    if mask is not None:
        check_mask(mask, reference.shape)


def check_labels(array: NDArray[Any], name: str) -> None:
    """Raise unless `array` is an array of whole numbers, of any type; so NaN and texts are none."""
    _check_array(array, name)
    whole = array.dtype.kind in "uib" or (array.dtype.kind == "f" and np.array_equal(array, np.floor(array)))
    if not whole:
        raise ValueError(f"{name}: expected labels, an array of whole numbers, got dtype {array.dtype}")


def _check_array(array: object, name: str) -> None:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: expected a numpy array, got {type(array).__name__}")
    if isinstance(array, np.ma.MaskedArray | np.matrix):  # they compare and count otherwise
        raise TypeError(f"{name}: expected a plain numpy array, got {type(array).__name__}")
