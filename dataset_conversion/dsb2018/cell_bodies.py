"""Cell bodies, drawn by hand for images whose nuclei are known, and the nested labels they make."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion import (
    Case,
    Hints,
    Ids,
    Note,
    UnusableCase,
    UnusableCases,
    UserError,
    allows_other_values,
    as_ids,
    check_folder,
    examples,
    list_files,
    read_header,
    read_image,
    size_text,
)
from nnunet_ext.images.files import stem_of

LABELS = {"background": 0, "cell": 1, "nucleus": 2}
NESTING: dict[str, Any] = {"cell": {"nucleus": {}}}
OUTSIDE_CHOICES = ("keep", "clip", "error")
OUTSIDE = "nuclei outside cells"
_LABEL = Hints(dimension=2, label=True)


def check_names(folder: Path, ids: Collection[str]) -> None:
    """Raise `UserError` if there is no such folder, or masks in it belong to none of the dataset's cases."""
    check_folder(folder, "the folder of the cell masks with --cells")
    masks = _masks(folder)
    if unmatched := [mask for mask in masks if stem_of(mask) not in ids]:
        raise UserError(
            f"{len(unmatched)} of {len(masks)} cell masks belong to no image: {examples(unmatched)}. "
            "Call a mask like its image, ID.png or ID.tif."
        )


def with_masks(cases: Sequence[Case], folder: Path) -> list[Case]:
    """Return 2D cases, each with its mask of cell bodies, called like the case, first of `Case.others`.

    Raises
    ------
    UnusableCases
        If a mask is missing, there are two of one case, or one cannot be read or does not fit its image.
    """
    masks, found, problems = _masks(folder), [], {}
    for case in cases:
        own = [mask for mask in masks if stem_of(mask) == case.id]
        if len(own) == 1:
            wrong = _wrong_with(own[0], case)
        elif own:
            wrong = f"{', '.join(map(str, own))}: {len(own)} cell masks of one image, which one?"
        else:
            wrong = f"{folder.resolve() / case.id}.png: missing, and there is no .tif of that name"
        if wrong:
            problems[case.id] = [wrong]
        else:
            found.append(replace(case, others=(own[0], *case.others)))
    if problems:
        raise UnusableCases(problems)
    return found


def read_cells(mask: Path) -> NDArray[np.bool_]:
    """Read where cells are, (y, x): wherever a mask or label image of one channel is not 0.

    Raises
    ------
    UnusableCase
        If it holds negative or fractional values.
    """
    inside: NDArray[np.bool_] = as_ids(read_image(mask, _LABEL).pixels[0], mask) > 0
    return inside


def treat_outside(
    nuclei: Ids, cells: NDArray[np.bool_], choice: str, mask: Path
) -> tuple[Ids, tuple[Note, ...]]:
    """Find pixels of nuclei outside every cell, and treat them as the user chose.

    Parameters
    ----------
    nuclei : ndarray of unsigned int
        Instance ids, 0 = background.
    cells : ndarray of bool
        True inside a cell; same shape.
    choice : str
        "keep" leaves such pixels as they are, "clip" makes them background, "error" refuses them.
    mask : Path
        File of the cells, for the note.

    Returns
    -------
    tuple of (ndarray, tuple of Note)
        The nuclei, and how many pixels of how many of them lie outside, if any do.

    Raises
    ------
    UnusableCase
        If there are such pixels and the choice is "error".
    """
    outside = (nuclei > 0) & ~cells
    if not outside.any():
        return nuclei, ()
    concerned, pixels = np.unique(nuclei[outside]), np.count_nonzero(outside)
    whole = len(np.setdiff1d(concerned, nuclei[cells]))
    number = f"{len(concerned)} nucle{'us' if len(concerned) == 1 else 'i'}"
    text = f"{mask}: {pixels} pixels of {number}, {whole} of them whole, lie outside every cell"
    if 2 * pixels > np.count_nonzero(nuclei):
        text += " (is the mask inverted?)"
    if choice == "error":
        raise UnusableCase(f"{text}: correct the mask, or choose --stray-nuclei keep or clip")
    if choice == "keep":
        return nuclei, (Note(OUTSIDE, f"{text}; kept as nucleus"),)
    return np.where(outside, nuclei.dtype.type(0), nuclei), (Note(OUTSIDE, f"{text}; made background"),)


def nested_labels(nuclei: Ids, cells: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the labels 0 background, 1 cell and 2 nucleus, which may stick out of the cells."""
    return np.where(nuclei > 0, np.uint8(LABELS["nucleus"]), cells.astype(np.uint8))


def _masks(folder: Path) -> list[Path]:
    return list_files(folder.resolve(), r".+\.(png|tiff?)")


def _wrong_with(mask: Path, case: Case) -> str:
    try:
        header, shape = read_header(mask, _LABEL), read_header(case.images[0]).shape
        if header.channels != 1:
            return f"{mask}: a cell mask of one channel is expected, found {header.channels}"
        if header.shape != shape:
            return f"{mask}: is {size_text(header.shape)}, its image {case.images[0]} {size_text(shape)}"
        if allows_other_values(header):
            read_cells(mask)
    except UserError as error:
        return str(error)
    return ""
