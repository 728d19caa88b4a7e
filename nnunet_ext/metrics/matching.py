"""Which predicted instance is which reference instance, at an IoU threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nnunet_ext.metrics.checks import check_iou
from nnunet_ext.metrics.contingency import FloatArray, InstanceOverlap, IntArray


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


def _one_to_one(rows: IntArray, columns: IntArray, scores: FloatArray) -> IntArray:
    """Positions of the candidate pairs to keep."""
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    contested = np.flatnonzero(~alone)
    if not contested.size:
        return np.flatnonzero(alone)
    # Candidates that share no instance do not compete, so each group is a small problem of its own.
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
