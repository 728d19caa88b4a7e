"""A folder of predicted instances against a folder of reference instances."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_ext.arrays.checks import check_radius
from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.folders import Files, check_folders, evaluate_cases, match_cases
from nnunet_ext.evaluation.ignored import IgnoredRegion, find_ignored
from nnunet_ext.evaluation.instance_case import (
    PQ_IOU,
    InstanceCase,
    ShapeSums,
    panoptic_metrics,
    roundness_metrics,
    shape_metrics,
)
from nnunet_ext.evaluation.instance_evaluator import InstanceCaseEvaluator
from nnunet_ext.evaluation.notes import case_notes
from nnunet_ext.evaluation.summary import Summary, pool, summarize
from nnunet_ext.evaluation.wrong_folder import refuse_for_instances
from nnunet_ext.metrics.panoptic import check_iou
from nnunet_ext.nnunet_files.case_files import ending_in, find_files, list_folder
from nnunet_ext.worker_pool import Progress, silent

PathLike = str | os.PathLike[str]
_CLASS = "instances"  # the one class of such a summary
_TOLERANCES = (2, 3, 4, 5, 6, 7)  # voxels, as in the paper of the contour F1
_FORMATS = ((".tif", ".tiff"), (".nii.gz", ".nii"), (".png",))  # the first that a folder holds counts


def evaluate_instance_folders(
    reference_folder: PathLike,
    prediction_folder: PathLike,
    *,
    ious: Sequence[float] = (PQ_IOU,),
    tolerances: Sequence[float] | None = None,
    size_bins: Sequence[float] | None = None,
    spacing: Sequence[float] | None = None,
    physical: bool = False,
    ignored: PathLike | None = None,
    dataset_json: PathLike | None = None,
    ignore_headers: bool = False,
    roundness: bool = False,
    processes: int = 1,
    chill: bool = False,
    progress: Progress = silent,
) -> Summary:
    """Evaluate every instance map of a folder: per case, pooled over cases, and by size.

    Voxels with the dataset's ignore label are not counted, see the `mask` of `panoptic_quality`; the label
    maps that have it lie beside the references: ``labelsTs`` beside ``instancesTs``.

    Parameters
    ----------
    reference_folder, prediction_folder : path
        Instance maps with equal file names but for the ending: tif (2D or 3D, as the instance commands write
        them), NIfTI or png. The first of these formats in a folder is the one evaluated.
    ious : sequence of float
        IoU thresholds, from 0 to below 1. PQ's own, .5, is always among them.
    tolerances : sequence of float, optional
        For the contour F1. Default: 2 to 7 voxels.
    size_bins : sequence of float, optional
        Sizes that separate bins. Default: what cuts the reference instances of all cases into thirds.
    spacing : sequence of float, optional
        Voxel spacing of all cases in the order of the axes. Default: what the reference files say, if
        they do. Distances then take anisotropy into account, in voxels of the finest axis.
    physical : bool
        Tolerances and sizes are in the unit of the spacing (sizes squared or cubed), not in voxels.
    ignored : path, optional
        Folder of label maps with the ignore label, if it is not beside the references.
    dataset_json : path, optional
        Says which label that is. Default: beside or in the folder of label maps, or beside the references.
    ignore_headers : bool
        Compare voxel by voxel, also where the files place prediction and reference differently.
    roundness : bool
        Measure sphericity and roundness of all instances, see `nnunet_ext.metrics.roundness`: means over the
        predicted ones, and over those of the reference, whether they match or not.
    processes, chill, progress
        As in `evaluate_folders`.

    Returns
    -------
    dict
        As `summarize` returns, with the one class ``"instances"``, and

        * ``pooled``: the same metrics from the summed counts of all cases
        * ``by_size``: for each bin, ``from`` and ``below`` a size, the pooled metrics that IoUs decide
        * ``settings``: ``ious``, ``tolerances``, ``spacing`` (None: each file's own), ``unit``, and the
          ``first_spacing``: that of the first case
        * ``ignored``: None, or ``labels`` (the folder), ``label``, and of all cases ``voxels`` ignored,
          ``of_voxels`` (all), and the instances ``left_out`` for it, ``[reference, prediction]``
        * ``notes``: list of str, what the user has to know about the folders

    Raises
    ------
    UserError
        Naming each case that is missing, has another shape or lies elsewhere, cannot be read or holds no
        instance ids; or a folder that holds something else; or an option that makes no sense.

    Examples
    --------
    .. code-block:: python

        summary = evaluate_instance_folders("instancesTs", "cells", ious=(0.5, 0.75), processes=4)
        summary["mean"]["instances"]["PQ"], summary["pooled"]["PQ@0.75"], summary["by_size"][0]["recall"]
    """
    reference, prediction = Path(reference_folder), Path(prediction_folder)
    check_folders(reference, prediction)
    refuse_for_instances(reference, prediction)
    region, notes = find_ignored(
        reference, Path(ignored) if ignored else None, Path(dataset_json) if dataset_json else None
    )
    evaluator = InstanceCaseEvaluator(
        (PQ_IOU, *sorted(set(map(float, ious)) - {PQ_IOU})),
        _tolerances(tolerances, physical),
        tuple(spacing) if spacing else None,
        physical,
        region,
        ignore_headers,
        roundness,
    )
    _check_options(evaluator, size_bins or ())
    files, more = _find_cases(reference, prediction, chill)
    cases: list[InstanceCase] = evaluate_cases(lambda: evaluator, files, processes, progress)
    return {
        **summarize([_entry(case) for case in cases], {_CLASS: ""}),
        "pooled": _pooled_metrics(cases),
        "by_size": _metrics_by_size(cases, _thirds(cases) if size_bins is None else size_bins),
        "settings": {
            "ious": list(evaluator.ious),
            "tolerances": list(evaluator.tolerances),
            "spacing": list(spacing) if spacing else None,
            "unit": "physical" if physical else "voxels",
            "first_spacing": cases[0].spacing,
        },
        "ignored": _ignored_part(cases, region),
        "notes": [*notes, *more, *case_notes(cases, region)],
    }


def instance_maps(reference: Path, prediction: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Case -> its instance map, of each folder; of several formats the first, if possible the same one."""
    of_reference, available = _formats_in(reference)[0], _formats_in(prediction)
    of_prediction = of_reference if of_reference in available else available[0]
    return (
        find_files(reference, of_reference, "instance map"),
        find_files(prediction, of_prediction, "instance map"),
    )


def _find_cases(reference: Path, prediction: Path, chill: bool) -> tuple[list[Files], list[str]]:
    """The files of each case, and notes on files that are left out."""
    references, predictions = instance_maps(reference, prediction)
    of_reference, *rest = _formats_in(reference)
    others = tuple(ending for other in rest for ending in other)
    further = sorted(
        path.name
        for path in list_folder(reference)
        if (ending := ending_in(path.name, others)) and path.name[: -len(ending)] not in references
    )
    notes = []
    if further:
        listed = ", ".join(further[:3]) + (", …" if len(further) > 3 else "")
        notes.append(
            f"Only the {of_reference[0]} files of {reference} are evaluated, "
            f"not {len(further)} others: {listed}."
        )
    return match_cases(references, predictions, chill), notes


def _formats_in(folder: Path) -> list[tuple[str, ...]]:
    """The formats that a folder has files of, in the order in which they are preferred."""
    names = [path.name for path in list_folder(folder)]
    found: list[tuple[str, ...]] = [
        endings for endings in _FORMATS if any(ending_in(name, endings) for name in names)
    ]
    if not found:
        known = ", ".join(ending for endings in _FORMATS for ending in endings)
        raise UserError(f"No instance maps in {folder}: expected files ending in {known}.")
    return found


def _tolerances(tolerances: Sequence[float] | None, physical: bool) -> tuple[float, ...]:
    if tolerances is None:
        if physical:
            raise UserError("--physical: the tolerances of contours default to voxels; give --tolerance too.")
        tolerances = _TOLERANCES
    return tuple(sorted(set(map(float, tolerances))))


def _check_options(evaluator: InstanceCaseEvaluator, size_bins: Sequence[float]) -> None:
    try:
        for iou in evaluator.ious:
            check_iou(iou)
        for tolerance in evaluator.tolerances:
            check_radius(tolerance, "tolerance")
    except ValueError as error:
        raise UserError(f"--{error}.") from error
    if not all(low < high for low, high in pairwise((0, *size_bins, math.inf))):
        raise UserError(
            f"--size-bins {' '.join(f'{edge:g}' for edge in size_bins)}: give sizes above 0 that increase, "
            "such as 100 1000."
        )


def _entry(case: InstanceCase) -> dict[str, object]:
    reference, prediction = map(str, case.files)
    entry: dict[str, object] = {
        "reference_file": reference,
        "prediction_file": prediction,
        "metrics": {_CLASS: case.metrics()},
    }
    return entry if case.ignored is None else {**entry, "ignored_voxels": case.ignored}


def _ignored_part(cases: Sequence[InstanceCase], region: IgnoredRegion | None) -> dict[str, Any] | None:
    """What was left out of the evaluation because nobody judged it."""
    if region is None:
        return None
    left_out = [case.matchings[0].left_out for case in cases]
    return {
        "labels": str(region.folder),
        "label": region.label,
        "voxels": sum(case.ignored or 0 for case in cases),
        "of_voxels": sum(math.prod(case.shape) for case in cases),
        "left_out": [sum(side) for side in zip(*left_out, strict=True)],
    }


def _pooled_metrics(cases: Sequence[InstanceCase]) -> dict[str, float]:
    """The metrics that follow from the counts of all cases together."""
    (jaccard,) = pool([case.jaccard] for case in cases)
    shapes = [case.shapes for case in cases if case.shapes is not None]
    both = None
    if shapes:
        both = (sum((a for a, _ in shapes), ShapeSums()), sum((b for _, b in shapes), ShapeSums()))
    return {
        **_panoptic(cases),
        **shape_metrics(jaccard, pool(case.contours for case in cases)),
        **roundness_metrics(both),
    }


def _metrics_by_size(cases: Sequence[InstanceCase], edges: Sequence[float]) -> list[dict[str, Any]]:
    """Pooled panoptic metrics of each bin, with its bounds ``from`` and ``below`` (None: no bound)."""
    return [
        {"from": low, "below": None if high == math.inf else high, **_panoptic(cases, low, high)}
        for low, high in pairwise((0.0, *edges, math.inf))
    ]


def _panoptic(cases: Sequence[InstanceCase], low: float = 0, high: float = math.inf) -> dict[str, float]:
    return panoptic_metrics(pool(case.counts(low, high) for case in cases))


def _thirds(cases: Sequence[InstanceCase]) -> list[float]:
    """Sizes that cut the reference instances of all cases into thirds; fewer where many have one size."""
    sizes = np.concatenate(
        [
            case.matchings[0].reference_sizes[case.matchings[0].reference_judged] * case.voxel_size
            for case in cases
        ]
    )
    if not sizes.size:
        return []
    edges = np.unique(np.quantile(sizes, [1 / 3, 2 / 3], method="higher"))
    return [float(edge) for edge in edges if edge > sizes.min()]
