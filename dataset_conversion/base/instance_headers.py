"""The headers of cases with instances, read before anything is converted: what is wrong, what they share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_ext.dataset_conversion.base.case import Case, Note
from nnunet_ext.dataset_conversion.base.label_maps import size_text
from nnunet_ext.errors import UnusableCase, UserError, some_of
from nnunet_ext.images.files import NIFTI_ENDINGS, ending_of
from nnunet_ext.images.image import Grid, Header, grid_difference, unplaced_beside

_SAME_SPACING = 0.01  # relative difference
_SAME_DIRECTION = 1e-3  # of the components of unit vectors


@dataclass(frozen=True)
class CaseHeaders:
    """What the headers of one case say.

    Attributes
    ----------
    case : Case
        The case.
    image : Header
        That of its image, all channels together.
    label : Header or None
        That of its labels; None without labels, or where they are not one file of the image's size.
    """

    case: Case
    image: Header
    label: Header | None

    @property
    def dimension(self) -> int:
        """Number of spatial axes of the image."""
        return len(self.image.shape)

    @property
    def is_nifti(self) -> bool:
        """Whether the image is a NIfTI file."""
        return ending_of(self.case.images[0]) in NIFTI_ENDINGS

    def grid(self, spacing: Sequence[float] = ()) -> Grid:
        """Return the image's grid; its spacing is `spacing` if given, else the image's, else the label's."""
        known = self.image.grid.spacing or self._label_spacing()
        return replace(self.image.grid, spacing=tuple(spacing) or known)

    def _label_spacing(self) -> tuple[float, ...] | None:
        """Return the spacing the label file states; a NIfTI file that knows none says 1."""
        spacing = self.label.grid.stated().spacing if self.label else None
        is_nifti = spacing and ending_of(self.case.labels[0]) in NIFTI_ENDINGS
        return None if is_nifti and set(spacing or ()) == {1.0} else spacing


def join_channels(headers: Sequence[Header], files: Sequence[Path]) -> Header:
    """Return the header of an image whose channels are in several files.

    Raises
    ------
    UnusableCase
        If they differ in size, or in where their voxels lie.
    """
    first = headers[0]
    for header, file in zip(headers, files, strict=True):
        if header.shape != first.shape:
            raise UnusableCase(
                f"{file}: is {size_text(header.shape)}, the channel {files[0]} {size_text(first.shape)}"
            )
        # assumed or not, all must say the same: nothing tells which of them the labels lie on
        a, b = replace(header.grid, assumed=False), replace(first.grid, assumed=False)
        if found := grid_difference(a, b, header.shape, first.shape):
            raise UnusableCase(f"{file}: does not lie on the voxels of the channel {files[0]}: {found}")
    dtype = np.result_type(*(header.dtype for header in headers))
    channels = sum(header.channels for header in headers)
    grid = next((header.grid for header in headers if header.grid.spacing), first.grid)
    return Header(first.shape, channels, dtype, grid, any(header.alpha for header in headers))


def problems_with(headers: CaseHeaders) -> list[str]:
    """Return what is wrong with one case, each line naming a file."""
    image, label, file = headers.image, headers.label, headers.case.images[0]
    problems = []
    if image.dtype.kind not in "buif":
        problems.append(f"{file}: pixels are {image.dtype}, but real numbers are expected")
    if label is None:
        return problems
    label_file = headers.case.labels[0]
    if label.channels != 1:
        problems.append(f"{label_file}: labels of one channel are expected, found {label.channels}")
    elif label.shape != image.shape:
        sizes = f"the labels are {size_text(label.shape)}, the image {file} {size_text(image.shape)}"
        problems.append(f"{label_file}: {sizes}")
    elif _turned(image.grid, label.grid):
        problems.append(
            f"{label_file}: its axes point elsewhere than those of {file}; resample the labels to the image, "
            "or give them its header if they lie on the same voxels"
        )
    elif (moved := _moved(headers)) and any(label.grid.origin or ()):
        problems.append(
            f"{label_file}: its first voxel lies elsewhere than that of {file}: {moved}; resample the labels "
            "to the image, or give them its header if they lie on the same voxels"
        )
    return problems


def check_uniform(cases: Sequence[CaseHeaders]) -> None:
    """Raise `UserError` if 2D and 3D, numbers of channels, or NIfTI and other formats are mixed."""
    _check_one_kind(cases, lambda each: each.dimension, "2D and 3D images are mixed", "{}D")
    _check_one_kind(cases, lambda each: each.image.channels, "Numbers of channels are mixed", "{} channel(s)")
    _check_one_kind(
        cases,
        lambda each: "NIfTI" if each.is_nifti else "other",
        "NIfTI and other formats are mixed",
        "{} files",
    )


