"""Panoptic quality: which predicted instance is which reference instance, and the numbers that follow.

Three steps, each of use by itself: `match_instances` pairs instances at an IoU threshold, `Matching.counts`
counts the pairs and what is left over, of all sizes or of some, and `PanopticCounts`, which add up over
images, has the metrics. `panoptic_quality` does all of it for two maps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nnunet_ext.metrics.contingency import FloatArray, InstanceOverlap, IntArray, instance_overlap


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


def match_instances(overlap: InstanceOverlap, iou: float = 0.5) -> Matching:
    """Pair instances whose intersection over union is above `iou`.

    From .5 on every instance has at most one such partner. Below, the pairs are chosen so that there are as
    many as possible, and among those choices the one with the largest sum of IoUs.

    Parameters
    ----------
    overlap : InstanceOverlap
        Of a reference and a prediction.
    iou : float
        From 0 to below 1. A pair of exactly this IoU is no match.

    Raises
    ------
    ValueError
        If `iou` is out of range.
    """
    check_iou(iou)
    candidates = np.flatnonzero(overlap.iou > iou)
    chosen = candidates[
        _one_to_one(overlap.reference[candidates], overlap.prediction[candidates], overlap.iou[candidates])
    ]
    return Matching(
        float(iou),
        overlap.reference_sizes,
        overlap.prediction_sizes,
        overlap.reference[chosen],
        overlap.prediction[chosen],
        overlap.iou[chosen],
        overlap.dice[chosen],
    )


def check_iou(iou: float) -> None:
    """Raise `ValueError` unless a match at IoU > `iou` is possible."""
    if not 0 <= iou < 1:  # NaN too
        raise ValueError(f"iou: expected a threshold from 0 to below 1, got {iou}")


@dataclass(frozen=True)
class Matching:
    """Pairs of instances at one IoU threshold; every instance is in at most one.

    Attributes
    ----------
    iou : float
        The threshold.
    reference_sizes, prediction_sizes : ndarray
        Voxels of all instances, matched or not.
    reference, prediction : (TP,) ndarray of int
        The instances of each pair, as positions in the above.
    scores, dice : (TP,) ndarray of float
        IoU and Dice coefficient of each pair.
    """

    iou: float
    reference_sizes: IntArray
    prediction_sizes: IntArray
    reference: IntArray
    prediction: IntArray
    scores: FloatArray
    dice: FloatArray

    def counts(self, smallest: float = 0, below: float = np.inf, voxel_size: float = 1) -> PanopticCounts:
        """Count pairs and single instances of ``smallest <= size < below``, voxels times `voxel_size`.

        A pair has the size of its reference, an instance without partner its own.
        """
        in_reference, in_prediction = (
            (smallest <= sizes * voxel_size) & (sizes * voxel_size < below)
            for sizes in (self.reference_sizes, self.prediction_sizes)
        )
        in_prediction[self.prediction] = False
        pairs = in_reference[self.reference]
        tp = int(np.count_nonzero(pairs))
        return PanopticCounts(
            self.iou,
            tp=tp,
            fp=int(np.count_nonzero(in_prediction)),
            fn=int(np.count_nonzero(in_reference)) - tp,
            sum_iou=float(self.scores[pairs].sum()),
            sum_dice=float(self.dice[pairs].sum()),
        )


@dataclass(frozen=True)
class PanopticCounts:
    """Counts at one IoU threshold; those of several images add up.

    Attributes
    ----------
    iou : float
        The threshold.
    tp, fp, fn : int
        Matched pairs, predicted instances without partner, reference instances without partner.
    sum_iou, sum_dice : float
        Over the matched pairs.
    """

    iou: float
    tp: int
    fp: int
    fn: int
    sum_iou: float
    sum_dice: float

    def __add__(self, other: PanopticCounts) -> PanopticCounts:
        if self.iou != other.iou:
            raise ValueError(f"counts at IoU {self.iou} and {other.iou} do not add up")
        return PanopticCounts(
            self.iou,
            self.tp + other.tp,
            self.fp + other.fp,
            self.fn + other.fn,
            self.sum_iou + other.sum_iou,
            self.sum_dice + other.sum_dice,
        )

    def metrics(self) -> dict[str, float]:
        """Everything that follows, under the names `panoptic_quality` explains."""
        n_true, n_pred, union = self.tp + self.fn, self.tp + self.fp, self.tp + self.fp + self.fn
        half = (n_true + n_pred) / 2  # TP + FP/2 + FN/2
        detection = {
            "precision": self._ratio(self.tp, n_pred),
            "recall": self._ratio(self.tp, n_true),
            "f1": self._ratio(self.tp, half),
            "accuracy": self._ratio(self.tp, union),
        }
        quality = {
            "mean_matched_score": self._ratio(self.sum_iou, self.tp),
            "mean_true_score": self._ratio(self.sum_iou, n_true),
            "panoptic_quality": self._ratio(self.sum_iou, half),
            "mean_matched_dice": self._ratio(self.sum_dice, self.tp),
            "mean_true_dice": self._ratio(self.sum_dice, n_true),
        }
        return {
            "pq": quality["panoptic_quality"],
            "sq": quality["mean_matched_score"],
            "rq": detection["f1"],
            **detection,
            **quality,
            "tp": self.tp,
            "fp": self.fp,
            "fn": self.fn,
            "n_true": n_true,
            "n_pred": n_pred,
            "thresh": self.iou,
        }

    def _ratio(self, numerator: float, denominator: float) -> float:
        """NaN without instances in either map; 0 where the instances there are leave nothing to divide by."""
        if self.tp + self.fp + self.fn == 0:
            return math.nan
        return numerator / denominator if denominator else 0.0


def _one_to_one(rows: IntArray, columns: IntArray, scores: FloatArray) -> IntArray:
    """Positions of the candidate pairs to keep: no row and no column twice.

    Nearly all pairs have no competitor. The others fall into small groups that share no instance, and each
    is an assignment problem of its own: one assignment over all instances would need a dense table.
    """
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    contested = np.flatnonzero(~alone)
    if not contested.size:
        return np.flatnonzero(alone)
    chosen = [
        group[_assign(rows[group], columns[group], scores[group])]
        for group in _groups(contested, rows[contested], columns[contested])
    ]
    return np.sort(np.concatenate([np.flatnonzero(alone), *chosen]))


def _groups(positions: IntArray, rows: IntArray, columns: IntArray) -> list[IntArray]:
    nodes = int(rows.max()) + 1, int(columns.max()) + 1
    graph = coo_array((np.ones(rows.size, bool), (rows, nodes[0] + columns)), shape=(sum(nodes), sum(nodes)))
    group = connected_components(graph, directed=False)[1][rows]
    order = np.argsort(group, kind="stable")
    return np.split(positions[order], np.flatnonzero(np.diff(group[order])) + 1)


def _assign(rows: IntArray, columns: IntArray, scores: FloatArray) -> IntArray:
    _, row = np.unique(rows, return_inverse=True)
    _, column = np.unique(columns, return_inverse=True)
    shape = int(row.max()) + 1, int(column.max()) + 1
    worth = np.zeros(shape)
    # All scores together are worth less than one pair more.
    worth[row, column] = 1 + scores / (2 * min(shape))
    position = np.full(shape, -1)
    position[row, column] = np.arange(row.size)
    found = position[linear_sum_assignment(worth, maximize=True)]
    return found[found >= 0]
