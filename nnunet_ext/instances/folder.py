"""A folder of nnU-Net predictions to a folder of instance labels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.instances.case_maker import CaseMaker, InstanceOptions
from nnunet_ext.instances.classes import Classes, find_classes
from nnunet_ext.instances.resume import Record, source_of
from nnunet_ext.worker_pool import Progress, as_they_finish, silent

PathLike = str | os.PathLike[str]


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
    if output.resolve() == prediction.resolve():
        raise UserError(f"-o {output} is the folder of the predictions: choose another one.")
    content, classes = _read_dataset(prediction, dataset_json, class_names or {}, options)
    files = _find_files(prediction, content["file_ending"], options.need_probabilities(classes))
    record = Record(output, _parameters(options, classes))
    record.open(files, overwrite)
    sources = {case: source_of(paths) for case, paths in files.items()}
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
) -> tuple[dict[str, Any], Classes]:
    """Return the content of dataset.json, and the classes; a `UserError` if the options cannot use them."""
    from nnunet_ext.nnunet_files.dataset_json import find_dataset_json, read_dataset_json

    json_file = Path(dataset_json) if dataset_json else find_dataset_json(prediction, prediction)
    content = read_dataset_json(json_file)
    classes = find_classes(content, json_file, **class_names)
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


def _parameters(options: InstanceOptions, classes: Classes) -> dict[str, Any]:
    """Return what the instances depend on, as JSON gives it back."""
    parameters = asdict(options)
    del parameters["tile"]  # nothing depends on it
    parameters["spacing"] = None if options.spacing is None else list(options.spacing)
    return {**parameters, "cell": classes.cell, "touching": classes.touching, "gap_class": classes.gap}


def _make(
    content: dict[str, Any],
    classes: Classes,
    options: InstanceOptions,
    output: Path,
    todo: dict[str, list[Path]],
    processes: int,
) -> Iterator[tuple[str, Any]]:
    """Make the cases; yield as they finish."""
    if not todo:
        return
    example = min((files[0] for files in todo.values()), key=lambda file: file.stat().st_size)
    from nnunet_ext.nnunet_files.reading import find_reader  # costs the import of nnU-Net, 7 s

    reader = find_reader(content, example)
    workers = min(processes, len(todo))
    make = CaseMaker(reader, classes, options, output, max(1, (os.cpu_count() or 1) // max(1, workers)))
    remedy = "Run the command again with a smaller -np or with --tile: finished cases are kept."
    yield from as_they_finish(partial(_make_case, make), list(todo.items()), processes, remedy)


def _make_case(make: CaseMaker, item: tuple[str, list[Path]]) -> tuple[str, Any]:
    return item[0], make(*item)
