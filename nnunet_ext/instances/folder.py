"""From a folder of nnU-Net predictions to a folder of instance labels; a rerun goes on where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.files import fingerprint, read_json, write_texts
from nnunet_ext.images.instance_files import ENDING
from nnunet_ext.instances.case_maker import CaseMaker
from nnunet_ext.instances.options import CellClasses, InstanceOptions, find_cell_classes
from nnunet_ext.nnunet_files.dataset_json import find_dataset_json, read_dataset_json
from nnunet_ext.nnunet_files.reading import find_reader
from nnunet_ext.outputs import check_output_folder
from nnunet_ext.worker_pool import Progress, as_they_finish, silent

PathLike = str | os.PathLike[str]
_RECORD = "instances.json"


@dataclass(frozen=True)
class FolderInstances:
    """What `instances_from_folder` did.

    Attributes
    ----------
    cases : dict
        Case -> ``instances`` (their number), ``median_size`` (voxels, None without instances), ``source``.
    kept : int
        How many of them an earlier run had made.
    problems : list of str
        One text per case that could not be made; the others are there.
    """

    cases: dict[str, dict[str, Any]]
    kept: int
    problems: list[str]


def instances_from_folder(
    prediction_folder: PathLike,
    output_folder: PathLike,
    options: InstanceOptions | None = None,
    *,
    class_names: Mapping[str, str | None] | None = None,
    dataset_json: PathLike | None = None,
    processes: int = 1,
    overwrite: bool = False,
    progress: Progress = silent,
) -> FolderInstances:
    """Make instance labels from every prediction of a folder.

    The most probable class with the gap as background is read from the label files, in any format of
    nnU-Net. Every other choice needs the ``.npz`` files that ``nnUNetv2_predict --save_probabilities``
    leaves beside them. The result is ``CASE.tif`` (see `nnunet_ext.images.instance_files`) with the
    spacing of the label file. A rerun makes what is missing or has newer input, and keeps the rest.

    Parameters
    ----------
    prediction_folder, output_folder : path
        Two different folders.
    options : InstanceOptions, optional
        Method and parameters. Default: ``"map"``.
    class_names : mapping, optional
        From "cell", "touching" and "gap" to the names in dataset.json, where these differ.
    dataset_json : path, optional
        Default: the one in the prediction folder or above it.
    processes : int
        Cases in work at a time.
    overwrite : bool
        Replace what is in the output folder.
    progress : callable, optional
        Called with (results, number of cases to make, what is being done); yields the results, drawing a
        progress bar. Not called if nothing is to be made.

    Raises
    ------
    UserError
        If anything is wrong before the first case: folders, classes, missing ``.npz`` files, options.

    Examples
    --------
    .. code-block:: python

        result = instances_from_folder("predictions", "instances", InstanceOptions(min_size=20), processes=4)
        result.cases["case_1"]["instances"], result.problems
    """
    options = options or InstanceOptions()
    options.check()
    prediction, output = Path(prediction_folder), Path(output_folder)
    if not prediction.is_dir():
        raise UserError(f"There is no folder {prediction}.")
    check_output_folder(output, [prediction])
    content, classes = _read_dataset(prediction, dataset_json, class_names or {}, options)
    files = _find_files(prediction, content["file_ending"], options.need_probabilities(classes))
    record = _Record(output, _parameters(options, classes))
    record.open(files, overwrite)
    sources = {case: _source(paths) for case, paths in files.items()}
    todo = {case: files[case] for case in files if not record.is_done(case, sources[case])}
    results = _make(content, classes, options, output, todo, processes)
    problems = []
    for case, result in progress(results, len(todo), "Instances") if todo else results:
        if isinstance(result, UnusableCase):
            problems.append(str(result))
        else:
            record.add(case, {"source": sources[case], **result})
    made = {case: record.cases[case] for case in files if record.is_done(case, sources[case])}
    return FolderInstances(made, len(files) - len(todo), sorted(problems))


def _read_dataset(
    prediction: Path,
    dataset_json: PathLike | None,
    class_names: Mapping[str, str | None],
    options: InstanceOptions,
) -> tuple[dict[str, Any], CellClasses]:
    """Return the content of dataset.json, and the classes; a `UserError` if the options cannot use them."""
    json_file = Path(dataset_json) if dataset_json else find_dataset_json(prediction, prediction)
    content = read_dataset_json(json_file)
    classes = find_cell_classes(content, json_file, **class_names)
    if classes.others and options.need_probabilities(classes):
        raise UserError(
            f"{json_file} has classes besides cell, touching and gap ({', '.join(classes.others)}): only "
            "--method map with --gap background, from the label files, is possible."
        )
    return content, classes


def _find_files(folder: Path, file_ending: str, probabilities: bool) -> dict[str, list[Path]]:
    """Case -> its label file and, if needed, its .npz."""
    labels = sorted(path for path in folder.iterdir() if path.is_file() and path.name.endswith(file_ending))
    if not labels:
        raise UserError(f"No file ending in {file_ending} in {folder}. Is it the right folder?")
    files = {path.name.removesuffix(file_ending): [path] for path in labels}
    if not probabilities:
        return files
    missing = [case for case in files if not (folder / f"{case}.npz").is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"No {missing[0]}.npz{more} in {folder}: this method needs probabilities. Predict again with "
            "--save_probabilities."
        )
    return {case: [*paths, folder / f"{case}.npz"] for case, paths in files.items()}


def _parameters(options: InstanceOptions, classes: CellClasses) -> dict[str, Any]:
    """Return what the instances depend on, as JSON gives it back."""
    parameters = asdict(options)
    del parameters["tile"]  # nothing depends on it
    parameters["spacing"] = None if options.spacing is None else list(options.spacing)
    return {**parameters, "cell": classes.cell, "touching": classes.touching, "gap_class": classes.gap}


def _make(
    content: dict[str, Any],
    classes: CellClasses,
    options: InstanceOptions,
    output: Path,
    todo: dict[str, list[Path]],
    processes: int,
) -> Iterator[tuple[str, Any]]:
    """Make the cases; yield as they finish."""
    if not todo:
        return
    example = min((files[0] for files in todo.values()), key=lambda file: file.stat().st_size)
    reader = find_reader(content, example)
    threads = max(1, (os.cpu_count() or 1) // max(1, min(processes, len(todo))))
    make = CaseMaker(reader, classes, options, output, threads)
    remedy = "Run the command again with a smaller -np or with --tile: finished cases are kept."
    yield from as_they_finish(make, list(todo.items()), processes, remedy)


class _Record:
    """The file ``instances.json`` beside the instances, by which a rerun resumes.

    Attributes
    ----------
    parameters : dict
        What all instances of the folder depend on, as JSON gives it back.
    cases : dict
        Case -> ``source`` (name, size and time of each file), ``instances``, ``median_size``.
    """

    def __init__(self, folder: Path, parameters: dict[str, Any]) -> None:
        self.folder = folder
        self.parameters = parameters
        self.cases: dict[str, dict[str, Any]] = {}

    def open(self, cases: Iterable[str], overwrite: bool) -> None:
        """Load what an earlier run left, or start anew; a `UserError` where that would mix or replace."""
        path = self.folder / _RECORD
        if overwrite or not path.exists():
            others = [case for case in cases if (self.folder / f"{case}{ENDING}").exists()]
            if others and not overwrite:
                raise UserError(
                    f"{self.folder} has {others[0]}{ENDING}, which this command did not make. Choose "
                    "another folder for -o, or replace with --overwrite."
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            self.save()
            return
        content = read_json(path, "Delete it and run again with --overwrite.")
        if not isinstance(content, dict) or not isinstance(content.get("cases"), dict):
            raise UserError(f"{path} is not a record of this command. Choose another folder for -o.")
        before = content.get("parameters")
        if before != self.parameters:
            raise UserError(
                f"{self.folder} holds instances made with other parameters "
                f"({_difference(before, self.parameters)}). Choose another folder for -o, or replace them "
                "with --overwrite."
            )
        self.cases = content["cases"]

    def is_done(self, case: str, source: Any) -> bool:
        """Whether the instances of a case are there, made from these files."""
        made_from = self.cases.get(case, {}).get("source")
        return made_from == source and (self.folder / f"{case}{ENDING}").is_file()

    def add(self, case: str, entry: dict[str, Any]) -> None:
        """Remember a finished case, at once: the next one may fail."""
        self.cases[case] = entry
        self.save()

    def save(self) -> None:
        """Write the file."""
        content = {"parameters": self.parameters, "cases": dict(sorted(self.cases.items()))}
        write_texts({self.folder / _RECORD: json.dumps(content, indent=1) + "\n"})


def _source(files: Iterable[Path]) -> list[list[Any]]:
    """Name, size and time of the files a case is made from, as JSON gives them back."""
    return [[file.name, *(fingerprint(file) or ())] for file in files]


def _difference(before: Any, now: dict[str, Any]) -> str:
    before = before if isinstance(before, dict) else {}
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return ", ".join(f"{key} {before.get(key)} → {now.get(key)}" for key in keys)
