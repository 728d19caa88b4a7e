"""What one dataset has to say: where its cases are, how one is read, what its labels mean.

Everything else (parallel runs, resuming, checks, writing, the report) is in `run`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from nnunet_ext.dataset_conversion.case import (
    PARTS,
    Case,
    Sample,
    Split,
)
from nnunet_ext.dataset_conversion.description import DatasetDescription, Facts
from nnunet_ext.dataset_conversion.folds import folds
from nnunet_ext.dataset_conversion.options import stored, words
from nnunet_ext.dataset_conversion.sources import find_root
from nnunet_ext.dataset_conversion.survey import Progress, Survey, silent
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
