"""What the converters of nuclei in stained tissue share: colour pictures, a seeded split, kinds of nuclei."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.base.case import DROPPED, Case, Note
from nnunet_ext.dataset_conversion.base.converter import option
from nnunet_ext.dataset_conversion.base.description import DatasetDescription
from nnunet_ext.dataset_conversion.base.instance_headers import CaseHeaders
from nnunet_ext.dataset_conversion.base.instance_ids import Ids, without_pixels
from nnunet_ext.dataset_conversion.base.instances import InstanceConverter
from nnunet_ext.dataset_conversion.base.seeded_split import SeededSplit
from nnunet_ext.images.files import read_header, read_image
from nnunet_ext.images.image import Grid, Header, Hints

NUCLEI = "nuclei"
_PICTURE = Hints(dimension=2)


@dataclass(frozen=True)
class PictureInstances(InstanceConverter):
    """Base of the converters whose images are colour pictures and whose labels are no images."""

    def headers(self, case: Case, dimension: int | None) -> tuple[Header, Header | None]:
        """Return the picture's header."""
        return read_header(case.images[0], _PICTURE), None

    def read_pixels(self, case: Case, description: DatasetDescription) -> NDArray[Any]:
        """Return the colours, (3, y, x)."""
        return read_image(case.images[0], _PICTURE).pixels


@dataclass(frozen=True)
class SeededInstances(SeededSplit, InstanceConverter):
    """Base of the converters of instances with a seeded split."""

    def describe_from(self, known: Sequence[CaseHeaders]) -> DatasetDescription:
        """Add the number of cases in the complete dataset."""
        return replace(super().describe_from(known), official_counts=self.counts())


@dataclass(frozen=True)
class KindsOfNuclei(InstanceConverter):
    """Base of the converters of nuclei of several kinds, which may be the classes.

    A subclass declares `target` again, with its choices, the first of which is "nuclei".
    """

    target: str = option(NUCLEI, "what the classes say", (NUCLEI,))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target != NUCLEI:
            self.refuse_class_options(f"--target {self.target} makes the kinds the classes")

    @abstractmethod
    def kinds(self) -> tuple[str, ...]:
        """Return the names of the classes 1, 2, ...; asked for if `target` is not "nuclei"."""

    @abstractmethod
    def read_kinds(self, case: Case) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
        """Return the kind of the nucleus at each pixel, (y, x), 0 = background, and notes on it."""

    def describe_from(self, known: Sequence[CaseHeaders]) -> DatasetDescription:
        """Name the kinds as classes, if they are the target."""
        description = super().describe_from(known)
        if self.target == NUCLEI:
            return description
        labels = {name: number for number, name in enumerate(("background", *self.kinds()))}
        return replace(description, labels=labels)

    def make_label(
        self, case: Case, instances: Ids, grid: Grid, description: DatasetDescription
    ) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
        """Return the kinds, if they are the target."""
        if self.target == NUCLEI:
            return super().make_label(case, instances, grid, description)
        kinds, notes = self.read_kinds(case)
        return kinds, (*notes, *_without_a_kind(instances, kinds, case.labels[0]))


def _without_a_kind(instances: Ids, kinds: NDArray[np.uint8], file: Path) -> tuple[Note, ...]:
    """Return a note on nuclei, numbered 1 to n, that are background where the kinds are the classes."""
    if instances.shape != kinds.shape:
        return ()  # refused later
    number = int(instances.max(initial=0))
    lost = without_pixels(np.where(kinds > 0, instances, 0), number)
    return (Note(DROPPED, f"{file}: {lost} of {number} nuclei have no kind"),) if lost else ()
