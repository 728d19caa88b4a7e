"""Colour pictures with a black and white mask each: reading, and the base of converters that deal them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.case import Case, Note, Part, Sample
from nnunet_ext.dataset_conversion.checks import threshold_mask
from nnunet_ext.dataset_conversion.converter import Converter, DatasetDescription, option
from nnunet_ext.dataset_conversion.reading import read_mask, read_rgb
from nnunet_ext.dataset_conversion.split_files import deal_cases
from nnunet_ext.errors import UserError
from nnunet_ext.images.files import read_header
from nnunet_ext.images.image import Hints


def read_foreground(file: Path) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
    """Read a mask, black and white in one channel or three, as labels 0 and 1; grey is split at 127.

    Raises
    ------
    CaseError
        If it is coloured, or a mask of 0 and 1 stored as grey values.
    """
    mask, notes = read_mask(file)
    if mask.dtype == bool:
        mask = mask.astype(np.uint8) * 255  # one bit per pixel: 1 is white
    label, stray = threshold_mask(mask, file)
    return label, (*notes, *stray)


def as_colour_png(file: Path) -> tuple[Path | NDArray[np.uint8], tuple[Note, ...]]:
    """Return the file itself if it can be copied as an RGB png, else its colours; see `reading.read_rgb`."""
    header = read_header(file, Hints(dimension=2))
    is_rgb = header.channels == 3 and header.dtype == np.uint8 and not header.alpha
    return (file, ()) if is_rgb and file.suffix.lower() == ".png" else read_rgb(file)


def rgb_description(foreground: str, counts: Mapping[Part, int]) -> DatasetDescription:
    """Return RGB png of the given numbers of cases, with one class."""
    return DatasetDescription(("R", "G", "B"), {"background": 0, foreground: 1}, ".png", counts)


@dataclass(frozen=True)
class DealtPictures(Converter):
    """Base of the converters of pictures whose paper says how many cases trained and validated, not which.

    Attributes
    ----------
    foreground : str
        The class.
    sizes : mapping
        Cases per part as the paper dealt those that `split` deals.
    official_test : int
        Cases of an official test set, which are not dealt.
    """

    foreground: ClassVar[str]
    sizes: ClassVar[Mapping[Part, int]]
    official_test: ClassVar[int] = 0

    split: str = option(
        "paper",
        "a seeded split of the paper's sizes, or all cases that it deals to train, for nnU-Net's five folds",
        ("paper", "folds"),
    )
    seed: int = option(12345, "another one gives another split")
    split_file: Path | None = option(  # noqa: RUF009 - a dataclass field
        None, 'which cases go where, instead of the seed: JSON, {"train": [case ids], "val": [case ids], ...}'
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split_file is not None and self.split == "folds":
            raise UserError("--split-file says which cases train: --split folds contradicts it.")

    def describe(self) -> DatasetDescription:
        """Return RGB, background and foreground, png."""
        return rgb_description(self.foreground, self.counts())

    def counts(self) -> dict[Part, int]:
        """Return the cases per part of the complete dataset, as far as the options tell."""
        test: dict[Part, int] = {"test": self.official_test} if self.official_test else {}
        if self.split_file is not None:
            return test
        return {**(self.sizes if self.split == "paper" else {"train": sum(self.sizes.values())}), **test}

    def deal(self, cases: Sequence[Case], strata: Callable[[Case], Hashable] = lambda case: 0) -> list[Case]:
        """Deal labelled cases as the options say."""
        if self.split == "folds":
            return list(cases)
        return deal_cases(cases, self.sizes, self.seed, self.split_file, strata)

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