def check_spacings(cases: Sequence[CaseHeaders], spacing: Sequence[float], needed: bool) -> None:
    """Raise `UserError` if the spacing does not fit the images, or is missing where it matters.

    Parameters
    ----------
    cases : sequence of CaseHeaders
        Images of one dimension.
    spacing : sequence of float
        What the user gave; empty if nothing.
    needed : bool
        Whether radii are physical. Otherwise it may be missing, but not in some of the 3D files only.
    """
    dimension = cases[0].dimension
    if spacing and len(spacing) != dimension:
        axes = "z y x" if dimension == 3 else "y x"
        raise UserError(f"--spacing has {len(spacing)} values, but the images are {dimension}D: give {axes}.")
    unknown = [each.case.images[0] for each in cases if each.grid(spacing).spacing is None]
    if unknown and needed:
        raise UserError(
            f"The radii are physical (--physical-radii), but {len(unknown)} of {len(cases)} images state no "
            f"spacing: {examples(unknown)}. Give it with --spacing."
        )
    if dimension == 3 and 0 < len(unknown) < len(cases):
        raise UserError(
            f"{len(unknown)} of {len(cases)} images state no spacing: {examples(unknown)}. "
            "The others do, so they would not fit together. Give one for all with --spacing z y x."
        )


def survey_notes(cases: Sequence[CaseHeaders], spacing: Sequence[float]) -> tuple[Note, ...]:
    """Return what is worth knowing about the files as a whole."""
    alpha, unknown, replaced, differing, unstated, borrowed, moved = [], [], [], [], [], [], []
    unplaced, bare = [], []
    for each in cases:
        file, own = each.case.images[0], each.grid().spacing
        if each.image.alpha:
            alpha.append(file)
        if own is None and not spacing and each.dimension == 3:
            unknown.append(file)
        if own is not None and spacing and not _close(own, spacing):
            replaced.append(file)
        theirs = each.label.grid.stated().spacing if each.label else None
        if own and theirs and not spacing and not _close(own, theirs):
            differing.append(each.case.labels[0])
        if own and not spacing and each.image.grid.spacing is None:
            borrowed.append(each.case.labels[0])
        if each.label and unplaced_beside(each.label.grid, each.image.grid):
            unplaced.append(each.case.labels[0])
        elif each.label and unplaced_beside(each.image.grid, each.label.grid):
            bare.append(file)
        elif own and not spacing and each.label and theirs is None and _can_state_spacing(each.case):
            unstated.append(each.case.labels[0])
        if _moved(each):
            moved.append(each.case.labels[0])
    kinds: Mapping[str, tuple[list[Path], str]] = {
        "alpha channel": (alpha, "dropped from"),
        "no spacing": (unknown, "a spacing of 1 is assumed (--spacing z y x to give it) for"),
        "spacing replaced": (replaced, f"--spacing {' '.join(map(str, spacing))} instead of that stated in"),
        "spacing of image and labels": (differing, "that of the image is taken, another one is stated in"),
        "labels without spacing": (unstated, "that of the image is taken, none in a known unit is stated in"),
        "spacing of the labels": (borrowed, "the images state none; it is taken from"),
        "position of the labels": (moved, "the image's is taken, the origin is 0 in"),
        "labels without a position": (
            unplaced,
            "they are taken to lie on the voxels of the image; neither sform nor qform says so in",
        ),
        "images without a position": (
            bare,
            "the labels are taken to lie on their voxels, at the origin; neither sform nor qform is in",
        ),
    }
    return tuple(
        Note(kind, f"{text} {len(files)} file{'s' * (len(files) > 1)}: {examples(files)}")
        for kind, (files, text) in kinds.items()
        if files
    )


def examples(files: Sequence[Path], limit: int = 3) -> str:
    """Return the first few files for a message."""
    return some_of(files, limit)


def _check_one_kind(
    cases: Sequence[CaseHeaders], kind: Callable[[CaseHeaders], Hashable], what: str, word: str
) -> None:
    found: dict[Any, list[Path]] = defaultdict(list)
    for each in cases:
        found[kind(each)].append(each.case.images[0])
    if len(found) > 1:
        lines = [f"  {word.format(key)}: {len(files)}, {examples(files)}" for key, files in found.items()]
        raise UserError("\n".join([f"{what}. Convert each kind to a dataset of its own.", *lines]))


def _close(a: Sequence[float], b: Sequence[float]) -> bool:
    return len(a) == len(b) and np.allclose(a, b, rtol=_SAME_SPACING, atol=0)


def _moved(headers: CaseHeaders) -> str:
    """Say how the labels lie elsewhere than their image, whatever the spacing; "" if they do not."""
    image, label = headers.image.grid, headers.label.grid if headers.label else Grid()
    if image.spacing is None or image.assumed or label.assumed or _turned(image, label):
        return ""
    there = Grid(image.spacing, label.origin, image.direction if label.direction else None)
    return grid_difference(image, there, headers.image.shape, headers.image.shape)


def _can_state_spacing(case: Case) -> bool:
    """Tell whether the labels are in a file of their own, of a format that may hold a spacing."""
    return case.labels[0] not in case.images and ending_of(case.labels[0]) != ".png"


def _turned(image: Grid, label: Grid) -> bool:
    if image.direction is None or label.direction is None or image.assumed or label.assumed:
        return False
    return not np.allclose(image.direction, label.direction, atol=_SAME_DIRECTION)
