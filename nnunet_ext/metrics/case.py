"""One case: read the two files, compute every metric of every class."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.metrics._checks import BoolArray
from nnunet_ext.metrics.centre_line import cl_dice
from nnunet_ext.metrics.labels import Classes
from nnunet_ext.metrics.nested_classes import Nesting, containment_metrics
from nnunet_ext.metrics.overlap import confusion
from nnunet_ext.metrics.topology import betti_numbers

Metrics = dict[str, float]


@dataclass(frozen=True)
class CaseEvaluator:
    """Evaluates one case after the other; can be sent to other processes.

    Attributes
    ----------
    reader : nnunetv2.imageio.base_reader_writer.BaseReaderWriter
        Has ``read_seg(file) -> (array of shape (1, z, y, x), properties)``.
    classes : Classes
        What to evaluate.
    connectivity : int or None
        As in `nnunet_ext.metrics.betti_numbers`.
    nesting : dict, optional
        The classes whose containment is measured, by their key in the summary.
    """

    reader: Any
    classes: Classes
    connectivity: int | None = None
    nesting: Nesting | None = None

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
        reference = _read_segmentation(self.reader, reference_file)
        prediction = _read_segmentation(self.reader, prediction_file)
        if reference.shape != prediction.shape:
            raise UnusableCase(
                f"{prediction_file}: shape {prediction.shape}, but the reference has {reference.shape}"
            )
        ignore = () if self.classes.ignore_label is None else (self.classes.ignore_label,)
        _check_labels(reference, (*self.classes.labels, *ignore), reference_file)
        _check_labels(prediction, self.classes.labels, prediction_file)
        return reference, prediction


def case_metrics(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    classes: Classes,
    connectivity: int | None = None,
    nesting: Nesting | None = None,
) -> dict[str, Metrics]:
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
) -> Metrics:
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


def _read_segmentation(reader: Any, file: Path) -> NDArray[Any]:
    try:
        segmentation = reader.read_seg(str(file))[0]
    except Exception as error:  # whatever a file format library raises, the file is what is wrong
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UnusableCase(f"{file}: cannot be read ({lines[-1].strip()})") from error
    if segmentation.ndim != 4 or segmentation.shape[0] != 1:
        raise UnusableCase(f"{file}: expected one channel of labels, got shape {segmentation.shape}")
    segmentation = segmentation[0]
    return segmentation[0] if segmentation.shape[0] == 1 else segmentation  # nnU-Net's 2D is (1, y, x)


def _check_labels(segmentation: NDArray[Any], labels: Iterable[int], file: Path) -> None:
    known = sum(int(np.count_nonzero(segmentation == label)) for label in labels)
    if known != segmentation.size:  # np.unique is slow on large volumes, so only now
        unknown = sorted(set(np.unique(segmentation).tolist()) - set(labels))
        listed = ", ".join(f"{value:g}" for value in unknown[:5]) + (", …" if len(unknown) > 5 else "")
        raise UnusableCase(f"{file}: contains {listed}, not in the labels of dataset.json")


def _check_betti_connectivity(connectivity: int | None, ndim: int) -> None:
    if connectivity not in (None, 1, ndim):
        raise UserError(
            f"connectivity {connectivity}: the images are {ndim}D, where Betti numbers are defined for "
            f"1 ({2 * ndim} neighbours) and {ndim} ({3**ndim - 1} neighbours)."
        )
