"""The look at all files before instances are converted: do they fit together, what do they share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.base.case import Case, CaseError, Note
from nnunet_ext.dataset_conversion.base.label_maps import size_text
from nnunet_ext.errors import UserError
from nnunet_ext.images.files import NIFTI_ENDINGS, ending_of
from nnunet_ext.images.image import Grid, Header
from nnunet_ext.images.instance_files import instance_dtype

_SAME_SPACING = 0.01  # relative
_SAME_DIRECTION = 1e-3


@dataclass(frozen=True)
class Look:
    """What the headers of one case say."""

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
        return Grid(tuple(spacing) or known, self.image.grid.origin, self.image.grid.direction)

    def _label_spacing(self) -> tuple[float, ...] | None:
        """Return the spacing the label file states; a NIfTI file that knows none says 1."""
        spacing = self.label.grid.spacing if self.label else None
        is_nifti = spacing and ending_of(self.case.labels[0]) in NIFTI_ENDINGS
        return None if is_nifti and set(spacing or ()) == {1.0} else spacing


def join_channels(headers: Sequence[Header], files: Sequence[Path]) -> Header:
    """Return the header of an image whose channels are in several files.

    Raises
    ------
    UserError
        If they differ in size.
    """
    first = headers[0]
    for header, file in zip(headers, files, strict=True):
        if header.shape != first.shape:
            raise UserError(
                f"{file}: is {size_text(header.shape)}, the channel {files[0]} {size_text(first.shape)}"
            )
    dtype = np.result_type(*(header.dtype for header in headers))
    channels = sum(header.channels for header in headers)
    return Header(first.shape, channels, dtype, first.grid, any(header.alpha for header in headers))


def wrong_with(look: Look) -> list[str]:
    """Return what is wrong with one case, each line naming a file."""
    image, label, file = look.image, look.label, look.case.images[0]
    problems = []
    if image.dtype.kind not in "buif":
        problems.append(f"{file}: pixels are {image.dtype}, but real numbers are expected")
    if label is None:
        return problems
    label_file = look.case.labels[0]
    if label.channels != 1:
        problems.append(f"{label_file}: labels of one channel are expected, found {label.channels}")
    elif label.shape != image.shape:
        sizes = f"the labels are {size_text(label.shape)}, the image {file} {size_text(image.shape)}"
        problems.append(f"{label_file}: {sizes}")
    elif _turned(image.grid, label.grid):
        problems.append(
            f"{label_file}: its axes point elsewhere than those of {file}; resample the labels to the image"
        )
    return problems


def check_uniform(looks: Sequence[Look]) -> None:
    """Raise `UserError` if 2D and 3D, numbers of channels, or NIfTI and other formats are mixed."""
    _check_one_kind(looks, lambda look: look.dimension, "2D and 3D images are mixed", "{}D")
    _check_one_kind(looks, lambda look: look.image.channels, "Numbers of channels are mixed", "{} channel(s)")
    _check_one_kind(
        looks,
        lambda look: "NIfTI" if look.is_nifti else "other",
        "NIfTI and other formats are mixed",
        "{} files",
    )


def check_spacing(looks: Sequence[Look], spacing: Sequence[float], needed: bool) -> None:
    """Raise `UserError` if the spacing does not fit the images, or is missing where it matters.

    Parameters
    ----------
    looks : sequence of Look
        Images of one dimension.
    spacing : sequence of float
        What the user gave; empty if nothing.
    needed : bool
        Whether radii are physical. Otherwise it may be missing, but not in some of the 3D files only.
    """
    dimension = looks[0].dimension
    if spacing and len(spacing) != dimension:
        axes = "z y x" if dimension == 3 else "y x"
        raise UserError(f"--spacing has {len(spacing)} values, but the images are {dimension}D: give {axes}.")
    unknown = [look.case.images[0] for look in looks if look.grid(spacing).spacing is None]
    if unknown and needed:
        raise UserError(
            f"The radii are physical (--physical-radii), but {len(unknown)} of {len(looks)} images state no "
            f"spacing: {examples(unknown)}. Give it with --spacing."
        )
    if dimension == 3 and 0 < len(unknown) < len(looks):
        raise UserError(
            f"{len(unknown)} of {len(looks)} images state no spacing: {examples(unknown)}. "
            "The others do, so they would not fit together. Give one for all with --spacing z y x."
        )


def survey_notes(looks: Sequence[Look], spacing: Sequence[float]) -> tuple[Note, ...]:
    """Return what is worth knowing about the files as a whole."""
    alpha, unknown, replaced, differing = [], [], [], []
    for look in looks:
        file, own = look.case.images[0], look.grid().spacing
        if look.image.alpha:
            alpha.append(file)
        if own is None and not spacing and look.dimension == 3:
            unknown.append(file)
        if own is not None and spacing and not _close(own, spacing):
            replaced.append(file)
        theirs = look.label.grid.spacing if look.label else None
        if own and theirs and not spacing and not _close(own, theirs):
            differing.append(look.case.labels[0])
    kinds: Mapping[str, tuple[list[Path], str]] = {
        "alpha channel": (alpha, "dropped from"),
        "no spacing": (unknown, "a spacing of 1 is assumed (--spacing z y x to give it) for"),
        "spacing replaced": (replaced, f"--spacing {' '.join(map(str, spacing))} instead of that stated in"),
        "spacing of image and labels": (differing, "that of the image is taken, another one is stated in"),
    }
    return tuple(
        Note(kind, f"{text} {len(files)} file{'s' * (len(files) > 1)}: {examples(files)}")
        for kind, (files, text) in kinds.items()
        if files
    )


def examples(files: Sequence[Path], limit: int = 3) -> str:
    """Return the first few files for a message."""
    more = f" and {len(files) - limit} more" if len(files) > limit else ""
    return ", ".join(map(str, files[:limit])) + more


def _check_one_kind(looks: Sequence[Look], kind: Callable[[Look], Hashable], what: str, word: str) -> None:
    found: dict[Any, list[Path]] = defaultdict(list)
    for look in looks:
        found[kind(look)].append(look.case.images[0])
    if len(found) > 1:
        lines = [f"  {word.format(key)}: {len(files)}, {examples(files)}" for key, files in found.items()]
        raise UserError("\n".join([f"{what}. Convert each kind to a dataset of its own.", *lines]))


def _close(a: Sequence[float], b: Sequence[float]) -> bool:
    return len(a) == len(b) and np.allclose(a, b, rtol=_SAME_SPACING, atol=0)


def _turned(image: Grid, label: Grid) -> bool:
    if image.direction is None or label.direction is None:
        return False
    return not np.allclose(image.direction, label.direction, atol=_SAME_DIRECTION)


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
    from nnunet_ext.arrays.components import label_components

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
