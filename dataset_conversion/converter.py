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
    "IGNORE",
    "PARTS",
    "Case",
    "CaseError",
    "Converter",
    "DatasetDescription",
    "Facts",
    "Note",
    "Part",
    "Sample",
    "Split",
    "Survey",
    "SurveyError",
    "option",
]

#: name of nnU-Net's label for voxels of which nothing is known
IGNORE = "ignore"
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
        Class name to value, background = 0, consecutive; "ignore", if there is one, is the highest. Regions,
        which may overlap, have several values each: ``{"whole": (1, 2), "core": 2}``.
    file_ending : str
        Of images and labels, with the dot. With `dimension` it selects a format of `formats`.
    official_counts : mapping
        Cases per part in the complete dataset, to tell a partial download.
    dimension : int
        Number of spatial axes, 2 or 3.
    regions_class_order : tuple of int
        The label that each region is written as after prediction, in the order of the regions; with regions
        only.
    nesting : mapping
        What lies in what, for the multi-level trainers: ``{"cell": {"nucleus": {}}}``. Empty for classes that
        are not nested.

    Raises
    ------
    ValueError
        If nnU-Net would not take these labels.
    """

    channel_names: tuple[str, ...]
    labels: Mapping[str, int | tuple[int, ...]]
    file_ending: str
    official_counts: Mapping[Part, int] = field(default_factory=dict)
    dimension: int = 2
    regions_class_order: tuple[int, ...] = ()
    nesting: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values, ignore = self.values, self.labels.get(IGNORE, self.values[-1])
        if values != tuple(range(len(values))) or ignore != values[-1] or self.labels.get("background") != 0:
            raise ValueError(
                "We expect background = 0, consecutive labels and 'ignore' as the highest. "
                f"Got: {dict(self.labels)}"
            )
        regions = [name for name in self.labels if name not in ("background", IGNORE)]
        has_regions = any(isinstance(value, tuple) for value in self.labels.values())
        if len(self.regions_class_order) != len(regions) * has_regions:
            raise ValueError(
                f"We expect regions_class_order to have one label per region ({', '.join(regions)}), and "
                f"none without regions. Got: {self.regions_class_order}"
            )

    @property
    def values(self) -> tuple[int, ...]:
        """All values a label map may hold, the ignore label included, in order."""
        parts = (value if isinstance(value, tuple) else (value,) for value in self.labels.values())
        return tuple(sorted({number for part in parts for number in part}))


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
class Facts:
    """What the list of datasets (``nnunet_ext convert --list``) says about one; words, not code.

    Attributes
    ----------
    task : str
        What is segmented: "retinal vessels".
    dimension : str
        "2D", "3D" or "2D, 3D".
    cases : str
        Training / validation / test: "480 / 120 / 200"; a dash for a part there is none of.
    classes : str
        The classes besides the background: "artery, vein".
    registration : str
        What it takes to get the data: "no", "Kaggle account", "form and password".
    serves : str
        The paper, with its table, whose numbers these data reproduce: "SCNP, Table G.4".
    split : str
        Where the split comes from: "official test; 20 % of training, seeded, as validation".
    open_points : tuple of str
        What could not be established and the user has to know or give; the help lists it.
    """

    task: str = ""
    dimension: str = ""
    cases: str = ""
    classes: str = ""
    registration: str = "no"
    serves: str = ""
    split: str = ""
    open_points: tuple[str, ...] = ()


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
