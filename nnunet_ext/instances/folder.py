"""From a folder of nnU-Net predictions to a folder of instance labels; a rerun goes on where it stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnunet_ext.errors import UserError
from nnunet_ext.images.instance_files import ENDING
from nnunet_ext.instances.case_maker import CaseMaker
from nnunet_ext.instances.options import CellClasses, InstanceOptions, find_cell_classes
from nnunet_ext.nnunet_files.dataset_json import read_dataset_json
from nnunet_ext.nnunet_files.prediction_folder import check_folder, find_description, find_files
from nnunet_ext.nnunet_files.reading import find_reader
from nnunet_ext.outputs import check_output_folder
from nnunet_ext.record import Record
from nnunet_ext.worker_pool import Progress, as_they_finish, silent

PathLike = str | os.PathLike[str]
_LISTED = 5  # cases in a note


@dataclass(frozen=True)
class FolderInstances:
    """What `instances_from_folder` did.

    Attributes
    ----------
    cases : dict
        Case -> ``instances`` (their number), ``median_size`` (voxels, None without instances), ``shape``,
        ``spacing`` (None if unknown), ``source``, ``bytes``.
    kept : int
        How many of them an earlier run had made.
    problems : list of str
        One text per case that could not be made; the others are there.
    notes : list of str
        What is to be known about the others: no cells, no spacing, an evaluation that was removed.
    """

    cases: dict[str, dict[str, Any]]
    kept: int
    problems: list[str]
    notes: list[str]


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
    axes and the spacing of the label file; without a spacing where that has none. A rerun makes what is
    missing, damaged or has newer input, and keeps the rest; where instances are replaced, an evaluation that
    `nnunet_ext evaluate` left in the folder is removed.

    Parameters
    ----------
    prediction_folder, output_folder : path
        Two different folders.
    options : InstanceOptions, optional
        Method and parameters. Default: ``"map"``.
    class_names : mapping, optional
        From "cell", "touching" and "gap" to the names in dataset.json, where these differ.
    dataset_json : path, optional
        Default: the one in the prediction folder or one of the two above it.
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
    check_folder(prediction)
    check_output_folder(output, [prediction])
    content, classes = _read_dataset(prediction, dataset_json, class_names or {}, options)
    files = find_files(prediction, content, options.need_probabilities(classes))
    record = Record(output, _parameters(options, classes), "instances", "instances", ENDING)
    filled = record.fill(
        files,
        overwrite,
        lambda todo: _make(
            content, classes, options, output, {case: files[case] for case in todo}, processes
        ),
        progress,
        "Instances",
    )
    made = filled.cases
    notes = [*filled.notes, *_about_spacing(made), *_about_empty(made), *_about_losses(made, options)]
    return FolderInstances(made, filled.kept, filled.problems, notes)


def _read_dataset(
    prediction: Path,
    dataset_json: PathLike | None,
    class_names: Mapping[str, str | None],
    options: InstanceOptions,
) -> tuple[dict[str, Any], CellClasses]:
    """Return the content of dataset.json, and the classes; a `UserError` if the options cannot use them."""
    json_file = Path(dataset_json) if dataset_json else find_description(prediction)
    content = read_dataset_json(json_file)
    classes = find_cell_classes(content, json_file, **class_names)
    if classes.others and options.need_probabilities(classes):
        raise UserError(
            f"{json_file} has classes besides cell, touching and gap ({', '.join(classes.others)}): only "
            "--method map with --gap background, from the label files, is possible."
        )
    return content, classes


def _parameters(options: InstanceOptions, classes: CellClasses) -> dict[str, Any]:
    """Return what the instances depend on, as JSON gives it back."""
    parameters = asdict(options)
    del parameters["tile"]  # nothing depends on it
    parameters["spacing"] = None if options.spacing is None else list(options.spacing)
    radius = [classes.touching_radius, "voxels" if classes.radius_in_voxels else "spacing"]
    names = {"cell": classes.cell, "touching": classes.touching, "gap_class": classes.gap}
    return {**parameters, **names, "touching_radius": radius}


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
    yield from as_they_finish(make, list(todo.items()), processes, remedy, name=lambda item: item[0])


def _about_spacing(cases: Mapping[str, dict[str, Any]]) -> list[str]:
    """Say which volumes have no spacing: in them the nearest cell may be another one."""
    unknown = [
        case for case, entry in cases.items() if len(entry.get("shape", ())) == 3 and entry["spacing"] is None
    ]
    if not unknown:
        return []
    return [
        f"No voxel spacing is stated for {_some(unknown, len(cases))}. None is written, and the nearest cell "
        "is the nearest in voxels: if they are not cubes, give --spacing z y x."
    ]


def _about_losses(cases: Mapping[str, dict[str, Any]], options: InstanceOptions) -> list[str]:
    """Say what did not become an instance, though it was predicted."""
    notes = []
    opened = {case: entry["opened_voxels"] for case, entry in cases.items() if entry.get("opened_voxels")}
    if opened:
        gone = sum(entry.get("opened_cells", 0) for entry in cases.values())
        notes.append(
            f"{sum(opened.values())} voxels of cells are background by --opening {options.opening}, in "
            f"{_some(list(opened), len(cases))}; {gone} cell{'s' * (gone != 1)} gone altogether."
        )
    small = {case: entry["small_cores"] for case, entry in cases.items() if entry.get("small_cores")}
    if small:
        notes.append(
            f"{sum(small.values())} cores with fewer than {options.min_size} voxels (--min-size) are left "
            f"out, in {_some(list(small), len(cases))}."
        )
    voxels = {
        case: entry["voxels_without_core"]
        for case, entry in cases.items()
        if entry.get("voxels_without_core")
    }
    if voxels:
        kind, why = "touching", "are too far from every cell core (--max-distance)"
        if options.method == "watershed":
            kind, why = "foreground", "are connected to no seed (--gamma-cell)"
        notes.append(
            f"{sum(voxels.values())} {kind} voxels {why}, in {_some(list(voxels), len(cases))}: they are "
            "background."
        )
    return notes


def _about_empty(cases: Mapping[str, dict[str, Any]]) -> list[str]:
    empty = [case for case, entry in cases.items() if not entry["instances"]]
    if not empty:
        return []
    if len(empty) == len(cases):
        return [
            "No instances in any case: no voxel is predicted as a cell, or --min-size or a threshold drops "
            "them all. Look at the predictions."
        ]
    return [f"No instances in {_some(empty, len(cases))}."]


def _some(cases: Sequence[str], number: int) -> str:
    """Name some of the cases, and say how many of all they are."""
    more = ", ..." if len(cases) > _LISTED else ""
    return f"{len(cases)} of {number} cases ({', '.join(cases[:_LISTED])}{more})"
