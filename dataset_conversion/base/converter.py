"""What one dataset has to say: where its cases are, how one is read, what its labels mean.

Everything else (parallel runs, resuming, checks, writing, the report) is done for it by `engine`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from nnunet_ext.dataset_conversion.base.case import PARTS, Case, Note, Sample, Split
from nnunet_ext.dataset_conversion.base.description import DatasetDescription, Facts
from nnunet_ext.dataset_conversion.base.find_files import find_root
from nnunet_ext.dataset_conversion.base.looks import Look
from nnunet_ext.dataset_conversion.base.splits import folds
from nnunet_ext.errors import UserError
from nnunet_ext.worker_pool import Progress, silent


def option(
    default: Any,
    help: str,
    choices: Sequence[Any] = (),
    flags: Sequence[str] = (),
    metavar: str = "",
    shown: str = "",
    adds_cases: bool = False,
    decides_split: bool = False,
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
    decides_split : bool
        Whether it says which cases train, validate and test: the report then states its value.
    """
    metadata = {"help": help, "choices": tuple(choices), "flags": tuple(flags)}
    shows = {"metavar": metavar, "shown": shown}
    kind = {"adds_cases": adds_cases, "decides_split": decides_split}
    return field(default=default, metadata={**metadata, **shows, **kind})


@dataclass(frozen=True)
class Survey:
    """The cases to convert and what they have in common, known before anything is written.

    Attributes
    ----------
    cases : tuple of Case
        The cases to convert.
    description : DatasetDescription
        What they have in common.
    notes : tuple of Note
        What is worth knowing about the dataset as a whole.
    left_out : tuple of Case
        Cases that are not converted on purpose, as their files show; `Case.left_out` says why.
    """

    cases: tuple[Case, ...]
    description: DatasetDescription
    notes: tuple[Note, ...] = ()
    left_out: tuple[Case, ...] = ()


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
    facts : Facts
        The dataset's row in the list of datasets, and what of it is not certain.

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
    facts: ClassVar[Facts] = Facts()

    def __post_init__(self) -> None:
        for spec in self.options():
            choices, value = spec.metadata["choices"], getattr(self, spec.name)
            if choices and value not in choices:
                raise UserError(
                    f"{self.name} has no {spec.name} '{value}'. Choose from: {', '.join(map(str, choices))}."
                )

    @classmethod
    def options(cls) -> tuple[dataclasses.Field[Any], ...]:
        """Return the options as dataclass fields; ``metadata`` holds the arguments of `option`."""
        return tuple(spec for spec in dataclasses.fields(cls) if "help" in spec.metadata)

    def parameters(self) -> dict[str, Any]:
        """Return the options all cases were converted with, as they are stored in the report."""
        names = [spec.name for spec in self.options() if not spec.metadata["adds_cases"]]
        return {name: _stored(getattr(self, name)) for name in names}

    def split_words(self) -> str:
        """Say where the split comes from: `Facts.split`, or the options that changed it."""
        deciding = (spec for spec in self.options() if spec.metadata["decides_split"])
        changed = [spec.name for spec in deciding if getattr(self, spec.name) != spec.default]
        flags = [f"--{name.replace('_', '-')} {_typed(getattr(self, name))}" for name in changed]
        return f"{' '.join(flags)} instead of: {self.facts.split}" if flags else self.facts.split

    def locate(self, source: Path) -> Path:
        """Return the folder at or below `source` that holds `layout`; see `find_root`."""
        return find_root(source, self.layout, self.name)

    def describe(self) -> DatasetDescription:
        """Return channels, labels and file ending, if they do not depend on the files; else see `survey`."""
        raise NotImplementedError(f"{type(self).__name__} needs describe() or survey()")

    @abstractmethod
    def find_cases(self, root: Path) -> list[Case]:
        """Return all cases below `root` without reading them.

        Name also files that should exist but do not (an image's mask): missing files are reported
        by the caller, all of them at once.
        """

    def known_files(self) -> Mapping[str, str]:
        """Return which files of the dataset no case uses, and why not.

        Other files below the root that no case uses are named in the report; these are only counted.

        Returns
        -------
        mapping
            Regular expression for a path below the root, with forward slashes and in any letter case, to the
            reason; the first one that fits counts. With an empty reason nothing is said at all.
        """
        return {}

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """Return the cases to convert and what they share; here all of them, and what `describe` says.

        Override it for a dataset whose channels, format or choice of cases depend on its files. To read
        headers is enough as a rule; `progress` shows a bar.

        Raises
        ------
        UnusableCases
            If something is wrong with cases; nothing is written then.
        """
        return Survey(tuple(cases), self.describe())

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
        UnusableCase
            If a file cannot be read or is not what it should be.
        """

    def look(self, case: Case, description: DatasetDescription) -> Look | None:
        """Look at a case before anything is written, to notice folders that were mixed up.

        Override it where a user chooses the folders; here None, as those of a public dataset are known.
        """
        return None

    def splits(self, cases: Sequence[Case]) -> list[Split] | None:
        """Return the folds for ``splits_final.json``, or None to leave them to nnU-Net; see `folds`."""
        ids = {part: sorted(case.id for case in cases if case.part == part) for part in PARTS}
        groups = {case.id: case.group for case in cases if case.part == "train" and case.group}
        return folds(ids["train"], ids["val"], groups)


def _stored(value: Any) -> Any:
    """Return an option as JSON would give it back; a file with a digest, which tells whether it changes."""
    if isinstance(value, tuple):
        return [_stored(item) for item in value]
    if not isinstance(value, Path):
        return value
    digest = f", SHA-256 {hashlib.sha256(value.read_bytes()).hexdigest()}" if value.is_file() else ""
    return f"{value.resolve()}{digest}"


def _typed(value: Any) -> str:
    """Return an option's value as it is typed after its flag."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
