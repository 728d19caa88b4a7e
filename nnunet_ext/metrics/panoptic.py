"""Panoptic quality and the detection rates of two instance maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.metrics.contingency import instance_overlap
from nnunet_ext.metrics.matching import match_instances


@overload
def panoptic_quality(
    reference: NDArray[Any], prediction: NDArray[Any], iou: float = 0.5
) -> dict[str, float]: ...


@overload
def panoptic_quality(
    reference: NDArray[Any], prediction: NDArray[Any], iou: Sequence[float]
) -> list[dict[str, float]]: ...


def panoptic_quality(
    reference: NDArray[Any], prediction: NDArray[Any], iou: float | Sequence[float] = 0.5
) -> dict[str, float] | list[dict[str, float]]:
    """Panoptic quality (PQ) of predicted instances, with the counts and rates behind it.

    A predicted and a reference instance match where their intersection over union is greater than `iou`.
    Below .5 several may qualify: see `match_instances` for which are taken.

    Parameters
    ----------
    reference, prediction : ndarray of int
        Instance ids, 0 = background; one shape, any dimension, any integer type.
    iou : float or sequence of float
        Threshold from 0 to below 1. For several, a list of results comes back.

    Returns
    -------
    dict or list of dict
        The papers' names first, then those of StarDist's ``matching``; equal ones are the same number:

        * ``pq`` = ``panoptic_quality``: sum of matched IoUs / (TP + FP/2 + FN/2), which is sq · rq
        * ``sq`` = ``mean_matched_score``: mean IoU of the matched pairs
        * ``rq`` = ``f1``: TP / (TP + FP/2 + FN/2)
        * ``precision`` (P05 at `iou` .5): TP / (TP + FP); ``recall``: TP / (TP + FN)
        * ``accuracy``: TP / (TP + FP + FN)
        * ``mean_true_score``: sum of matched IoUs / reference instances
        * ``mean_matched_dice``, ``mean_true_dice``: the same two means of Dice coefficients
        * ``tp``, ``fp``, ``fn``, ``n_true`` (in the reference), ``n_pred``, ``thresh`` (`iou`)

        Without instances in either map every ratio is NaN; with instances in only one, or no match, 0.

    Raises
    ------
    ValueError
        If an array is not of integers, has negative ones, the shapes differ, or `iou` is out of range.

    References
    ----------
    Kirillov et al. Panoptic Segmentation. CVPR 2019, equations 1 and 2.

    Examples
    --------
    >>> import numpy as np
    >>> reference = np.array([[1, 1, 1, 1, 0, 2, 2, 2]])
    >>> prediction = np.array([[5, 5, 5, 0, 0, 7, 8, 9]])
    >>> result = panoptic_quality(reference, prediction)
    >>> result["tp"], result["fp"], result["fn"], result["sq"], result["pq"]
    (1, 3, 1, 0.75, 0.25)
    """
    overlap = instance_overlap(reference, prediction)
    results = [match_instances(overlap, threshold).counts().metrics() for threshold in np.ravel(iou).tolist()]
    return results if np.ndim(iou) else results[0]
