"""Every metric of every class of two label maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.evaluation.nested_classes import Nesting, containment_metrics
from nnunet_ext.metrics.checks import BoolArray
from nnunet_ext.metrics.overlap import cl_dice, confusion
from nnunet_ext.metrics.topology import betti_numbers
from nnunet_ext.nnunet_files.dataset_json import Classes

_Metrics = dict[str, float]


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
