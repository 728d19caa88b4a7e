"""What one dataset has to say: where its cases are, how one is read, what its labels mean.

Everything else (parallel runs, resuming, checks, writing, the report) is in `run`.
"""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.sources import find_root
from nnunet_ext.errors import UserError

Part: TypeAlias = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
Split: TypeAlias = dict[str, list[str]]


class CaseError(UserError):
    """One case cannot be converted. The text names the file and says what is wrong with it."""


@dataclass(frozen=True)
class Note:
    """Something worth knowing that is no error, such as an empty mask. Notes are counted by `kind`."""

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
        What the case belongs to (patient, source image, test domain), if it matters.
    """

    id: str
    part: Part
    images: tuple[Path, ...]
    labels: tuple[Path, ...] = ()
    group: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.+-]+", self.id):
            raise ValueError(f"We expect a case id that can be a file name. Got: {self.id!r}")

    @property
    def files(self) -> tuple[Path, ...]:
        """All source files of the case."""
        return self.images + self.labels


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
    """

    images: tuple[Path | NDArray[Any], ...]
    label: NDArray[np.integer[Any]] | None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class DatasetDescription:
    """What goes into ``dataset.json``.

    Attributes
    ----------
    channel_names : tuple of str
        One per channel, an RGB file counting as three; nnU-Net picks the normalisation by them ("CT" has
        its own, other names get the z-score).
    labels : mapping
        Class name to value, background = 0, consecutive.
    file_ending : str
        Of images and labels, with the dot.
    official_counts : mapping
        Cases per part in the complete dataset, to tell a partial download.
    """

    channel_names: tuple[str, ...]
    labels: Mapping[str, int]
    file_ending: str
    official_counts: Mapping[Part, int] = field(default_factory=dict)


def option(default: Any, help: str, choices: Sequence[str] = ()) -> Any:
    """Declare an option of a converter: a dataclass field that is also a flag of the command line."""
    return field(default=default, metadata={"help": help, "choices": tuple(choices)})


@dataclass(frozen=True)
class Converter(ABC):
    """Base class of the converters; subclasses are frozen dataclasses whose fields are their options.

    Attributes
    ----------
    name : str
        Default dataset name, as in ``Dataset501_<name>``; lower case it is the sub-command.
    title : str
        One line on what the images show and what is labelled.
    licence : str
        Of the data, with the condition of access if there is one.
    url : str
        Where the data come from.
    reference : str
        The paper to cite.
    layout : tuple of str
        Paths that must exist below the dataset's root, by which `locate` finds it.

    Raises
    ------
    UserError
        At construction, if an option has a value outside its choices.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    licence: ClassVar[str]
    url: ClassVar[str]
    reference: ClassVar[str]
    layout: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        for spec in self.options():
            choices, value = spec.metadata["choices"], getattr(self, spec.name)
            if choices and value not in choices:
                raise UserError(
                    f"{self.name} has no {spec.name} '{value}'. Choose from: {', '.join(choices)}."
                )

    @classmethod
    def options(cls) -> tuple[dataclasses.Field[Any], ...]:
        """Return the options as dataclass fields; ``metadata`` holds "help" and "choices"."""
        return tuple(spec for spec in dataclasses.fields(cls) if "help" in spec.metadata)

    def parameters(self) -> dict[str, Any]:
        """Return the options in force, as they are stored in the report."""
        return {spec.name: getattr(self, spec.name) for spec in self.options()}

    def locate(self, source: Path) -> Path:
        """Return the folder at or below `source` that holds `layout`; see `sources.find_root`."""
        return find_root(source, self.layout, self.name)

    @abstractmethod
    def describe(self) -> DatasetDescription:
        """Return channels, labels and file ending."""

    @abstractmethod
    def find_cases(self, root: Path) -> list[Case]:
        """Return all cases below `root` without reading them.

        Name also files that should exist but do not (an image's mask): missing files are reported
        by the caller, all of them at once.
        """

    @abstractmethod
    def read_case(self, case: Case) -> Sample:
        """Read one case; called in worker processes.

        Raises
        ------
        CaseError
            If a file cannot be read or is not what it should be.
        """

    def splits(self, cases: Sequence[Case]) -> list[Split] | None:
        """Return the folds for ``splits_final.json``, or None to leave them to nnU-Net.

        Here: one fold, the official one, where the source has a validation part.
        """
        ids = {part: sorted(case.id for case in cases if case.part == part) for part in PARTS}
        return [{"train": ids["train"], "val": ids["val"]}] if ids["val"] else None
