"""Instance ids as files hold them: checked, numbered from 1, and counted in connected pieces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.checks import digits
from nnunet_ext.dataset_conversion.base.case import Note
from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.images.image import Header
from nnunet_ext.images.instance_files import instance_dtype, integer_ids

#: instance ids of a case, 0 = background, in an unsigned type of at most 32 bits
Ids: TypeAlias = NDArray[np.unsignedinteger[Any]]

PIECES = "instances in several pieces"
SINGLE = "a single instance"
WITHOUT_CORE = "instances without a voxel of the class cell, which cannot come back"
MERGED = "instances that touch, which one class cannot tell apart"
_MOST_RADII, _LISTED = 4, 5
_LARGEST_ID = int(np.iinfo(np.uint32).max)


def allows_other_values(header: Header) -> bool:
    """Tell whether the type of a label file allows values that are no instance ids: fractions, -1, 2**40."""
    return header.dtype.kind not in "bu" or header.dtype.itemsize > 4


def as_ids(labels: NDArray[Any], file: Path) -> Ids:
    """Return labels as unsigned integers of at most 32 bits.

    Parameters
    ----------
    labels : ndarray
        Shape (*spatial), any type of number.
    file : Path
        Where they were read, for the message.

    Raises
    ------
    UnusableCase
        If there are negative, fractional or non-finite values, or values beyond 32 bits or the precision of
        their type.
    """
    kind = labels.dtype.kind
    if kind not in "buif":
        raise UnusableCase(f"{file}: labels are {labels.dtype}, but integers are expected")
    if kind == "f":
        try:
            labels = integer_ids(labels, file)
        except UserError as error:
            raise UnusableCase(str(error)) from error
    smallest, largest = labels.min(), labels.max()
    if smallest < 0:
        raise UnusableCase(f"{file}: holds {digits(smallest)}, but instance ids are whole numbers from 0")
    if largest > _LARGEST_ID:
        raise UnusableCase(f"{file}: holds {largest:.0f}, but instance ids end at {_LARGEST_ID} (32 bits)")
    return labels.astype(instance_dtype(int(largest)), copy=False)


def number_from_one(ids: Ids) -> Ids:
    """Renumber instances 1 to n in the order of their ids, 0 staying 0; uint16, or uint32 for large n.

    Examples
    --------
    >>> number_from_one(np.array([[0, 900], [7, 7]], np.uint16)).tolist()
    [[0, 2], [1, 1]]
    """
    from skimage.segmentation import relabel_sequential

    numbered: Ids = relabel_sequential(ids)[0]
    return numbered.astype(instance_dtype(int(numbered.max())), copy=False)


def pieces(ids: Ids) -> Ids:
    """Number the connected pieces (diagonals count) of all instances from 1.

    Examples
    --------
    >>> pieces(np.array([[4, 4, 0, 4, 5]], np.uint16)).tolist()
    [[1, 1, 0, 2, 3]]
    """
    from nnunet_ext.arrays.components import label_components

    return label_components(ids)[0]


def without_pixels(ids: Ids, number: int) -> int:
    """Return how many of the instances 1 to `number` have no pixel.

    Examples
    --------
    >>> without_pixels(np.array([[0, 3, 3, 1]], np.uint8), 4)
    2
    """
    return number - int(np.count_nonzero(np.unique(ids)))


def instance_notes(instances: Ids, file: Path) -> tuple[Note, ...]:
    """Return a note if some of the instances, numbered 1 to n, are in several pieces."""
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


def smaller_radii(radius: float, edges: Sequence[float]) -> list[float]:
    """Touching radii that look a voxel less far each, the largest first, down to 0; of many, four.

    Examples
    --------
    >>> smaller_radii(2, (1.0, 1.0)), smaller_radii(0.5, (1.0, 0.25))
    ([1.0, 0.0], [0.25, 0.0])
    """
    step = min(edges)
    voxels = range(math.ceil(round(radius / step, 6)) - 1, -1, -1)
    if not voxels:
        return []
    chosen = np.unique(np.linspace(0, len(voxels) - 1, _MOST_RADII).round().astype(int))
    return [voxels[number] * step for number in chosen.tolist()]


def merged_note(instances: Ids, file: Path) -> tuple[Note, ...]:
    """Return a note if instances touch and so are fewer connected pieces in a single class."""
    number, count = int(instances.max(initial=0)), int(pieces(instances != 0).max(initial=0))
    if count >= number:
        return ()
    return (Note(MERGED, f"{file}: {number} instances are {count} connected pieces (--classes 2)"),)


def lost_note(file: Path, lost: Ids, number: int, radius: float | None, fewest: int) -> Note:
    """Return the note on instances without a core.

    Parameters
    ----------
    file : Path
        Of the labels.
    lost : ndarray
        The instances.
    number : int
        How many instances there are.
    radius, fewest
        The touching radius, None for the one in use, with which the fewest are without a core, and how many.
    """
    remedy = "no smaller --touching-radius keeps more: cells this small and dense need a finer image"
    if radius is not None:
        kept = "all have one" if not fewest else f"{fewest} have none"
        remedy = f"with --touching-radius {radius:g} {kept}"
    more = ", …" if lost.size > _LISTED else ""
    named = ", ".join(map(str, lost[:_LISTED]))
    return Note(WITHOUT_CORE, f"{file}: {lost.size} of {number} instances ({named}{more}); {remedy}")
