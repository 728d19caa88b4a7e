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
from nnunet_ext.evaluation.folders import check_folders, evaluate_cases, match_cases
from nnunet_ext.evaluation.instance_case import (
    ENDINGS,
    PQ_IOU,
    InstanceCase,
    InstanceCaseEvaluator,
    panoptic_metrics,
    shape_metrics,
)
from nnunet_ext.evaluation.summary import Summary, pool, summarize
from nnunet_ext.metrics.panoptic import check_iou
from nnunet_ext.worker_pool import Progress, silent

PathLike = str | os.PathLike[str]
_CLASS = "instances"  # the one class of such a summary
_TOLERANCES = (2, 3, 4, 5, 6, 7)  # voxels, as in the paper of the contour F1


def evaluate_instance_folders(
    reference_folder: PathLike,
    prediction_folder: PathLike,
    *,
    ious: Sequence[float] = (PQ_IOU,),
    tolerances: Sequence[float] | None = None,
    size_bins: Sequence[float] | None = None,
    spacing: Sequence[float] | None = None,
    physical: bool = False,
    processes: int = 1,
    chill: bool = False,
    progress: Progress = silent,
) -> Summary:
    """Evaluate every instance map of a folder: per case, pooled over cases, and by size.

    Parameters
    ----------
    reference_folder, prediction_folder : path
        Instance maps with equal file names, tif (2D or 3D, as the instance commands write them), NIfTI or
        png. The first of these formats in the reference folder is the one evaluated.
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
    processes, chill, progress
        As in `evaluate_folders`.

    Returns
    -------
    dict
        As `summarize` returns, with the one class ``"instances"``, and

        * ``pooled``: the same metrics from the summed counts of all cases
        * ``by_size``: for each bin, ``from`` and ``below`` a size, the pooled metrics that IoUs decide
        * ``settings``: ``ious``, ``tolerances``, ``spacing`` (None: each file's own) and ``unit``

    Raises
    ------
    UserError
        Naming each case that is missing, has another shape, cannot be read or holds no instance ids; or
        an option that makes no sense.

    Examples
    --------
    .. code-block:: python

        summary = evaluate_instance_folders("instancesTs", "cells", ious=(0.5, 0.75), processes=4)
        summary["mean"]["instances"]["PQ"], summary["pooled"]["PQ@0.75"], summary["by_size"][0]["recall"]
    """
    evaluator = InstanceCaseEvaluator(
        (PQ_IOU, *sorted(set(map(float, ious)) - {PQ_IOU})),
        _tolerances(tolerances, physical),
        tuple(spacing) if spacing else None,
        physical,
    )
    _check_options(evaluator, size_bins or ())
    reference, prediction = Path(reference_folder), Path(prediction_folder)
    if (prediction / "dataset.json").is_file():  # nnU-Net leaves it beside the classes it predicts
        raise UserError(
            f"{prediction} holds predicted classes, not instances. Make instances of them first: "
            f"nnunet_ext instances -i {prediction} -o ..."
        )
    check_folders(reference, prediction)
    names = match_cases(reference, prediction, _find_ending(reference), chill)
    files = [(reference / name, prediction / name) for name in names]
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
        },
    }


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


def _find_ending(folder: Path) -> str:
    names = [path.name for path in folder.iterdir() if path.is_file()]
    for ending in ENDINGS:
        if any(name.endswith(ending) for name in names):
            return ending
    raise UserError(f"No instance maps in {folder}: expected files ending in {', '.join(ENDINGS)}.")


def _entry(case: InstanceCase) -> dict[str, object]:
    reference, prediction = map(str, case.files)
    return {
        "reference_file": reference,
        "prediction_file": prediction,
        "metrics": {_CLASS: case.metrics()},
    }


def _pooled_metrics(cases: Sequence[InstanceCase]) -> dict[str, float]:
    """The metrics that follow from the counts of all cases together."""
    (jaccard,) = pool([case.jaccard] for case in cases)
    return {**_panoptic(cases), **shape_metrics(jaccard, pool(case.contours for case in cases))}


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
    sizes = np.concatenate([case.matchings[0].reference_sizes * case.voxel_size for case in cases])
    if not sizes.size:
        return []
    edges = np.unique(np.quantile(sizes, [1 / 3, 2 / 3], method="higher"))
    return [float(edge) for edge in edges if edge > sizes.min()]
