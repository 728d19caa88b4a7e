"""A folder of predicted classes or regions against a folder of references."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.evaluation.folders import check_folders, evaluate_cases, match_cases
from nnunet_ext.evaluation.nested_classes import (
    Nesting,
    containment_metrics,
    pooled_containment,
    read_nesting,
)
from nnunet_ext.evaluation.summary import Summary, summarize
from nnunet_ext.metrics.checks import BoolArray
from nnunet_ext.metrics.overlap import cl_dice, confusion
from nnunet_ext.metrics.topology import betti_numbers
from nnunet_ext.nnunet_files.dataset_json import Classes, find_dataset_json, read_classes, read_dataset_json
from nnunet_ext.nnunet_files.reading import find_reader, read_labels
from nnunet_ext.worker_pool import Progress, silent

PathLike = str | os.PathLike[str]
_Metrics = dict[str, float]


def evaluate_folders(
    reference_folder: PathLike,
    prediction_folder: PathLike,
    dataset_json: PathLike | None = None,
    *,
    processes: int = 1,
    connectivity: int | None = None,
    containment: bool = False,
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
    chill : bool
        Accept references without a prediction, as ``nnUNetv2_evaluate_folder --chill`` does.
    progress : callable, optional
        Called with (results, number of cases, what is being done); yields the results, drawing a progress
        bar.

    Returns
    -------
    dict
        nnU-Net's summary: ``metric_per_case``, ``mean``, ``foreground_mean``; see `summarize`. With nested
        classes also, by their key in the summary,

        * ``nesting``: the labels of ``inner`` and of ``outer``, and ``outer_name``
        * ``pooled``: containment from the summed counts of all cases

    Raises
    ------
    UserError
        Naming each case that is missing, has another shape, cannot be read or has undeclared labels; or
        the label with which a ``"nesting"`` is wrong.

    Examples
    --------
    .. code-block:: python

        summary = evaluate_folders("labelsTs", "predictions", processes=4)
        summary["foreground_mean"]["Dice"], summary["mean"]["1"]["Beta0Error"]
    """
    reference, prediction = Path(reference_folder), Path(prediction_folder)
    check_folders(reference, prediction)
    json_file = Path(dataset_json) if dataset_json else find_dataset_json(prediction, reference)
    content = read_dataset_json(json_file)
    names = match_cases(reference, prediction, content["file_ending"], chill)
    files = [(reference / name, prediction / name) for name in names]

    @cache
    def make_evaluator() -> _CaseEvaluator:
        # Only this imports nnU-Net (10 s): a wrong path is reported at once, the bar starts at once.
        classes = read_classes(content, json_file)
        nesting = read_nesting(content, classes, containment)
        return _CaseEvaluator(find_reader(content, files[0][0]), classes, connectivity, nesting)

    cases = evaluate_cases(make_evaluator, files, processes, progress)
    evaluator = make_evaluator()
    summary = summarize(cases, evaluator.classes.names, connectivity)
    return {**summary, **_nested_part(cases, evaluator.nesting)}


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
    """

    reader: Any
    classes: Classes
    connectivity: int | None
    nesting: Nesting

    def __call__(self, files: tuple[Path, Path]) -> dict[str, Any] | UnusableCase:
        """Evaluate a (reference, prediction) pair of files: an entry of ``metric_per_case``, or why not."""
        try:
            reference, prediction = self._read(*files)
        except UnusableCase as problem:
            return problem
        _check_betti_connectivity(self.connectivity, reference.ndim)
        metrics = case_metrics(prediction, reference, self.classes, self.connectivity, self.nesting)
        return {"reference_file": str(files[0]), "prediction_file": str(files[1]), "metrics": metrics}

    def _read(self, reference_file: Path, prediction_file: Path) -> tuple[NDArray[Any], NDArray[Any]]:
        reference, _ = read_labels(self.reader, reference_file, self.classes.reference_labels)
        prediction, _ = read_labels(self.reader, prediction_file, self.classes.labels)
        if reference.shape != prediction.shape:
            raise UnusableCase(
                f"{prediction_file}: shape {prediction.shape}, but the reference has {reference.shape}"
            )
        return reference, prediction


def case_metrics(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    classes: Classes,
    connectivity: int | None = None,
    nesting: Nesting | None = None,
) -> dict[str, _Metrics]:
    """Every metric of every class of two label maps (2D or 3D) of one shape.

    With `nesting` that includes containment, for every class, since a summary has the same metrics for all.
    """
    counted = None if classes.ignore_label is None else reference != classes.ignore_label
    metrics = {
        key: _class_metrics(
            classes.foreground(prediction, key), classes.foreground(reference, key), counted, connectivity
        )
        for key in classes.regions
    }
    if nesting:
        for key, values in metrics.items():
            values.update(containment_metrics(prediction, reference, nesting.get(key), counted))
    return metrics


def _nested_part(cases: list[dict[str, Any]], nesting: Nesting) -> Summary:
    if not nesting:
        return {}
    return {
        "nesting": {key: asdict(nested) for key, nested in nesting.items()},
        "pooled": {key: pooled_containment(case["metrics"][key] for case in cases) for key in nesting},
    }


def _class_metrics(
    prediction: BoolArray, reference: BoolArray, counted: BoolArray | None, connectivity: int | None
) -> _Metrics:
    counts = confusion(prediction, reference, counted)
    if counted is not None:
        prediction, reference = prediction & counted, reference & counted
    box = _bounding_box(prediction | reference)  # topology does not depend on the empty space around
    prediction, reference = prediction[box], reference[box]
    betti_p, betti_r = betti_numbers(prediction, connectivity), betti_numbers(reference, connectivity)
    return {
        "Dice": counts.dice,
        "IoU": counts.iou,
        "clDice": cl_dice(prediction, reference),
        "Beta0Error": abs(betti_p[0] - betti_r[0]),
        "Beta1Error": abs(betti_p[1] - betti_r[1]),
        "TP": counts.tp,
        "FP": counts.fp,
        "FN": counts.fn,
        "TN": counts.tn,
        "n_pred": counts.tp + counts.fp,
        "n_ref": counts.tp + counts.fn,
    }


def _bounding_box(foreground: BoolArray) -> tuple[slice, ...]:
    box = []
    for axis in range(foreground.ndim):
        others = tuple(other for other in range(foreground.ndim) if other != axis)
        occupied = np.flatnonzero(foreground.any(axis=others))
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1) if occupied.size else slice(0, 0))
    return tuple(box)


def _check_betti_connectivity(connectivity: int | None, ndim: int) -> None:
    if connectivity not in (None, 1, ndim):
        raise UserError(
            f"connectivity {connectivity}: the images are {ndim}D, where Betti numbers are defined for "
            f"1 ({2 * ndim} neighbours) and {ndim} ({3**ndim - 1} neighbours)."
        )
