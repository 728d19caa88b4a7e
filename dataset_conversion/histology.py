"""What the converters of nuclei in stained tissue share: colour pictures, a dealt split, kinds of nuclei."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.case import PARTS, Case, Note, Part, Sample
from nnunet_ext.dataset_conversion.converter import DatasetDescription, option
from nnunet_ext.dataset_conversion.folds import split_cases
from nnunet_ext.dataset_conversion.instance_converter import InstanceConverter
from nnunet_ext.dataset_conversion.instance_survey import Look
from nnunet_ext.errors import UserError
from nnunet_ext.images.files import read_header, read_image
from nnunet_ext.images.image import Header, Hints

SPLITS = ("paper", "folds")
PAPER_OR_FOLDS = (
    "paper: dealt at random, seeded, in the sizes of the paper; folds: five folds, nothing else dealt"
)
NUCLEI = "nuclei"
_FLAT = Hints(dimension=2)


@dataclass(frozen=True)
class PictureInstances(InstanceConverter):
    """Base of the converters whose images are colour pictures and whose instances are not."""

    def headers(self, case: Case, dimension: int | None) -> tuple[Header, Header | None]:
        """Return the picture's header."""
        return read_header(case.images[0], _FLAT), None

    def read_pixels(self, case: Case, description: DatasetDescription) -> NDArray[Any]:
        """Return the colours, (3, y, x)."""
        return read_image(case.images[0], _FLAT).pixels


@dataclass(frozen=True)
class SeededSplit(InstanceConverter):
    """Base of the converters of which only the sizes of the parts are known, not which case is in which.

    Attributes
    ----------
    deals : tuple of str
        The parts that are dealt; the others are official.
    """

    deals: ClassVar[tuple[Part, ...]] = PARTS

    split: str = option("paper", PAPER_OR_FOLDS, SPLITS)
    seed: int = option(12345, "of the split: another one deals the cases otherwise")

    @abstractmethod
    def sizes(self) -> Mapping[Part, int]:
        """Return the cases per part in the complete dataset, as the paper has them."""

    def dealt(self, cases: Sequence[Case], strata: Callable[[Case], Hashable] = lambda case: 0) -> list[Case]:
        """Return the cases with their parts: those of `sizes`, or all of them training."""
        if self.split == "folds":
            return [replace(case, part="train") for case in cases]
        sizes = {part: size for part, size in self.sizes().items() if part in self.deals}
        return split_cases(cases, sizes, self.seed, strata)

    def describe_from(self, looks: Sequence[Look]) -> DatasetDescription:
        """Add the number of cases in the complete dataset."""
        counts = dict(self.sizes())
        if self.split == "folds":
            counts = {"train": sum(counts.pop(part, 0) for part in self.deals), **counts}
        return replace(super().describe_from(looks), official_counts=counts)


@dataclass(frozen=True)
class KindsOfNuclei(InstanceConverter):
    """Base of the converters of nuclei of several kinds, which may be the classes instead.

    `target` is redeclared with its choices, the first of which is "nuclei".
    """

    target: str = option(NUCLEI, "what the classes say", (NUCLEI,))

    def __post_init__(self) -> None:
        super().__post_init__()
        radii = {self.touching_radius, self.gap_radius}
        if self.target != NUCLEI and (self.classes != 4 or self.physical_radii or radii != {None}):
            raise UserError(
                f"--target {self.target} makes the kinds the classes: leave out --classes and the radii."
            )

    @abstractmethod
    def kinds(self) -> tuple[str, ...]:
        """Return the names of the classes 1, 2, ... of `target`, if that is not "nuclei"."""

    @abstractmethod
    def read_kinds(self, case: Case) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
        """Return the kind of the nucleus at each pixel, (y, x), 0 = background, and notes on it."""

    def describe_from(self, looks: Sequence[Look]) -> DatasetDescription:
        """Name the kinds as classes, where they are."""
        description = super().describe_from(looks)
        if self.target == NUCLEI:
            return description
        labels = {name: number for number, name in enumerate(("background", *self.kinds()))}
        return replace(description, labels=labels)

    def read_case(self, case: Case, description: DatasetDescription) -> Sample:
        """Read image and nuclei; the kinds are the label, where they are wanted."""
        sample = super().read_case(case, description)
        if self.target == NUCLEI:
            return sample
        kinds, notes = self.read_kinds(case)
        return replace(sample, label=kinds, notes=(*sample.notes, *notes))
