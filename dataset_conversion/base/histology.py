"""What the converters of nuclei in stained tissue share: colour pictures, a dealt split, kinds of nuclei."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.base.case import Case, Note
from nnunet_ext.dataset_conversion.base.converter import Dealt, option
from nnunet_ext.dataset_conversion.base.description import DatasetDescription
from nnunet_ext.dataset_conversion.base.instance_checks import Look
from nnunet_ext.dataset_conversion.base.instances import Ids, InstanceConverter
from nnunet_ext.images.files import read_header, read_image
from nnunet_ext.images.image import Grid, Header, Hints

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
class SeededSplit(Dealt, InstanceConverter):
    """Base of the converters of instances whose cases are dealt."""

    def describe_from(self, looks: Sequence[Look]) -> DatasetDescription:
        """Add the number of cases in the complete dataset."""
        return replace(super().describe_from(looks), official_counts=self.counts())


@dataclass(frozen=True)
class KindsOfNuclei(InstanceConverter):
    """Base of the converters of nuclei of several kinds, which may be the classes instead.

    `target` is redeclared with its choices, the first of which is "nuclei".
    """

    target: str = option(NUCLEI, "what the classes say", (NUCLEI,))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target != NUCLEI:
            self.refuse_class_options(f"--target {self.target} makes the kinds the classes")

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

    def make_label(
        self, case: Case, instances: Ids, grid: Grid, description: DatasetDescription
    ) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
        """Return the kinds, where they are wanted."""
        if self.target == NUCLEI:
            return super().make_label(case, instances, grid, description)
        return self.read_kinds(case)
