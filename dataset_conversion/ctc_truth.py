"""Truth files of the Cell Tracking Challenge: which there are of a frame, and the cells they hold."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from nnunet_ext.dataset_conversion.case import Case, CaseError, Note
from nnunet_ext.dataset_conversion.checks import size_text
from nnunet_ext.dataset_conversion.instance_converter import Ids
from nnunet_ext.dataset_conversion.instance_labels import as_ids
from nnunet_ext.dataset_conversion.sources import list_files
from nnunet_ext.images.files import read_header, read_image
from nnunet_ext.images.image import Hints

TRUTHS = ("gold", "silver", "both")
_FOLDERS = {"gold": "GT", "silver": "ST"}
_SEG = re.compile(r"man_seg_?(\d{3,4})(?:_(\d{3,4}))?\.tiff?", re.IGNORECASE)


def truth_files(root: Path, sequence: str, truth: str) -> dict[str, tuple[Path, ...]]:
    """Return the segmentation files of each annotated frame, by the frame's digits.

    With "both", silver truth is for frames that have no gold truth.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for kind in ("silver", "gold") if truth == "both" else (truth,):
        frames: dict[str, tuple[Path, ...]] = {}
        for file in list_files(root / f"{sequence}_{_FOLDERS[kind]}" / "SEG", _SEG.pattern):
            frame = _SEG.fullmatch(file.name)[1]  # type: ignore[index] # list_files matched it
            frames[frame] = (*frames.get(frame, ()), file)
        found |= frames
    return found


def is_gold(file: Path) -> bool:
    """Tell whether a segmentation file is of the gold truth."""
    return file.parents[1].name.upper().endswith("_GT")


def slice_of(file: Path) -> int | None:
    """Return the number, from 0, of the slice a file annotates, or None if it is of the whole frame.

    Examples
    --------
    >>> slice_of(Path("man_seg_012_007.tif")), slice_of(Path("man_seg012.tif"))
    (7, None)
    """
    match = _SEG.fullmatch(file.name)
    return int(match[2]) if match and match[2] else None


def read_cells(case: Case) -> tuple[Ids, tuple[Note, ...]]:
    """Return the ids of a frame's cells; single slices are put in their places, each with ids of its own.

    Raises
    ------
    CaseError
        If a slice is not one of the frame, or the ids are none.
    """
    if len(case.labels) == 1 and slice_of(case.labels[0]) is None:
        return _read_ids(case.labels[0]), ()
    shape, largest = read_header(case.images[0]).shape, np.uint32(0)
    ids = np.zeros(shape, np.uint32)
    for file in case.labels:
        number, plane = slice_of(file), _read_ids(file)
        if number is None or len(shape) != 3 or number >= shape[0] or plane.shape != shape[1:]:
            found = "for the whole frame, as there are slices" if number is None else f"slice {number}"
            raise CaseError(
                f"{file}: {size_text(plane.shape)}, {found}; {case.images[0]} is {size_text(shape)}"
            )
        ids[number] = np.where(plane, plane + largest, 0)
        largest = max(largest, ids[number].max())
    text = f"{case.images[0]}: {len(case.labels)} of {shape[0]} slices are annotated, the others are ignored"
    return ids, (Note("single slices", text),)


def _read_ids(file: Path) -> Ids:
    return as_ids(read_image(file, Hints(label=True)).pixels[0], file)
