"""What one dataset has to say: where its cases are, how one is read, what its labels mean.

Everything else (parallel runs, resuming, checks, writing, the report) is in `run`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from nnunet_ext.dataset_conversion.case import (
    PARTS,
    Case,
    CaseError,
    Note,
    Part,
    Sample,
    Split,
    SurveyError,
)
from nnunet_ext.dataset_conversion.folds import folds
from nnunet_ext.dataset_conversion.sources import find_root
from nnunet_ext.errors import UserError

__all__ = [
    "PARTS",
    "Case",
    "CaseError",
    "Converter",
    "DatasetDescription",
    "Note",
    "Part",
    "Sample",
    "Split",
    "Survey",
    "SurveyError",
    "option",
]

#: (items, how many, what) -> the same items, shown as they go by
Progress: TypeAlias = Callable[[Iterable[Any], int, str], Iterator[Any]]


def silent(items: Iterable[Any], total: int, description: str) -> Iterator[Any]:
    """Yield `items` and show nothing."""
    yield from items


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
        Of images and labels, with the dot. With `dimension` it selects a format of `formats`.
    official_counts : mapping
        Cases per part in the complete dataset, to tell a partial download.
    dimension : int
        Number of spatial axes, 2 or 3.
    """

    channel_names: tuple[str, ...]
    labels: Mapping[str, int]
    file_ending: str
    official_counts: Mapping[Part, int] = field(default_factory=dict)
    dimension: int = 2


@dataclass(frozen=True)
class Survey:
    """What a look at the files showed before anything is written.

    Attributes
    ----------
    cases : tuple of Case
        The cases to convert.
    description : DatasetDescription
        What they have in common.
    notes : tuple of Note
        What is worth knowing about the dataset as a whole.
    """

    cases: tuple[Case, ...]
    description: DatasetDescription
    notes: tuple[Note, ...] = ()


def option(
    default: Any,
    help: str,
    choices: Sequence[Any] = (),
    flags: Sequence[str] = (),
    metavar: str = "",
    shown: str = "",
    adds_cases: bool = False,
) -> Any:
    """Declare an option of a converter: a dataclass field that is also a flag of the command line.

    Parameters
    ----------
    default : any
        Default value. The type of the field's annotation is that of the flag; a tuple takes several values.
    help : str
        One line, without a full stop.
    choices : sequence
        The only values allowed, if given.
    flags : sequence of str
        Names of the flag; by default the field's name with two dashes.
    metavar, shown : str
        How the help shows the value and the default.
    adds_cases : bool
        Whether it only says where further cases are: a dataset converted without it may then be completed.
    """
    metadata = {"help": help, "choices": tuple(choices), "flags": tuple(flags)}
    shows = {"metavar": metavar, "shown": shown}
    return field(default=default, metadata={**metadata, **shows, "adds_cases": adds_cases})


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
    example : str
        Flags for the example in the help.

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
    layout: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for spec in self.options():
            choices, value = spec.metadata["choices"], getattr(self, spec.name)
            if choices and value not in choices:
                raise UserError(
                    f"{self.name} has no {spec.name} '{value}'. Choose from: {', '.join(map(str, choices))}."
                )

    @classmethod
    def options(cls) -> tuple[dataclasses.Field[Any], ...]:
        """Return the options as dataclass fields; ``metadata`` holds "help" and "choices"."""
        return tuple(spec for spec in dataclasses.fields(cls) if "help" in spec.metadata)

    def parameters(self) -> dict[str, Any]:
        """Return the options all cases were converted with, as they are stored in the report."""
        stored = [spec.name for spec in self.options() if not spec.metadata["adds_cases"]]
        return {name: _plain(getattr(self, name)) for name in stored}

    def locate(self, source: Path) -> Path:
        """Return the folder at or below `source` that holds `layout`; see `sources.find_root`."""
        return find_root(source, self.layout, self.name)

    def describe(self) -> DatasetDescription:
        """Return channels, labels and file ending, if they do not depend on the files; else see `survey`."""
        raise NotImplementedError(f"{type(self).__name__} needs describe() or survey()")

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """Look at the files of the cases before anything is written; here: at none of them.

        For a dataset whose channels, format or choice of cases depend on its files. Headers are enough as a
        rule; `progress` shows a bar.

        Raises
        ------
        SurveyError
            If something is wrong with cases; nothing is written then.
        """
        return Survey(tuple(cases), self.describe())

    @abstractmethod
    def find_cases(self, root: Path) -> list[Case]:
        """Return all cases below `root` without reading them.

        Name also files that should exist but do not (an image's mask): missing files are reported
        by the caller, all of them at once.
        """

    @abstractmethod
    def read_case(self, case: Case, description: DatasetDescription) -> Sample:
        """Read one case; called in worker processes.

        Parameters
        ----------
        case : Case
            One of those of `survey`.
        description : DatasetDescription
            That of `survey`.

        Raises
        ------
        CaseError
            If a file cannot be read or is not what it should be.
        """

    def splits(self, cases: Sequence[Case]) -> list[Split] | None:
        """Return the folds for ``splits_final.json``, or None to leave them to nnU-Net; see `folds.folds`."""
        ids = {part: sorted(case.id for case in cases if case.part == part) for part in PARTS}
        groups = {case.id: case.group for case in cases if case.part == "train" and case.group}
        return folds(ids["train"], ids["val"], groups)


def _plain(value: Any) -> Any:
    """Return an option as JSON would give it back."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value.resolve()) if isinstance(value, Path) else value
