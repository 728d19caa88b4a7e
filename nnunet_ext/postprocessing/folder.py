"""A folder of predictions closed, case by case; a rerun goes on where it stopped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_ext.errors import UnusableCase, UserError, out_of_memory, some_of
from nnunet_ext.evaluation.summary import Summary
from nnunet_ext.nnunet_files.dataset_json import Classes, read_classes, read_dataset_json
from nnunet_ext.nnunet_files.prediction_folder import check_folder, find_description, find_files
from nnunet_ext.nnunet_files.reading import find_reader, read_labels, read_segmentation
from nnunet_ext.outputs import check_output_folder
from nnunet_ext.postprocessing.closing import Structure, close_labels
from nnunet_ext.record import Record
from nnunet_ext.worker_pool import Progress, as_they_finish, silent

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class ClosedFolder:
    """What `close_folder` did.

    Attributes
    ----------
    cases : dict
        Case -> ``gained`` and ``refused``, voxels of each class or region.
    kept : int
        How many of them an earlier run had made.
    problems : list of str
        One text per case that could not be made; the others are there.
    notes : list of str
        What is to be known about the others.
    """

    cases: dict[str, dict[str, Any]]
    kept: int
    problems: list[str]
    notes: list[str]


@dataclass(frozen=True)
class _CaseCloser:
    """Closes one case after the other; can be sent to other processes."""

    reader: Any
    classes: Classes
    structures: tuple[Structure, ...]
    size: int
    output: Path

    def __call__(self, item: tuple[str, Path]) -> tuple[str, dict[str, Any] | UnusableCase]:
        case, file = item
        work = self.output / f".{case}.work"
        try:
            labels, _ = read_labels(self.reader, file, self.classes.labels, self.classes.ignore_label)
            closed = close_labels(labels, self.structures, self.size)
            _, properties = read_segmentation(self.reader, file)
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            volume = closed.labels if closed.labels.ndim == 3 else closed.labels[None]
            self.reader.write_seg(volume, str(work / file.name), properties)
            # a tif's spacing, in a file of its own, first: a label map that is there is whole
            for made in sorted(work.iterdir(), key=lambda path: path.name == file.name):
                made.replace(self.output / made.name)
            return case, {"gained": closed.gained, "refused": closed.refused}
        except UnusableCase as problem:
            return case, problem
        except MemoryError as error:
            return case, UnusableCase(out_of_memory(file, error, "Try fewer processes (-np)."))
        except OSError as error:
            return case, UnusableCase(f"{case}: {error}")
        finally:
            shutil.rmtree(work, ignore_errors=True)


def close_folder(
    prediction_folder: PathLike,
    output_folder: PathLike,
    size: int = 3,
    *,
    dataset_json: PathLike | None = None,
    processes: int = 1,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ClosedFolder:
    """Close every class, or region, of every prediction in a folder; see `close_labels`.

    Reads and writes what nnU-Net does: the results have the format, the name and the grid of the predictions.
    A rerun makes what is missing, damaged or has newer input, and keeps the rest; where results are replaced,
    an evaluation that `nnunet_ext evaluate` left in the folder is removed.

    Parameters
    ----------
    prediction_folder, output_folder : path
        Two different folders.
    size : int
        Edge of the cube in voxels, odd, 3 or more.
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
        If anything is wrong before the first case: folders, files, classes, size.
    """
    prediction, output = Path(prediction_folder), Path(output_folder)
    check_folder(prediction)
    check_output_folder(output, [prediction])
    if size < 3 or size % 2 == 0:
        raise UserError(f"The size is an odd number of voxels, 3 or more; got {size}.")
    json_file = Path(dataset_json) if dataset_json else find_description(prediction)
    content = read_dataset_json(json_file)
    classes = read_classes(content, json_file)
    files = {case: paths[0] for case, paths in find_files(prediction, content, False).items()}
    structures = structures_of(content, classes)
    parameters = {
        "size": size,
        "structures": [[each.name, list(each.labels), each.own] for each in structures],
    }
    record = Record(output, parameters, "closed", "closed labels", content["file_ending"])
    filled = record.fill(
        {case: [file] for case, file in files.items()},
        overwrite,
        lambda todo: _close(
            content, classes, structures, size, output, {case: files[case] for case in todo}, processes
        ),
        progress,
        "Closing",
    )
    notes = [*_about_refused(filled.cases), *filled.notes]
    return ClosedFolder(filled.cases, filled.kept, filled.problems, notes)


def structures_of(content: dict[str, Any], classes: Classes) -> tuple[Structure, ...]:
    """What there is to close in a dataset, in the order of dataset.json."""
    owns = content.get("regions_class_order") or [labels[0] for labels in classes.regions.values()]
    return tuple(
        Structure(classes.names[key] or key, labels, int(own))
        for (key, labels), own in zip(classes.regions.items(), owns, strict=True)
    )


def best_size(summaries: dict[int, Summary], metric: str, higher_is_better: bool) -> int:
    """The size of the best mean over the foreground; of equal ones the smallest."""
    sign = -1 if higher_is_better else 1
    return min(summaries, key=lambda size: (sign * summaries[size]["foreground_mean"][metric], size))


def _close(
    content: dict[str, Any],
    classes: Classes,
    structures: tuple[Structure, ...],
    size: int,
    output: Path,
    todo: dict[str, Path],
    processes: int,
) -> Iterator[tuple[str, Any]]:
    """Make the cases; yield as they finish."""
    if not todo:
        return
    reader = find_reader(content, min(todo.values(), key=lambda file: file.stat().st_size))
    work = _CaseCloser(reader, classes, structures, size, output)
    remedy = "Run the command again with a smaller -np: finished cases are kept."
    yield from as_they_finish(work, list(todo.items()), processes, remedy, name=lambda item: item[0])


def _about_refused(cases: dict[str, dict[str, Any]]) -> list[str]:
    """Say where closings overlap: which label a voxel has there is a choice."""
    found = {case: sum(entry["refused"].values()) for case, entry in cases.items()}
    overlapping = [case for case, voxels in found.items() if voxels]
    if not overlapping:
        return []
    return [
        f"{sum(found.values())} voxels in {some_of(overlapping)} are in the closing of one class and belong "
        "to another: they stay with that one."
    ]
