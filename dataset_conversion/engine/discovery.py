"""What there is to convert, before anything is written: cases, what is wrong with them, what is left out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from nnunet_ext.dataset_conversion.base.case import Case, Note, UnusableCases
from nnunet_ext.dataset_conversion.base.converter import Converter, Survey
from nnunet_ext.dataset_conversion.base.find_files import listing
from nnunet_ext.dataset_conversion.engine.output import Record, fingerprints, problem_record
from nnunet_ext.errors import UserError, some_of
from nnunet_ext.images.files import stem_of
from nnunet_ext.worker_pool import Progress

_LONGEST_ID = 200  # bytes: what is added to it (channel, ending, a temporary name) has to fit into 255


@dataclass
class Discovery:
    """What is below the source folder.

    Attributes
    ----------
    root : Path
        The source folder, as `Converter.locate` found it.
    survey : Survey
        The cases to convert and what they have in common.
    problems : dict
        Records of cases that cannot be converted, by id; more are added while cases are read.
    not_surveyed : list of Case
        The cases of `problems` that are not in the survey.
    left_out : tuple of Case
        Cases the converter leaves out on purpose.
    earlier_tests : tuple of Case
        Test cases that an earlier run converted from another folder than those given now; they stay.
    notes : list of Note
        What is worth knowing about all of it, beside what the survey says.
    """

    root: Path
    survey: Survey
    problems: dict[str, Record]
    not_surveyed: list[Case]
    left_out: tuple[Case, ...]
    earlier_tests: tuple[Case, ...] = ()
    notes: list[Note] = field(default_factory=list)

    @property
    def done(self) -> list[Case]:
        """The cases that are in the dataset when it is complete."""
        return sorted((*self.usable, *self.earlier_tests), key=lambda case: case.id)

    @property
    def cases(self) -> tuple[Case, ...]:
        """All cases that ought to be in the dataset."""
        return (*self.survey.cases, *self.not_surveyed)

    @property
    def usable(self) -> list[Case]:
        """The cases of which nothing wrong is known, in the order of their ids."""
        usable = (case for case in self.survey.cases if case.id not in self.problems)
        return sorted(usable, key=lambda case: case.id)


class DiscoveryError(UserError):
    """There are cases that cannot be converted, and therefore nothing is written.

    Parameters
    ----------
    problems : mapping
        Their records by id.
    text : str
        What is said about them.
    """

    def __init__(self, problems: Mapping[str, Record], text: str) -> None:
        super().__init__(text)
        self.problems = dict(problems)


def discover(converter: Converter, root: Path, overwrite: bool, skip: bool, progress: Progress) -> Discovery:
    """Find the cases and survey them.

    Parameters
    ----------
    converter : Converter
        The dataset.
    root : Path
        The folder that `Converter.locate` found.
    overwrite : bool
        Whether there is an earlier conversion to lose: then every case must be usable.
    skip : bool
        Whether the dataset is made without cases that cannot be converted. The survey is then repeated
        without those that it refuses.
    progress : callable
        Shows a bar.

    Raises
    ------
    DiscoveryError
        If cases are wrong so that nothing should be written.
    UserError
        If there is nothing to convert.
    """
    found = converter.find_cases(root)
    cases = [case for case in found if not case.left_out]
    if not any(case.part != "test" for case in cases):
        raise UserError(
            f"No training cases of {converter.name} were found in {root}. Found there: {listing(root)}."
        )
    nothing = f"Nothing was {'overwritten' if overwrite else 'converted'}."
    letters = _check_letters(cases)
    wrong = _check_files(cases)
    problems = _records(
        wrong | {id: [*wrong.get(id, ()), *lines] for id, lines in letters.items()}, cases, root
    )
    if (overwrite or letters) and problems and not skip:
        raise DiscoveryError(problems, f"{describe_problems(problems, root)}\n{nothing}")
    while sound := [case for case in cases if case.id not in problems]:
        try:
            survey = converter.survey(sound, progress)
        except UnusableCases as error:
            problems |= _records(error.problems, cases, root)
            if not skip:
                raise DiscoveryError(problems, f"{describe_problems(problems, root)}\n{nothing}") from error
        else:
            not_surveyed = [case for case in cases if case.id in problems]
            left_out = (*(case for case in found if case.left_out), *survey.left_out)
            return Discovery(root, survey, problems, not_surveyed, left_out)
    raise DiscoveryError(problems, f"{describe_problems(problems, root)}\n{nothing}")


def describe_problems(problems: Mapping[str, Record], root: Path) -> str:
    """Return what is wrong, a line per file."""
    lines = [f"  {line}" for case_id in sorted(problems) for line in problems[case_id]["problems"]]
    cases = f"{len(problems)} case{'s' * (len(problems) != 1)}"
    return "\n".join([f"{cases} in {root} cannot be converted:", *lines])


def _check_files(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Return what is wrong, as far as it shows without reading: files and ids twice, missing files; by id."""
    _names.cache_clear()
    by_id: dict[str, list[Case]] = {}
    for case in cases:
        by_id.setdefault(case.id, []).append(case)
    problems: dict[str, list[str]] = {}
    for case_id, same in by_id.items():
        lines = [line for case in same for path in case.files if (line := file_problem(path))]
        if len(os.fsencode(case_id)) > _LONGEST_ID:
            lines.append(f"{same[0].images[0]}: this name is too long for a case. Give it a shorter one")
        lines += dict.fromkeys(line for case in same for line in case.wrong)
        if len(same) > 1:
            files = ", ".join(map(str, _telling(same)))
            lines.append(f"{files}: {len(same)} cases with the same id '{case_id}'")
        if lines:
            problems[case_id] = lines
    return problems


