"""What one dataset has to say: where its cases are, how one is read, what its labels mean.

Everything else (parallel runs, resuming, checks, writing, the report) is in `run`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from nnunet_ext.dataset_conversion.base.case import (
    PARTS,
    Case,
    Part,
    Sample,
    Split,
)
from nnunet_ext.dataset_conversion.base.description import DatasetDescription, Facts, Progress, Survey, silent
from nnunet_ext.dataset_conversion.base.find_files import find_root
from nnunet_ext.dataset_conversion.base.splits import deal_cases, folds
from nnunet_ext.errors import UserError


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
        """Return the options as dataclass fields; ``metadata`` holds "help" and "choices"."""
        return tuple(spec for spec in dataclasses.fields(cls) if "help" in spec.metadata)

    def parameters(self) -> dict[str, Any]:
        """Return the options all cases were converted with, as they are stored in the report."""
        names = [spec.name for spec in self.options() if not spec.metadata["adds_cases"]]
        return {name: stored(getattr(self, name)) for name in names}

    def split_words(self) -> str:
        """Say where the split comes from: `Facts.split`, and what options have made of it."""
        dealing = (spec for spec in self.options() if spec.metadata["deals"])
        changed = [spec.name for spec in dealing if getattr(self, spec.name) != spec.default]
        flags = [f"--{name.replace('_', '-')} {words(getattr(self, name))}" for name in changed]
        return f"{' '.join(flags)} instead of: {self.facts.split}" if flags else self.facts.split

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


def option(
    default: Any,
    help: str,
    choices: Sequence[Any] = (),
    flags: Sequence[str] = (),
    metavar: str = "",
    shown: str = "",
    adds_cases: bool = False,
    deals: bool = False,
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
    deals : bool
        Whether it says which cases train, validate and test.
    """
    metadata = {"help": help, "choices": tuple(choices), "flags": tuple(flags)}
    shows = {"metavar": metavar, "shown": shown}
    return field(default=default, metadata={**metadata, **shows, "adds_cases": adds_cases, "deals": deals})


def stored(value: Any) -> Any:
    """Return an option as JSON would give it back; a file with what tells whether it has changed."""
    if isinstance(value, tuple):
        return [stored(item) for item in value]
    if not isinstance(value, Path):
        return value
    digest = f", SHA-256 {hashlib.sha256(value.read_bytes()).hexdigest()}" if value.is_file() else ""
    return f"{value.resolve()}{digest}"


def words(value: Any) -> str:
    """Return an option as it is typed."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


SPLITS = ("paper", "folds")
PAPER_OR_FOLDS = "paper: at random, seeded, in the paper's sizes; folds: all cases dealt train, in five folds"


@dataclass(frozen=True)
class Dealt(Converter):
    """Base of the converters of which only the sizes of the parts are known, not which case is in which.

    Attributes
    ----------
    deals : tuple of str
        The parts that are dealt; the others are official.

    Raises
    ------
    UserError
        At construction, if `split` and `split_file` contradict each other.
    """

    deals: ClassVar[tuple[Part, ...]] = PARTS

    split: str = option("paper", PAPER_OR_FOLDS, SPLITS, deals=True)
    seed: int = option(12345, "of the split: another one deals the cases otherwise", deals=True)
    split_file: Path | None = option(  # noqa: RUF009 - a dataclass field
        None,
        'which cases go where, instead of the seed: JSON, {"train": [case ids], "val": [case ids], ...}',
        deals=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        default = next(spec.default for spec in self.options() if spec.name == "split")
        if self.split_file is not None and self.split != default:
            raise UserError(f"--split-file says which cases train: --split {self.split} contradicts it.")

    @abstractmethod
    def sizes(self) -> Mapping[Part, int]:
        """Return the cases per part in the complete dataset, as the paper has them."""

    def counts(self) -> dict[Part, int]:
        """Return the cases per part in the complete dataset, as far as the options tell."""
        counts = dict(self.sizes())
        dealt = sum(counts.pop(part, 0) for part in self.deals)
        if self.split_file is not None:
            return counts
        return {"train": dealt, **counts} if self.split == "folds" else dict(self.sizes())

    def dealt(self, cases: Sequence[Case], strata: Callable[[Case], Hashable] = lambda case: 0) -> list[Case]:
        """Return the cases with their parts: as a file says, those of `sizes`, or all of them training."""
        if self.split == "folds":
            return [replace(case, part="train") for case in cases]
        sizes = {part: size for part, size in self.sizes().items() if part in self.deals}
        return deal_cases(cases, sizes, self.seed, self.split_file, strata)
