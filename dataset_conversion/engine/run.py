"""The engine: converts the cases of a dataset in parallel, resumes, and completes the folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from nnunet_ext.dataset_conversion.base.converter import Converter
from nnunet_ext.dataset_conversion.engine.discovery import (
    Found,
    UnusableCasesError,
    listed,
    look,
)
from nnunet_ext.dataset_conversion.engine.nnunet_folders import (
    check_installed_split,
    dataset_folder,
    install_split,
    installed_split,
)
from nnunet_ext.dataset_conversion.engine.output import DatasetFolder, Record, was_tried
from nnunet_ext.dataset_conversion.engine.report import (
    Conversion,
    build_report,
    dataset_json,
    stopped_report,
)
from nnunet_ext.dataset_conversion.engine.worker import convert_case
from nnunet_ext.errors import UserError
from nnunet_ext.files import read_json
from nnunet_ext.worker_pool import Progress, as_they_finish, silent

_REMEDY = "Run the command again with a smaller -np: finished cases are kept."
OnError: TypeAlias = Literal["stop", "skip"]


def convert(
    converter: Converter,
    source: str | os.PathLike[str],
    dataset_id: int,
    name: str | None = None,
    processes: int = 1,
    overwrite: bool = False,
    progress: Progress = silent,
    on_error: OnError = "stop",
    part_id: int = 0,
    num_parts: int = 1,
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
    on_error : str
        What happens if cases cannot be converted: "stop", all good cases are converted and kept, but there is
        no ``dataset.json``; "skip", the dataset is completed without them. The report lists them either way.
    part_id, num_parts : int
        For job arrays: convert only every `num_parts`-th case, beginning with number `part_id`. The part that
        finds all cases done completes the dataset.

    Raises
    ------
    UserError
        If anything is in the way (see the message), or if cases are wrong and `on_error` is "stop".
    """
    _check_arguments(processes, overwrite, part_id, num_parts)
    path = dataset_folder(dataset_id, name or converter.name)
    root = converter.locate(Path(source))
    identity = {"converter": converter.name, "source": str(root), "parameters": converter.parameters()}
    folder = DatasetFolder(path, identity)
    skip = on_error == "skip"
    try:
        found = look(converter, root, overwrite, skip, progress)
    except UnusableCasesError as error:
        if folder.is_free():
            folder.write_report(stopped_report(identity, {}, error.problems))
        raise
    records = _open(folder, converter, found, overwrite, skip)
    description, mine = found.survey.description, found.good[part_id::num_parts]
    todo = [case for case in mine if not folder.is_done(case, records.get(case.id), description, root)]
    if todo or (found.problems and not skip) or not _is_complete(folder, converter, found):
        folder.begin()
    work = partial(convert_case, converter, description, root, folder)
    stream = as_they_finish(work, todo, processes, _REMEDY)
    for outcome in progress(stream, len(todo), f"Converting {converter.name}"):
        if "problems" in outcome.record:
            found.problems[outcome.case_id] = outcome.record
    if found.problems and not skip:
        _stop(folder, found, root)
    waiting = _waiting(folder, found, root)
    if not waiting and found.problems and not skip:
        _stop(folder, found, root)  # what is wrong are cases of other parts
    done = {"converted": sum(case.id not in found.problems for case in todo), "kept": len(mine) - len(todo)}
    if waiting:
        return Conversion(path, {}, **done, waiting=waiting)
    return replace(_complete(folder, converter, found, root, overwrite), **done)


def _open(
    folder: DatasetFolder, converter: Converter, found: Found, overwrite: bool, skip: bool
) -> dict[str, Record]:
    """Make sure that the folder may be written to; return the records of what is in it."""
    cases = found.good if skip else found.cases
    check_installed_split(folder.path.name, converter.splits(cases), folder.earlier_split(), overwrite)
    folder.open(overwrite)
    folder.check_strangers(found.cases, found.survey.description.file_ending)
    records, root = folder.records(), Path(folder.identity["source"])
    known = replace(found, problems={**found.problems, **_known_problems(found, records, root)})
    if skip:
        found.problems = known.problems
    elif known.problems and _is_complete(folder, converter, known):
        raise UserError(
            f"{listed(known.problems, root)}\n"
            f"{folder.path.name} was completed without them and is left as it is. Mend these files and run "
            "the same command again, or do without them: --on-error skip."
        )
    return records


def _known_problems(found: Found, records: Mapping[str, Record], root: Path) -> dict[str, Record]:
    """Return the records of cases that were tried before, with these very files, and were wrong."""
    tried = {case.id: records[case.id] for case in found.good if was_tried(case, records.get(case.id), root)}
    return {case_id: record for case_id, record in tried.items() if "problems" in record}


def _is_complete(folder: DatasetFolder, converter: Converter, found: Found) -> bool:
    return folder.is_complete(converter.splits(found.good), [case.id for case in found.good])


def _waiting(folder: DatasetFolder, found: Found, root: Path) -> int:
    """Return how many cases other parts have still to convert; note what they found wrong."""
    records = folder.records()
    found.problems |= _known_problems(found, records, root)
    description = found.survey.description
    return sum(not folder.is_done(case, records.get(case.id), description, root) for case in found.good)


def _stop(folder: DatasetFolder, found: Found, root: Path) -> None:
    """Write the report of what is wrong, and raise it."""
    done = {key: record for key, record in folder.records().items() if "problems" not in record}
    folder.write_report(stopped_report(folder.identity, done, found.problems))
    raise UserError(
        f"{listed(found.problems, root)}\n"
        f"{folder.path.name} is not complete and has no dataset.json. Mend or remove these files and run the "
        "same command again, or do without them: --on-error skip. Finished cases are kept."
    )


def _complete(
    folder: DatasetFolder, converter: Converter, found: Found, root: Path, overwrite: bool
) -> Conversion:
    """Write report, split and ``dataset.json`` of a dataset whose cases are all done, if not yet there."""
    cases, earlier, description = found.good, folder.earlier_split(), found.survey.description
    training = sum(case.part != "test" for case in cases)
    if not training:
        raise UserError(f"{listed(found.problems, root)}\nNo training case is left.")
    splits = converter.splits(cases)
    check_installed_split(folder.path.name, splits, earlier, overwrite)
    install_split(folder.path.name, splits, earlier)
    is_new = not _is_complete(folder, converter, found)
    if is_new:
        records = folder.records()
        for case in found.cases:
            if case.id in found.problems:
                folder.remove(case, description.file_ending)
        report = build_report(converter, found, folder.identity, records, splits, root)
        folder.finish(report, splits, dataset_json(converter, description, folder.path.name, training))
    split_file = installed_split(folder.path.name) if splits else None
    return Conversion(folder.path, dict(read_json(folder.report)), 0, 0, split_file, completed=is_new)


def _check_arguments(processes: int, overwrite: bool, part_id: int, num_parts: int) -> None:
    if processes < 1:
        raise UserError(f"-np {processes} is not possible: at least one process is needed.")
    if num_parts < 1 or not 0 <= part_id < num_parts:
        raise UserError(
            f"Part {part_id} of {num_parts} is not possible: --part-id counts from 0 to --num-parts - 1."
        )
    if overwrite and num_parts > 1:
        raise UserError(
            "--overwrite in one of several parts would remove what the others have done. "
            "Remove the dataset folder yourself, then start the parts."
        )
