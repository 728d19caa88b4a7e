"""The mistakes of every model in one case, found and counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.evaluation.case_view import CaseView
from nnunet_ext.metrics.mistakes import (
    CLASS_KINDS,
    INSTANCE_KINDS,
    InstanceMark,
    Mark,
    locate_class_mistakes,
    locate_instance_mistakes,
)

#: where there are as many as there are mistakes: three cells in one are three merged ones
_COUNTED_IN = {
    "matched": "prediction",
    "missed": "reference",
    "extra": "prediction",
    "merged": "reference",
    "split": "prediction",
}


@dataclass(frozen=True)
class Mistakes:
    """What is wrong in one prediction.

    Attributes
    ----------
    marks : tuple of (str, Mark)
        Name of the class and place of each mistake. Of instances the name is "" and the marks are
        `InstanceMark` of every instance of both maps, also of the matched ones.
    counts : dict
        Kind -> how many; every kind, in the order of the legend.
    """

    marks: tuple[tuple[str, Mark], ...]
    counts: dict[str, int]


def find_mistakes(view: CaseView, connectivity: int | None = None, iou: float = 0.5) -> dict[str, Mistakes]:
    """Find the mistakes of each model of a case.

    Parameters
    ----------
    view : CaseView
        The case.
    connectivity : int, optional
        Of components, as in `locate_class_mistakes`.
    iou : float
        For instances, as in `locate_instance_mistakes`.

    Returns
    -------
    dict
        Model -> its mistakes.
    """
    if view.kind == "instances":
        return {name: _of_instances(view, array, iou) for name, array in view.predictions.items()}
    return {name: _of_classes(view, array, connectivity) for name, array in view.predictions.items()}


def count_mistakes(
    view: CaseView, connectivity: int | None = None, iou: float = 0.5
) -> dict[str, dict[str, int]]:
    """Model -> kind -> how many, summed over the classes.

    Of classes the kinds are ``false``, ``missed``, ``break`` and ``merge``. Of instances they are ``matched``
    pairs, the reference instances that are ``missed``, those that are ``merged`` (each that one predicted
    instance covers together with another), and the predicted ones that are ``extra`` or ``split`` (each
    piece). So a cell that is swallowed by a matched one is counted, and a crumb of a matched one, too.
    """
    return {name: found.counts for name, found in find_mistakes(view, connectivity, iou).items()}


def foreground(labels: NDArray[np.integer], key: int | tuple[int, ...]) -> NDArray[np.bool_]:
    """Boolean map of a class or a region, by its key in `CaseView.class_names`."""
    return np.isin(labels, key) if isinstance(key, tuple) else labels == key


def _of_classes(view: CaseView, prediction: NDArray[np.integer], connectivity: int | None) -> Mistakes:
    marks = [
        (name, mark)
        for key, name in view.class_names.items()
        for mark in locate_class_mistakes(
            foreground(prediction, key), foreground(view.reference, key), connectivity, view.ignored
        )
    ]
    return Mistakes(tuple(marks), {kind: sum(mark.kind == kind for _, mark in marks) for kind in CLASS_KINDS})


def _of_instances(view: CaseView, prediction: NDArray[np.integer], iou: float) -> Mistakes:
    marks = locate_instance_mistakes(prediction, view.reference, iou, view.ignored)
    counts = {kind: sum(mark.kind == kind and is_counted(mark) for mark in marks) for kind in INSTANCE_KINDS}
    return Mistakes(tuple(("", mark) for mark in marks), counts)


def is_counted(mark: Mark) -> bool:
    """Whether a mark is in the counts: of instances each kind is counted in one of the two maps."""
    return not isinstance(mark, InstanceMark) or mark.of == _COUNTED_IN.get(mark.kind)
