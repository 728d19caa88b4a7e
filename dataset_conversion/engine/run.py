"""The conversion of a dataset: cases in parallel, a rerun that goes on, and the folder completed at the end.

The steps: survey the source (`discovery`), see whether the folder may be written to (`_open`), convert
what is not done (`worker`), complete the dataset (`_complete`). Cases that are wrong do not hold up the
others, which are converted all the same; `on_error` then says whether the dataset is completed without
the wrong ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from nnunet_ext.dataset_conversion.base.converter import Converter
from nnunet_ext.dataset_conversion.base.looks import Look
from nnunet_ext.dataset_conversion.engine.discovery import (
    Discovery,
    DiscoveryError,
    describe_problems,
    discover,
)
from nnunet_ext.dataset_conversion.engine.doubts import Seen, check, judge
from nnunet_ext.dataset_conversion.engine.earlier_tests import keep_earlier_tests
from nnunet_ext.dataset_conversion.engine.looking import look_at_cases, stored_look
from nnunet_ext.dataset_conversion.engine.nnunet_folders import (
    alone,
    check_installed_split,
    check_sources,
    install_split,
    installed_split,
    target_folder,
)
from nnunet_ext.dataset_conversion.engine.output import DatasetFolder, Record
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
    yes: bool = False,
) -> Conversion:
    """Convert a dataset into ``$nnUNet_raw/DatasetXXX_name`` for nnU-Net.

    A killed run continues where it stopped and a finished dataset is left alone; `source` is never
    written to. Where the dataset needs folds of its own (see `Converter.splits`) and
    ``nnUNet_preprocessed`` is set, they are put where nnU-Net looks for them.

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
    yes : bool
        Go on where images and labels look as if folders were mixed up (see `doubts`); they become notes.

    Raises
    ------
    UserError
        If anything is in the way (see the message), or if cases are wrong and `on_error` is "stop".
    """
    _check_arguments(processes, overwrite, part_id, num_parts)
    path = target_folder(dataset_id, name or converter.name)
    root = converter.locate(Path(source))
    identity = {"converter": converter.name, "source": str(root), "parameters": converter.parameters()}
    folder, skip = DatasetFolder(path, identity), on_error == "skip"
    try:
        discovery = discover(converter, root, overwrite, skip, progress)
    except DiscoveryError as error:
        if folder.is_free():
            folder.write_report(stopped_report(identity, {}, error.problems))
        raise
    check_sources(path, discovery.cases)
    is_whole = num_parts == 1
    with alone(path) if is_whole else nullcontext():
        records = _open(folder, converter, discovery, overwrite, skip)
        description, share = discovery.survey.description, discovery.usable[part_id::num_parts]
        todo = [case for case in share if not folder.is_done(case, records.get(case.id), description)]
        looks = look_at_cases(converter, description, todo, processes, _REMEDY, progress)
        if not yes:
            check(judge(_seen(discovery, records, looks)), todo)
        if folder.is_replaced(overwrite):
            folder.clear()
        if todo or (discovery.problems and not skip) or not _is_complete(folder, converter, discovery):
            folder.begin()
        work = partial(convert_case, converter, description, folder)
        items = [(case, looks.get(case.id)) for case in todo]
        stream = as_they_finish(work, items, processes, _REMEDY, name=lambda item: item[0].id)
        for record in progress(stream, len(todo), f"Converting {converter.name}"):
            if "problems" in record:
                discovery.problems[record["id"]] = record
        if discovery.problems and not skip:
            _stop(folder, discovery)
        waiting = _count_waiting(folder, discovery)
        if not waiting and discovery.problems and not skip:
            _stop(folder, discovery)  # what is wrong are cases of other parts
        converted, kept = sum(case.id not in discovery.problems for case in todo), len(share) - len(todo)
        if waiting:
            return Conversion(path, {}, converted, kept, waiting=waiting)
        with nullcontext() if is_whole else alone(path):
            done = _complete(folder, converter, discovery, overwrite)
    only_tests = bool(converted) and all(case.part == "test" for case in todo)
    return replace(done, converted=converted, kept=kept, only_tests=only_tests)


def _open(
    folder: DatasetFolder, converter: Converter, discovery: Discovery, overwrite: bool, skip: bool
) -> dict[str, Record]:
    """Make sure that the folder may be written to; return the records of what is in it."""
    cases = discovery.usable if skip else discovery.cases
    check_installed_split(folder.path.name, converter.splits(cases), folder.earlier_split(), overwrite)
    folder.check_ours(overwrite)
    if folder.is_replaced(overwrite):
        return {}
    records = folder.records()
    if any(spec.metadata["adds_cases"] for spec in converter.options()):
        keep_earlier_tests(folder, discovery, records)
    expected = [*discovery.cases, *discovery.earlier_tests]
    folder.check_unexpected_files(expected, discovery.survey.description.file_ending)
    problems = {**discovery.problems, **_known_problems(folder, discovery, records)}
    if skip:
        discovery.problems = problems
    elif problems and _is_complete(folder, converter, replace(discovery, problems=problems)):
        raise UserError(
            f"{describe_problems(problems, discovery.root)}\n"
            f"{folder.path.name} was completed without them and is left as it is. Correct these files and "
            "run the same command again, or leave them out: --on-error skip."
        )
    return records


def _seen(discovery: Discovery, records: Mapping[str, Record], looks: Mapping[str, Look]) -> list[Seen]:
    """Return all cases that were looked at, now or by an earlier run."""
    found = {case.id: looks.get(case.id) or stored_look(records.get(case.id, {})) for case in discovery.done}
    return [Seen(case, look) for case in discovery.done if (look := found[case.id])]


def _known_problems(
    folder: DatasetFolder, discovery: Discovery, records: Mapping[str, Record]
) -> dict[str, Record]:
    """Return the records of cases that were tried before, with these very files, and were wrong."""
    tried = [case.id for case in discovery.usable if folder.was_tried(case, records.get(case.id))]
    return {case_id: records[case_id] for case_id in tried if "problems" in records[case_id]}


def _is_complete(folder: DatasetFolder, converter: Converter, discovery: Discovery) -> bool:
    return folder.is_complete(converter.splits(discovery.usable), [case.id for case in discovery.done])


def _count_waiting(folder: DatasetFolder, discovery: Discovery) -> int:
    """Return how many cases other parts have still to convert; note what they found wrong."""
    records = folder.records()
    discovery.problems |= _known_problems(folder, discovery, records)
    description = discovery.survey.description
    return sum(not folder.is_done(case, records.get(case.id), description) for case in discovery.usable)


def _stop(folder: DatasetFolder, discovery: Discovery) -> None:
    """Write the report of what is wrong, and raise it."""
    done = {key: record for key, record in folder.records().items() if "problems" not in record}
    folder.write_report(stopped_report(folder.identity, done, discovery.problems))
    raise UserError(
        f"{describe_problems(discovery.problems, discovery.root)}\n"
        f"{folder.path.name} is not complete and has no dataset.json. Correct or remove these files and run "
        "the same command again, or leave them out: --on-error skip. Finished cases are kept."
    )


def _complete(
    folder: DatasetFolder, converter: Converter, discovery: Discovery, overwrite: bool
) -> Conversion:
    """Write report, split and ``dataset.json`` of a dataset whose cases are all done, if not yet there."""
    cases, earlier, description = discovery.usable, folder.earlier_split(), discovery.survey.description
    training = sum(case.part != "test" for case in cases)
    if not training:
        problems = describe_problems(discovery.problems, discovery.root)
        raise UserError(f"{problems}\nNo training case is left.")
    splits = converter.splits(cases)
    check_installed_split(folder.path.name, splits, earlier, overwrite)
    install_split(folder.path.name, splits, earlier)
    is_new = not _is_complete(folder, converter, discovery)
    if is_new:
        records = folder.records()
        for case in discovery.cases:
            if case.id in discovery.problems:
                folder.remove(case, description.file_ending)
        doubts = [doubt.note() for doubt in judge(_seen(discovery, records, {}))]
        report = build_report(converter, discovery, folder.identity, records, splits, doubts)
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
