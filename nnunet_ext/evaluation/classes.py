"""A folder of predicted classes or regions against a folder of references."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.evaluation.class_metrics import case_metrics
from nnunet_ext.evaluation.folders import Files, check_folders, evaluate_cases, match_cases
from nnunet_ext.evaluation.grids import check_shapes, compare_grids, grid_note
from nnunet_ext.evaluation.nested_classes import Nesting, pooled_containment, read_nesting
from nnunet_ext.evaluation.notes import are_equal, equal_note
from nnunet_ext.evaluation.summary import Summary, summarize
from nnunet_ext.evaluation.wrong_folder import refuse_for_classes, swapped_note
from nnunet_ext.nnunet_files.case_files import find_files
from nnunet_ext.nnunet_files.dataset_json import Classes, find_dataset_json, read_classes, read_dataset_json
from nnunet_ext.nnunet_files.reading import find_reader, read_labels
from nnunet_ext.worker_pool import Progress, silent

PathLike = str | os.PathLike[str]


def evaluate_folders(
    reference_folder: PathLike,
    prediction_folder: PathLike,
    dataset_json: PathLike | None = None,
    *,
    processes: int = 1,
    connectivity: int | None = None,
    containment: bool = False,
    ignore_headers: bool = False,
    chill: bool = False,
    progress: Progress = silent,
) -> Summary:
    """Evaluate every prediction of a folder, per class or region, and average.

    Reads what nnU-Net reads. Dice, IoU and the counts equal nnU-Net's; β0 error, β1 error and clDice
    are added. Voxels of the ignore label are not counted, and are background for the topology. Where
    dataset.json has a ``"nesting"`` or nested regions, it is also measured whether inner classes lie in their
    outer ones, in predictions and, to compare, in references; see `containment`.

    Parameters
    ----------
    reference_folder, prediction_folder : path
        Label maps with equal file names. Only files with the file ending of the dataset count.
    dataset_json : path, optional
        Default: ``dataset.json`` in the prediction folder (nnUNetv2_predict leaves it there), in the
        reference folder, or in the latter's parent.
    processes : int
        1 works in this process; more start that many (each imports nnU-Net first).
    connectivity : int, optional
        For the Betti numbers: 1 (4 or 6 neighbours) or full (8 or 26), the default.
    containment : bool
        Measure containment even if dataset.json does not say what lies in what: each label in the one before.
    ignore_headers : bool
        Compare voxel by voxel, also where the files place prediction and reference differently.
    chill : bool
        Accept references without a prediction, as ``nnUNetv2_evaluate_folder --chill`` does.
    progress : callable, optional
        Called with (results, number of cases, what is being done); yields the results, drawing a progress
        bar.

    Returns
    -------
    dict
        nnU-Net's summary: ``metric_per_case``, ``mean``, ``foreground_mean``; see `summarize`; and

        * ``ignored``: None without an ignore label, or ``label``, and of all cases ``voxels`` ignored and
          ``of_voxels`` (all)
        * ``notes``: list of str, what the user has to know about the folders

        With nested classes also, by their key in the summary,

        * ``nesting``: the labels of ``inner`` and of ``outer``, and ``outer_name``
        * ``pooled``: containment from the summed counts of all cases

    Raises
    ------
    UserError
        Naming each case that is missing, has another shape or lies elsewhere, cannot be read or has
        undeclared labels; or a folder that holds something else; or the label with which a ``"nesting"`` is
        wrong.

    Examples
    --------
    .. code-block:: python

        summary = evaluate_folders("labelsTs", "predictions", processes=4)
        summary["foreground_mean"]["Dice"], summary["mean"]["1"]["Beta0Error"]
    """
    reference, prediction = Path(reference_folder), Path(prediction_folder)
    check_folders(reference, prediction)
    refuse_for_classes(reference, prediction)
    json_file = Path(dataset_json) if dataset_json else find_dataset_json(prediction, reference)
    content = read_dataset_json(json_file)
    references, predictions = (label_maps(f, content["file_ending"]) for f in (reference, prediction))
    files = match_cases(references, predictions, chill)

    @cache
    def make_evaluator() -> _CaseEvaluator:
        # Only this imports nnU-Net (10 s): a wrong path is reported at once, the bar starts at once.
        classes = read_classes(content, json_file)
        nesting = read_nesting(content, classes, containment)
        reader = find_reader(content, files[0][0])
        return _CaseEvaluator(reader, classes, connectivity, nesting, ignore_headers)

    cases: list[_ClassCase] = evaluate_cases(make_evaluator, files, processes, progress)
    evaluator = make_evaluator()
    entries = [case.entry for case in cases]
    return {
        **summarize(entries, evaluator.classes.names, connectivity),
        **_nested_part(entries, evaluator.nesting),
        "ignored": _ignored_part(cases, evaluator.classes.ignore_label),
        "notes": [
            *swapped_note(reference, prediction, ("predict_from_raw_data_args.json",)),
            *grid_note(
                {file.name: case.grid for (_, file), case in zip(files, cases, strict=True) if case.grid}
            ),
            *equal_note(case.equal for case in cases),
        ],
    }


@dataclass(frozen=True)
class _ClassCase:
    """What one case adds: its entry of ``metric_per_case``, and what is odd about it.

    Attributes
    ----------
    entry : dict
        With the file names and the metrics.
    voxels : int
        Of the image.
    grid : str
        How the voxels of the prediction lie otherwise than those of the reference; "" if they do not.
    equal : bool or None
        Whether the two maps are the same, voxel by voxel; None where both are empty.
    """

    entry: dict[str, Any]
    voxels: int
    grid: str
    equal: bool | None


@dataclass(frozen=True)
class _CaseEvaluator:
    """Evaluates one case after the other; can be sent to other processes.

    Attributes
    ----------
    reader : nnunetv2.imageio.base_reader_writer.BaseReaderWriter
        nnU-Net's reader of the dataset.
    classes : Classes
        What to evaluate.
    connectivity : int or None
        As in `nnunet_ext.metrics.betti_numbers`.
    nesting : dict
        The classes whose containment is measured, by their key in the summary.
    ignore_headers : bool
        Whether the voxels are compared one by one wherever the files say that they lie.
    """

    reader: Any
    classes: Classes
    connectivity: int | None
    nesting: Nesting
    ignore_headers: bool

    def __call__(self, files: Files) -> _ClassCase | UnusableCase:
        """Evaluate a (reference, prediction) pair of files, or say why not."""
        try:
            return self._evaluate(files)
        except UnusableCase as problem:
            return problem

    def _evaluate(self, files: Files) -> _ClassCase:
        reference, at = read_labels(self.reader, files[0], self.classes.reference_labels)
        labels, ignored = self.classes.labels, self.classes.ignore_label
        prediction, predicted_at = read_labels(self.reader, files[1], labels, ignored)
        check_shapes(files, (reference.shape, prediction.shape))
        difference = compare_grids(files, (at, predicted_at), reference.shape, self.ignore_headers)
        _check_betti_connectivity(self.connectivity, reference.ndim)
        entry: dict[str, Any] = {
            "reference_file": str(files[0]),
            "prediction_file": str(files[1]),
            "metrics": case_metrics(prediction, reference, self.classes, self.connectivity, self.nesting),
        }
        if self.classes.ignore_label is not None:
            entry["ignored_voxels"] = int(np.count_nonzero(reference == self.classes.ignore_label))
        return _ClassCase(entry, reference.size, difference, are_equal(reference, prediction))


def label_maps(folder: Path, file_ending: str) -> dict[str, Path]:
    """Case -> its label map, of a folder that has at least one."""
    found = find_files(folder, (file_ending,), "label map")
    if not found:
        raise UserError(f"No file ending in {file_ending} in {folder}. Is it the right folder?")
    return found


def _ignored_part(cases: Sequence[_ClassCase], label: int | None) -> dict[str, Any] | None:
    if label is None:
        return None
    return {
        "label": label,
        "voxels": sum(case.entry["ignored_voxels"] for case in cases),
        "of_voxels": sum(case.voxels for case in cases),
    }


def _nested_part(cases: list[dict[str, Any]], nesting: Nesting) -> Summary:
    if not nesting:
        return {}
    return {
        "nesting": {key: asdict(nested) for key, nested in nesting.items()},
        "pooled": {key: pooled_containment(case["metrics"][key] for case in cases) for key in nesting},
    }


def _check_betti_connectivity(connectivity: int | None, ndim: int) -> None:
    if connectivity not in (None, 1, ndim):
        raise UserError(
            f"connectivity {connectivity}: the images are {ndim}D, where Betti numbers are defined for "
            f"1 ({2 * ndim} neighbours) and {ndim} ({3**ndim - 1} neighbours)."
        )
