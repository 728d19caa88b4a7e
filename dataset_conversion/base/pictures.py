"""Colour pictures with a black and white mask each: reading, shrinking, and a base for their converters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.base.case import DROPPED, RESIZED, Case, Note, Part, Sample
from nnunet_ext.dataset_conversion.base.description import DatasetDescription
from nnunet_ext.dataset_conversion.base.instance_ids import pieces, without_pixels
from nnunet_ext.dataset_conversion.base.label_maps import threshold_mask
from nnunet_ext.dataset_conversion.base.seeded_split import SeededSplit
from nnunet_ext.errors import UnusableCase
from nnunet_ext.images.files import read_header, read_image
from nnunet_ext.images.image import Hints


def read_rgb(file: Path) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
    """Read a colour picture as (y, x, 3), for a dataset of the channels R, G, B.

    The orientation that a camera may have noted (EXIF) is not applied: nnU-Net does not, either.

    Returns
    -------
    tuple of (ndarray, tuple of Note)
        The colours, and a note if an alpha channel was dropped.

    Raises
    ------
    UnusableCase
        If it is not 8-bit colour.
    UserError
        If the file cannot be read.
    """
    header, pixels = read_header(file, Hints(dimension=2)), read_image(file, Hints(dimension=2)).pixels
    if len(pixels) != 3 or pixels.dtype != np.uint8:
        raise UnusableCase(
            f"{file}: 8-bit colour is expected, found {len(pixels)} channels of {pixels.dtype}"
        )
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
    UnusableCase
        If the channels differ or the file is not 2D.
    UserError
        If the file cannot be read.
    """
    image = read_image(file, Hints(dimension=2, label=True))
    first, *others = image.pixels
    if first.ndim != 2:
        raise UnusableCase(f"{file}: a 2D mask is expected, found {first.ndim} axes")
    if any((channel != first).any() for channel in others):
        raise UnusableCase(
            f"{file}: a mask of one grey channel is expected, found {len(image.pixels)} that differ"
        )
    if not others:
        return first, ()
    return first, (Note(DROPPED, f"{file}: {len(others)} channels equal to the first"),)


def read_foreground(file: Path) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
    """Read a mask, black and white in one channel or three, as labels 0 and 1; grey is split at 127.

    Raises
    ------
    UnusableCase
        If it is coloured, or a mask of 0 and 1 stored as grey values.
    """
    mask, notes = read_mask(file)
    if mask.dtype == bool:
        mask = mask.astype(np.uint8) * 255  # one bit per pixel: 1 is white
    label, thresholded = threshold_mask(mask, file)
    return label, (*notes, *thresholded)


def as_colour_png(file: Path) -> tuple[Path | NDArray[np.uint8], tuple[Note, ...]]:
    """Return the file itself if it can be copied as an RGB png, else its colours; see `read_rgb`."""
    header = read_header(file, Hints(dimension=2))
    is_rgb = header.channels == 3 and header.dtype == np.uint8 and not header.alpha
    return (file, ()) if is_rgb and file.suffix.lower() == ".png" else read_rgb(file)


def shrink(
    image: NDArray[np.uint8], label: NDArray[np.uint8], short_side: int, file: Path
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[Note, ...]]:
    """Scale a picture and its label down to a length of the shorter side, if they are larger.

    Parameters
    ----------
    image, label : ndarray
        Shapes (y, x, 3) and (y, x); the label holds 0 and 1.
    short_side : int
        Pixels; 0 leaves the size as it is.
    file : Path
        Where the label was read, for the note.

    Returns
    -------
    tuple of (ndarray, ndarray, tuple of Note)
        Both, and notes if they were scaled and if labelled pieces were lost. A pixel is labelled where the
        label covers half of it.
    """
    if label.shape != image.shape[:2] or not 0 < short_side < min(label.shape):
        return image, label, ()
    height, width = (max(1, round(side * short_side / min(label.shape))) for side in label.shape)
    size = f"{label.shape[0]}x{label.shape[1]} to {height}x{width}"
    small = _scaled(label * np.uint8(255), (width, height)) > 127
    notes = [Note(RESIZED, f"{file}: {size}")]
    numbered = pieces(label)
    number = int(numbered.max(initial=0))
    rows, columns = (np.arange(a) * b // a for a, b in zip(label.shape, small.shape, strict=True))
    if lost := without_pixels(np.where(small[np.ix_(rows, columns)], numbered, 0), number):
        notes.append(Note(DROPPED, f"{file}: {lost} of {number} labelled pieces, too thin for this size"))
    return _scaled(image, (width, height)), small.astype(np.uint8), tuple(notes)


def rgb_description(foreground: str, counts: Mapping[Part, int]) -> DatasetDescription:
    """Return RGB png of the given numbers of cases, with one class."""
    return DatasetDescription(("R", "G", "B"), {"background": 0, foreground: 1}, ".png", counts)


@dataclass(frozen=True)
class SeededPictures(SeededSplit):
    """Base of the converters of colour pictures with one class and a seeded split.

    Attributes
    ----------
    foreground : str
        The class.
    """

    foreground: ClassVar[str]

    def describe(self) -> DatasetDescription:
        """Return RGB, background and foreground, png."""
        return rgb_description(self.foreground, self.counts())

    @abstractmethod
    def find_cases(self, root: Path) -> list[Case]:
        """See `Converter.find_cases`."""

    def read_case(self, case: Case, description: DatasetDescription) -> Sample:
        """Read picture and mask; a png without alpha channel is copied."""
        image, notes = as_colour_png(case.images[0])
        if not case.labels:
            return Sample((image,), None, notes)
        label, more = read_foreground(case.labels[0])
        return Sample((image,), label, (*notes, *more))


def _scaled(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    import PIL.Image

    # Pillow's box filter averages over all pixels that become one
    return np.asarray(PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BOX))
