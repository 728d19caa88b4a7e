"""A case: its files in the source, what was read from them, and what there is to say about it."""

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

#: kinds of notes that say how the output differs from the source; the report counts them
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
        One of `ALTERATIONS`, or other words.
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
        Case identifier in nnU-Net, unique over train, val and test; letters, digits and ``_.+-``.
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
    wrong : tuple of str
        What is wrong with it, as far as the names of its files tell; each line begins with a file.
    """

    id: str
    part: Part
    images: tuple[Path, ...]
    labels: tuple[Path, ...] = ()
    group: str | None = None
    others: tuple[Path, ...] = ()
    left_out: str = ""
    wrong: tuple[str, ...] = ()

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
        What was altered, and what is unusual about this case.
    instances : ndarray or None
        Instance ids 1 to n with the label's shape, which are kept in ``instancesTr`` or ``instancesTs``.
    grid : Grid
        Position of the voxels. Written with images and labels where their format can hold it.
    """

    images: tuple[Path | NDArray[Any], ...]
    label: NDArray[np.integer[Any]] | None
    notes: tuple[Note, ...] = ()
    instances: NDArray[np.unsignedinteger[Any]] | None = None
    grid: Grid = field(default_factory=Grid)


class UnusableCases(UserError):  # noqa: N818 - several of what `nnunet_ext.errors.UnusableCase` is
    """Cases that cannot be converted, as a survey finds them before anything is written.

    Parameters
    ----------
    problems : mapping
        Case id to what is wrong with the case, each line beginning with a file.
    """

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        super().__init__("\n".join(line for lines in problems.values() for line in lines))
        self.problems = dict(problems)
