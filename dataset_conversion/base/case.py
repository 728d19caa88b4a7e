"""What a case is: its files in the source, what was read from them, what is wrong or odd about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.images.image import Grid

Part: TypeAlias = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
Split: TypeAlias = dict[str, list[str]]


class CaseError(UserError):
    """One case cannot be converted. The text names the file and says what is wrong with it."""


class SurveyError(UserError):
    """Something is wrong with several cases, found before anything was written.

    Parameters
    ----------
    problems : mapping
        Case id to what is wrong with it, each line naming a file.
    """

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        super().__init__("\n".join(line for lines in problems.values() for line in lines))
        self.problems = dict(problems)


#: kinds of notes that say how what is written differs from what was read; use these words
THRESHOLDED = "thresholded"  # mask values that are neither 0 nor full
ROUNDED = "rounded"  # labels stored as 0.9999
RELABELLED = "relabelled"  # other numbers than the file's
RESIZED = "resized"  # another grid: cut, padded or resampled
TURNED = "turned"  # axes reversed, image rotated
DROPPED = "dropped"  # an alpha channel, objects that cannot be drawn
FILLED = "filled"  # NaN in an image
ALTERATIONS = (THRESHOLDED, ROUNDED, RELABELLED, RESIZED, TURNED, DROPPED, FILLED)


@dataclass(frozen=True)
class Note:
    """Something worth knowing that is no error, such as an empty mask. Notes are counted by `kind`.

    Attributes
    ----------
    kind : str
        One of `ALTERATIONS`, or words of one's own.
    text : str
        What it is about, beginning with the file: "masks/a.png: 6 pixels".
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Case:
    """One case of the source: what it is called and which files it is made of.

    Attributes
    ----------
    id : str
        Case identifier in nnU-Net, unique over train, val and test.
    part : str
        "train", "val" (both go to imagesTr) or "test" (imagesTs, labelsTs).
    images : tuple of Path
        Source files of the image.
    labels : tuple of Path
        Source files of the label map; empty for an unlabelled test case.
    group : str or None
        What the case belongs to (patient, source image, test domain), if it matters. Training cases of one
        group stay in one fold.
    others : tuple of Path
        Further source files, such as one that holds the voxel spacing.
    left_out : str
        Why this case is not converted ("image and mask do not belong together"); it is listed in the report.
    """

    id: str
    part: Part
    images: tuple[Path, ...]
    labels: tuple[Path, ...] = ()
    group: str | None = None
    others: tuple[Path, ...] = ()
    left_out: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.+-]+", self.id):
            raise ValueError(f"We expect a case id that can be a file name. Got: {self.id!r}")

    @property
    def files(self) -> tuple[Path, ...]:
        """All source files of the case."""
        return self.images + self.labels + self.others


@dataclass(frozen=True)
class Sample:
    """One case as read.

    Attributes
    ----------
    images : tuple of Path or ndarray
        One entry per nnU-Net image file (``CASE_0000``, ``CASE_0001``, ...). A path is a file already in
        the output format and is copied byte for byte; an array, spatial axes first and colour channels
        last, is written.
    label : ndarray or None
        Integer label map with the image's spatial shape, or None for an unlabelled case.
    notes : tuple of Note
        What was mended or is odd about this case.
    instances : ndarray or None
        Instance ids 1 to n with the label's shape, which are kept in ``instancesTr`` or ``instancesTs``.
    grid : Grid
        Where the voxels lie. Written with images and labels where their format can hold it.
    """

    images: tuple[Path | NDArray[Any], ...]
    label: NDArray[np.integer[Any]] | None
    notes: tuple[Note, ...] = ()
    instances: NDArray[np.unsignedinteger[Any]] | None = None
    grid: Grid = field(default_factory=Grid)
