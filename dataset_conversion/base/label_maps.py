"""Label maps as files hold them: 0/255 masks with values between, 0.9999 for 1, other numbers than ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.checks import digits
from nnunet_ext.dataset_conversion.base.case import RELABELLED, ROUNDED, THRESHOLDED, Note
from nnunet_ext.errors import UnusableCase

_CLOSE = 1e-3  # to a whole number
_LISTED = 5  # values that a note names


def as_labels(values: NDArray[Any], file: Path) -> tuple[NDArray[np.integer[Any]], tuple[Note, ...]]:
    """Return values as integers; those within 0.001 of a whole number are rounded, which is noted.

    A cast would make 0 of the 0.99999999977 that a scaled NIfTI file may hold.

    Raises
    ------
    UnusableCase
        If there are other fractions, or values that are not finite.
    """
    if values.dtype.kind in "bui":
        return (values.view(np.uint8) if values.dtype.kind == "b" else values), ()
    whole = np.rint(values)
    with np.errstate(invalid="ignore"):
        odd = ~(np.abs(values - whole) <= _CLOSE)
    if odd.any():
        raise UnusableCase(f"{file}: holds {digits(values[odd][0])}, but labels are whole numbers")
    inexact = int(np.count_nonzero(values != whole))
    notes = (
        (Note(ROUNDED, f"{file}: {inexact} voxels such as {values[values != whole][0]!r}"),)
        if inexact
        else ()
    )
    return whole.astype(np.int64), notes


def relabel(
    labels: NDArray[np.integer[Any]], classes: Mapping[int, int], file: Path
) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
    """Give labels other numbers, and note which.

    Parameters
    ----------
    labels : ndarray
        Integers of any shape.
    classes : mapping
        Number in the file to label, for every number the file may hold.
    file : Path
        Where they were read.

    Raises
    ------
    UnusableCase
        If the file holds other numbers.
    """
    found = np.unique(labels).tolist()
    if unknown := [value for value in found if value not in classes]:
        raise UnusableCase(f"{file}: label values {unknown} are not among {sorted(classes)}")
    result = np.zeros(labels.shape, np.uint8)
    for value in found:
        result[labels == value] = classes[value]
    changed = [f"{value} to {classes[value]}" for value in found if classes[value] != value]
    return result, (Note(RELABELLED, f"{file}: {', '.join(changed)}"),) if changed else ()


def threshold_mask(
    mask: NDArray[Any], file: Path, threshold: int = 127
) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
    """Turn a 0/255 mask into labels 0 and 1, noting every other value.

    Parameters
    ----------
    mask : ndarray
        Shape (*spatial), uint8, 0 = background, 255 = foreground.
    file : Path
        Where it was read, for the note.
    threshold : int
        Values above it are foreground. Dividing by 255 would turn the values between into fractions.

    Returns
    -------
    tuple of (ndarray, tuple of Note)
        The labels, uint8 of the same shape, and a note if there were values between.

    Raises
    ------
    UnusableCase
        If the mask is stored as 0/1, which a threshold would turn into an empty mask.
    """
    values, counts = np.unique(mask[(mask != 0) & (mask != 255)], return_counts=True)
    between = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
    if between and mask.max() == 1:
        raise UnusableCase(f"{file}: a mask of 0 and 1, but 0 and 255 are expected")
    notes: tuple[Note, ...] = ()
    if between:
        listed = ", ".join(f"value {value}: {count}" for value, count in list(between.items())[:_LISTED])
        more = f" and {len(between) - _LISTED} more values" if len(between) > _LISTED else ""
        text = f"{file}: {sum(between.values())} pixels ({listed}{more}), thresholded at {threshold}"
        notes = (Note(THRESHOLDED, text),)
    return (mask > threshold).astype(np.uint8), notes


def size_text(shape: tuple[int, ...]) -> str:
    """Return a shape as people write it: 24x20."""
    return "x".join(map(str, shape))