def _check_letters(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Return a line per case that is called as another but for upper and lower case, as some disks see it."""
    alike: dict[str, dict[str, Case]] = {}
    for case in cases:
        alike.setdefault(case.id.casefold(), {})[case.id] = case
    return {
        case.id: [
            f"{case.images[0]}: '{case.id}' differs from {_others(case, same.values())} only in upper and "
            "lower case: on Windows and macOS one would overwrite the other. Rename one of them"
        ]
        for same in alike.values()
        if len(same) > 1
        for case in same.values()
    }


def _others(case: Case, alike: Iterable[Case]) -> str:
    return some_of([f"'{other.id}' ({other.images[0]})" for other in alike if other.id != case.id])


def _telling(cases: Sequence[Case]) -> list[Path]:
    """Return the image of each case or, if that is the same, its label."""
    images = [case.images[0] for case in cases]
    labels = [case.labels[0] for case in cases if case.labels]
    return labels if len(set(images)) < len(images) == len(labels) else images


def file_problem(path: Path) -> str:
    """Say what is wrong with a file that has to be read, without reading it; "" if nothing is."""
    try:
        str(path).encode()
        if path.is_file():
            return ""
    except UnicodeEncodeError:
        return f"{os.fsencode(path).decode(errors='backslashreplace')}: no name in UTF-8. Rename it"
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror or error})"
    if path.is_dir():
        return f"{path}: a folder with the name of a file"
    if path.is_symlink():
        return f"{path}: a link to {os.readlink(path)}, which is not there"
    return f"{path}: no plain file" if path.exists() else f"{path}: missing{_similar(path)}"


def _similar(path: Path) -> str:
    """Return what lies where a file is missing and is called alike, but for its ending and letter case."""
    folder, name = path.parent, stem_of(path).lower()
    alike = [other for other in _names(folder) if stem_of(folder / other).lower() == name]
    return f" (there is {some_of(alike)})" if alike else ""


@lru_cache(maxsize=64)
def _names(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(os.listdir(folder)))
    except OSError:
        return ()


def _records(problems: Mapping[str, list[str]], cases: Sequence[Case], root: Path) -> dict[str, Record]:
    return {
        case.id: problem_record(case, fingerprints(case, root), problems[case.id], root)
        for case in cases
        if case.id in problems
    }
