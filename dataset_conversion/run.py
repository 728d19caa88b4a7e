"""The engine: converts the cases of a dataset in parallel, resumes, and completes the folder."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

from nnunet_ext.dataset_conversion.checks import check_ids
from nnunet_ext.dataset_conversion.converter import (
    Case,
    Converter,
    DatasetDescription,
    Progress,
    Survey,
    SurveyError,
    silent,
)
from nnunet_ext.dataset_conversion.output import DatasetFolder, Record
from nnunet_ext.dataset_conversion.report import Conversion, build_report, dataset_json, dataset_notes
from nnunet_ext.dataset_conversion.targets import (
    check_installed_split,
    dataset_folder,
    install_split,
    installed_split,
)
from nnunet_ext.dataset_conversion.worker import Outcome, below, convert_case
from nnunet_ext.errors import UserError
from nnunet_ext.files import read_json


def convert(
    converter: Converter,
    source: str | os.PathLike[str],
    dataset_id: int,
    name: str | None = None,
    processes: int = 1,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Conversion:
    """Convert a dataset into ``$nnUNet_raw/DatasetXXX_name`` for nnU-Net.

    A killed run continues where it stopped and a finished dataset is left alone; `source` is never
    written to. Where the dataset needs folds of its own (see `folds.folds`) and ``nnUNet_preprocessed`` is
    set, they are put where nnU-Net looks for them.

    Parameters
    ----------
    converter : Converter
        The dataset, with its options.
    source : path
        Folder with the unpacked data; one or two extra levels are accepted.
    dataset_id : int
        1 to 999.
    name : str, optional
        Dataset name after the id; the converter's own by default.
    processes : int
        Worker processes.
    overwrite : bool
        Replace an earlier conversion, and a different split in nnUNet_preprocessed.
    progress : callable
        Wraps the stream of finished cases to show a progress bar.

    Raises
    ------
    UserError
        If anything is in the way (see the message), or if cases are wrong: all of them are listed by
        file, the others are kept for the next run, and there is no dataset.json.
    """
    if processes < 1:
        raise UserError(f"-np {processes} is not possible: at least one process is needed.")
    path = dataset_folder(dataset_id, name or converter.name)
    root = converter.locate(Path(source))
    survey, problems = _look(converter, root, overwrite, progress)
    description = survey.description
    splits = converter.splits(survey.cases)
    identity = {"converter": converter.name, "source": str(root), "parameters": converter.parameters()}
    folder = DatasetFolder(path, identity)
    earlier = folder.earlier_split()
    check_installed_split(path.name, splits, earlier, overwrite)
    folder.open(overwrite)
    folder.check_strangers(survey.cases, description.file_ending)

    records = folder.records()
    good = [case for case in survey.cases if case.id not in problems]
    todo = [case for case in good if not folder.is_done(case, records.get(case.id), description, root)]
    if todo or problems or not folder.is_complete(splits):
        folder.begin()
        stream = _outcomes(converter, description, root, folder, todo, processes)
        for outcome in progress(stream, len(todo), f"Converting {converter.name}"):
            if outcome.record is None:
                problems[outcome.case_id] = [below(root, text) for text in outcome.problems]
            else:
                records[outcome.case_id] = outcome.record
        if problems:
            raise UserError(_problem_text(problems, root, path))
    install_split(path.name, splits, earlier)
    if not folder.is_complete(splits):
        _complete(folder, converter, survey, records, root)
    return Conversion(
        path,
        dict(read_json(folder.report)),
        len(todo),
        len(good) - len(todo),
        installed_split(path.name) if splits else None,
    )


def _complete(
    folder: DatasetFolder, converter: Converter, survey: Survey, records: Mapping[str, Record], root: Path
) -> None:
    """Write report, split and ``dataset.json`` of a dataset whose cases are all done."""
    splits, description = converter.splits(survey.cases), survey.description
    notes = [replace(note, text=below(root, note.text)) for note in survey.notes]
    notes += dataset_notes(survey.cases, description, splits, root)
    done = {case.id: records[case.id] for case in survey.cases}
    report = build_report(converter, description, folder.identity, done, notes)
    training = sum(case.part != "test" for case in survey.cases)
    folder.finish(report, splits, dataset_json(converter, description, folder.path.name, training))


def _look(
    converter: Converter, root: Path, overwrite: bool, progress: Progress
) -> tuple[Survey, dict[str, list[str]]]:
    """Find the cases and look at them; return the survey and the problems that leave other cases usable.

    Raises
    ------
    UserError
        If there is nothing to convert, or a problem with which nothing should be written.
    """
    cases = converter.find_cases(root)
    if not any(case.part != "test" for case in cases):
        raise UserError(f"No training cases of {converter.name} were found in {root}.")
    problems = check_ids(cases)
    sound = [case for case in cases if case.id not in problems]
    nothing = f"Nothing was {'overwritten' if overwrite else 'written'}."
    if not sound or (overwrite and problems):
        raise UserError(f"{_listed(problems, root)}\n{nothing}")
    try:
        survey = converter.survey(sound, progress)
    except SurveyError as error:
        raise UserError(f"{_listed({**problems, **error.problems}, root)}\n{nothing}") from error
    unread = [case for case in cases if case.id in problems]
    return replace(survey, cases=(*survey.cases, *unread)), problems


def _outcomes(
    converter: Converter,
    description: DatasetDescription,
    root: Path,
    folder: DatasetFolder,
    cases: Sequence[Case],
    processes: int,
) -> Iterator[Outcome]:
    """Convert `cases`, in worker processes if more than one is asked for; yield as they finish."""
    if processes == 1 or len(cases) < 2:
        yield from (convert_case(converter, description, root, folder, case) for case in cases)
        return
    # spawn: a fork would copy the thread that draws the progress bar
    pool = ProcessPoolExecutor(min(processes, len(cases)), multiprocessing.get_context("spawn"))
    try:
        futures = [pool.submit(convert_case, converter, description, root, folder, case) for case in cases]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "A worker process died, perhaps for lack of memory. Run the command again with a smaller -np: "
            "finished cases are kept."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _listed(problems: Mapping[str, list[str]], root: Path) -> str:
    lines = [f"  {below(root, line)}" for case_id in sorted(problems) for line in problems[case_id]]
    head = f"{len(problems)} case{'s' * (len(problems) > 1)} in {root} cannot be converted:"
    return "\n".join([head, *lines])


def _problem_text(problems: dict[str, list[str]], root: Path, path: Path) -> str:
    return (
        f"{_listed(problems, root)}\n"
        f"{path.name} is not complete and has no dataset.json. Mend or remove these files and run the same "
        "command again: finished cases are kept."
    )
