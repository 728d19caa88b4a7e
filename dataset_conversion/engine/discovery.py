"""The look at a dataset before anything is written: its cases, what is wrong with them, what is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_ext.dataset_conversion.base.case import Case, UnusableCases
from nnunet_ext.dataset_conversion.base.converter import Converter, Survey
from nnunet_ext.dataset_conversion.engine.checks import check_ids
from nnunet_ext.dataset_conversion.engine.output import Record, fingerprint
from nnunet_ext.dataset_conversion.engine.worker import below, problem_record
from nnunet_ext.errors import UserError
from nnunet_ext.worker_pool import Progress


@dataclass
class Found:
    """What is below the source folder.

    Attributes
    ----------
    survey : Survey
        The cases to convert and what they have in common.
    problems : dict
        Records of cases that cannot be converted, by id; more come while cases are read.
    wrong : list of Case
        The cases of `problems` that are not in the survey.
    left_out : tuple of Case
        Cases the converter leaves out on purpose.
    """

    survey: Survey
    problems: dict[str, Record]
    wrong: list[Case]
    left_out: tuple[Case, ...]

    @property
    def cases(self) -> tuple[Case, ...]:
        """All cases that ought to be in the dataset."""
        return (*self.survey.cases, *self.wrong)

    @property
    def good(self) -> list[Case]:
        """The cases of which nothing wrong is known, in the order of their ids."""
        return sorted(
            (case for case in self.survey.cases if case.id not in self.problems), key=lambda case: case.id
        )


class UnusableCasesError(UserError):
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


def look(converter: Converter, root: Path, overwrite: bool, skip: bool, progress: Progress) -> Found:
    """Find the cases and look at them.

    Parameters
    ----------
    converter : Converter
        The dataset.
    root : Path
        The folder that `Converter.locate` found.
    overwrite : bool
        Whether there is an earlier conversion to lose: then every case must be usable.
    skip : bool
        Whether cases that cannot be converted are done without, those that the survey finds too.
    progress : callable
        Shows a bar.

    Raises
    ------
    UnusableCasesError
        If cases are wrong so that nothing should be written.
    UserError
        If there is nothing to convert.
    """
    found = converter.find_cases(root)
    left_out = tuple(case for case in found if case.left_out)
    cases = [case for case in found if not case.left_out]
    if not any(case.part != "test" for case in cases):
        raise UserError(f"No training cases of {converter.name} were found in {root}.")
    nothing = f"Nothing was {'overwritten' if overwrite else 'converted'}."
    problems = _records(check_ids(cases), cases, root)
    if overwrite and problems and not skip:
        raise UnusableCasesError(problems, f"{listed(problems, root)}\n{nothing}")
    while sound := [case for case in cases if case.id not in problems]:
        try:
            survey = converter.survey(sound, progress)
        except UnusableCases as error:
            problems |= _records(error.problems, cases, root)
            if not skip:
                raise UnusableCasesError(problems, f"{listed(problems, root)}\n{nothing}") from error
        else:
            wrong = [case for case in cases if case.id in problems]
            return Found(survey, problems, wrong, left_out)
    raise UnusableCasesError(problems, f"{listed(problems, root)}\n{nothing}")


def listed(problems: Mapping[str, Record], root: Path) -> str:
    """Return what is wrong, a line per file."""
    lines = [f"  {line}" for case_id in sorted(problems) for line in problems[case_id]["problems"]]
    return "\n".join([f"{count(len(problems), 'case')} in {root} cannot be converted:", *lines])


def count(number: int, word: str) -> str:
    """Return a number with its noun."""
    return f"{number} {word}{'s' * (number != 1)}"


def left_out_texts(left_out: Sequence[Case], root: Path) -> dict[str, str]:
    """Return why cases are left out, by file."""
    return {below(root, str(case.images[0])): case.left_out for case in left_out}


def _records(problems: Mapping[str, list[str]], cases: Sequence[Case], root: Path) -> dict[str, Record]:
    return {
        case.id: problem_record(case, fingerprint(case, root), problems[case.id], root)
        for case in cases
        if case.id in problems
    }
