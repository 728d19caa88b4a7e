"""Instance labels on their way into a dataset: checked, numbered from 1, and turned into classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.case import CaseError, Note
from nnunet_ext.images.image import Header
from nnunet_ext.images.instance_files import instance_dtype

FLOAT = "labels stored as floating-point numbers"
PIECES = "instances in several pieces"
SINGLE = "a single instance"
LARGEST_ID = int(np.iinfo(np.uint32).max)


def may_be_wrong(header: Header) -> bool:
    """Tell whether a label file's type allows values that are no instance ids: fractions, -1, 2**40."""
    return header.dtype.kind not in "bu" or header.dtype.itemsize > 4


def as_ids(labels: NDArray[Any], file: Path) -> NDArray[np.unsignedinteger[Any]]:
    """Return labels as unsigned integers of at most 32 bits.

    Raises
    ------
    CaseError
        If there are negative, fractional or non-finite values, or values beyond 32 bits.
    """
    kind = labels.dtype.kind
    if kind not in "buif":
        raise CaseError(f"{file}: labels are {labels.dtype}, but integers are expected")
    if kind == "f":
        odd = [plane[np.trunc(plane) != plane] for plane in labels]  # not a number is among them
        if any(values.size for values in odd):
            example = next(float(values[0]) for values in odd if values.size)
            raise CaseError(f"{file}: holds {example:g}, but instance ids are whole numbers from 0")
    smallest, largest = labels.min(), labels.max()
    if smallest < 0:
        raise CaseError(f"{file}: holds {smallest:g}, but instance ids are whole numbers from 0")
    if largest > LARGEST_ID:
        raise CaseError(f"{file}: holds {largest:.0f}, but instance ids end at {LARGEST_ID} (32 bits)")
    return labels.astype(instance_dtype(int(largest)), copy=False)


def number_from_one(ids: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.unsignedinteger[Any]]:
    """Renumber instances 1 to n in the order of their ids, 0 staying 0; uint16, or uint32 for large n."""
    from skimage.segmentation import relabel_sequential

    numbered: NDArray[np.unsignedinteger[Any]] = relabel_sequential(ids)[0]
    return numbered.astype(instance_dtype(int(numbered.max())), copy=False)


def pieces(instances: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.unsignedinteger[Any]]:
    """Number the connected pieces (diagonals count) of all instances from 1."""
    from nnunet_ext.morphology import label_components

    return label_components(instances)[0]


def instance_notes(instances: NDArray[np.unsignedinteger[Any]], file: Path) -> tuple[Note, ...]:
    """Return a note if some of the instances 1 to n are in several pieces."""
    numbered = pieces(instances)
    number, total = int(instances.max(initial=0)), int(numbered.max(initial=0))
    if total == number:
        return ()
    if number == 1:
        return (Note(SINGLE, f"{file}: one id in {total} pieces. A mask of all cells? --split-components"),)
    owner = np.zeros(total + 1, instances.dtype)
    for plane, plane_pieces in zip(instances, numbered, strict=True):
        owner[plane_pieces] = plane
    split = int((np.bincount(owner[1:]) > 1).sum())
    return (Note(PIECES, f"{file}: {split} of {number} instances, {total} pieces in all"),)
