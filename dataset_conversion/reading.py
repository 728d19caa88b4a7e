"""Reading pictures and label files as they come: alpha channels, masks in colour, 0.9999 for 1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.case import DROPPED, RELABELLED, ROUNDED, CaseError, Note
from nnunet_ext.images.files import read_header, read_image
from nnunet_ext.images.image import Hints

_CLOSE = 1e-3  # to a whole number


def read_rgb(file: Path) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
    """Read a colour picture as (y, x, 3), for a dataset of the channels R, G, B.

    The orientation that a camera may have noted (EXIF) is not applied: nnU-Net does not, either.

    Returns
    -------
    tuple of (ndarray, tuple of Note)
        The colours, and a note if an alpha channel was dropped.

    Raises
    ------
    CaseError
        If it is not 8-bit colour.
    UserError
        If the file cannot be read.
    """
    header, pixels = read_header(file, Hints(dimension=2)), read_image(file, Hints(dimension=2)).pixels
    if len(pixels) != 3 or pixels.dtype != np.uint8:
        raise CaseError(f"{file}: 8-bit colour is expected, found {len(pixels)} channels of {pixels.dtype}")
    notes = (Note(DROPPED, f"{file}: alpha channel"),) if header.alpha else ()
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1)), notes


def read_mask(file: Path) -> tuple[NDArray[Any], tuple[Note, ...]]:
    """Read a 2D mask as (y, x); one stored in colour is read if its channels are equal.

    Returns
    -------
    tuple of (ndarray, tuple of Note)
        The values as stored, and a note if channels were dropped.

    Raises
    ------
    CaseError
        If the channels differ or the file is not 2D.
    UserError
        If the file cannot be read.
    """
    image = read_image(file, Hints(dimension=2, label=True))
    first, *others = image.pixels
    if first.ndim != 2:
        raise CaseError(f"{file}: a 2D mask is expected, found {first.ndim} axes")
    if any((channel != first).any() for channel in others):
        raise CaseError(
            f"{file}: a mask of one grey channel is expected, found {len(image.pixels)} that differ"
        )
    if not others:
        return first, ()
    return first, (Note(DROPPED, f"{file}: {len(others)} channels equal to the first"),)


def as_labels(values: NDArray[Any], file: Path) -> tuple[NDArray[np.integer[Any]], tuple[Note, ...]]:
    """Return values as integers; those within 0.001 of a whole number are rounded, which is noted.

    A cast would make 0 of the 0.99999999977 that a scaled NIfTI file may hold.

    Raises
    ------
    CaseError
        If there are other fractions, or values that are not finite.
    """
    if values.dtype.kind in "bui":
        return (values.view(np.uint8) if values.dtype.kind == "b" else values), ()
    whole = np.rint(values)
    with np.errstate(invalid="ignore"):
        odd = ~(np.abs(values - whole) <= _CLOSE)
    if odd.any():
        raise CaseError(f"{file}: holds {values[odd][0]:g}, but labels are whole numbers")
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
    CaseError
        If the file holds other numbers.
    """
    found = np.unique(labels).tolist()
    if unknown := [value for value in found if value not in classes]:
        raise CaseError(f"{file}: label values {unknown} are not among {sorted(classes)}")
    result = np.zeros(labels.shape, np.uint8)
    for value in found:
        result[labels == value] = classes[value]
    changed = [f"{value} to {classes[value]}" for value in found if classes[value] != value]
    return result, (Note(RELABELLED, f"{file}: {', '.join(changed)}"),) if changed else ()
