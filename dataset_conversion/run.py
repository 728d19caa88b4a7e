"""The engine: converts the cases of a dataset in parallel, resumes, and completes the folder."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeAlias

from nnunet_ext.dataset_conversion.checks import check_ids
from nnunet_ext.dataset_conversion.converter import Case, Converter
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

#: (items, how many, what) -> the same items, shown as they go by
Progress: TypeAlias = Callable[[Iterable[Outcome], int, str], Iterator[Outcome]]


def silent(items: Iterable[Outcome], total: int, description: str) -> Iterator[Outcome]:
    """Yield `items` and show nothing."""
    yield from items


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
    written to. Where the dataset has its own split and ``nnUNet_preprocessed`` is set, the split is
    put where nnU-Net looks for it.

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
    cases = converter.find_cases(root)
    if not cases:
        raise UserError(f"No cases of {converter.name} were found in {root}.")
    splits = converter.splits(cases)
    check_installed_split(path.name, splits, overwrite)
    identity = {"converter": converter.name, "source": str(root), "parameters": converter.parameters()}
    folder = DatasetFolder(path, identity)
    problems = check_ids(cases)
    if overwrite and problems:
        raise UserError(f"{_listed(problems, root)}\nNothing was overwritten.")
    folder.open(overwrite)
    folder.check_strangers(cases, converter.describe().file_ending)

    records = folder.records()
    good = [case for case in cases if case.id not in problems]
    todo = [case for case in good if not folder.is_done(case, records.get(case.id), root)]
    if todo or problems or not folder.is_complete(splits):
        folder.begin()
        stream = _outcomes(converter, root, folder, todo, processes)
        for outcome in progress(stream, len(todo), f"Converting {converter.name}"):
            if outcome.record is None:
                problems[outcome.case_id] = [below(root, text) for text in outcome.problems]
            else:
                records[outcome.case_id] = outcome.record
        if problems:
            raise UserError(_problem_text(problems, root, path))
    report = _complete(folder, converter, cases, {case.id: records[case.id] for case in cases}, root)
    return Conversion(
        path, report, len(todo), len(good) - len(todo), installed_split(path.name) if splits else None
    )


def _complete(
    folder: DatasetFolder, converter: Converter, cases: Sequence[Case], records: dict[str, Record], root: Path
) -> dict[str, Any]:
    """Write what the dataset folder still lacks, ``dataset.json`` last; return the report."""
    splits = converter.splits(cases)
    install_split(folder.path.name, splits)
    if folder.is_complete(splits):
        return dict(read_json(folder.report))
    notes = dataset_notes(cases, converter.describe(), root)
    report = build_report(converter, folder.identity, records, notes)
    training = sum(case.part != "test" for case in cases)
    folder.finish(report, splits, dataset_json(converter, folder.path.name, training))
    return report


def _outcomes(
    converter: Converter, root: Path, folder: DatasetFolder, cases: Sequence[Case], processes: int
) -> Iterator[Outcome]:
    """Convert `cases`, in worker processes if more than one is asked for; yield as they finish."""
    if processes == 1 or len(cases) < 2:
        yield from (convert_case(converter, root, folder, case) for case in cases)
        return
    # spawn: a fork would copy the thread that draws the progress bar
    pool = ProcessPoolExecutor(min(processes, len(cases)), multiprocessing.get_context("spawn"))
    try:
        futures = [pool.submit(convert_case, converter, root, folder, case) for case in cases]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "A worker process died, perhaps for lack of memory. Run the command again with a smaller -np: "
            "finished cases are kept."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _listed(problems: dict[str, list[str]], root: Path) -> str:
    lines = [f"  {below(root, line)}" for case_id in sorted(problems) for line in problems[case_id]]
    head = f"{len(problems)} case{'s' * (len(problems) > 1)} in {root} cannot be converted:"
    return "\n".join([head, *lines])


def _problem_text(problems: dict[str, list[str]], root: Path, path: Path) -> str:
    return (
        f"{_listed(problems, root)}\n"
        f"{path.name} is not complete and has no dataset.json. Mend or remove these files and run the same "
        "command again: finished cases are kept."
    )
