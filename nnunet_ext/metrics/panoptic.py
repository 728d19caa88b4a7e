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

from nnunet_ext.metrics.assignment import one_to_one
from nnunet_ext.metrics.checks import BoolArray
from nnunet_ext.metrics.contingency import FloatArray, InstanceOverlap, IntArray, instance_overlap


@overload
def panoptic_quality(
    reference: NDArray[Any], prediction: NDArray[Any], iou: float = 0.5, mask: BoolArray | None = None
) -> dict[str, float]: ...


@overload
def panoptic_quality(
    reference: NDArray[Any], prediction: NDArray[Any], iou: Sequence[float], mask: BoolArray | None = None
) -> list[dict[str, float]]: ...


def panoptic_quality(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    iou: float | Sequence[float] = 0.5,
    mask: BoolArray | None = None,
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
    mask : ndarray of bool, optional
        True = counted; the rest is what nobody judged (nnU-Net's ignore label). It leaves sizes,
        intersections and unions. An instance without partner is neither false nor missed, and in no count,
        if more than half of its voxels lie there. That is how the panoptic evaluation of COCO treats void.

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
        If an array is not of integers, has negative ones, the shapes differ, `mask` is not boolean, or `iou`
        is out of range.

    References
    ----------
    Kirillov et al. Panoptic Segmentation. CVPR 2019, equations 1 and 2, and section 4.2 for the void.

    Examples
    --------
    >>> import numpy as np
    >>> reference = np.array([[1, 1, 1, 1, 0, 2, 2, 2]])
    >>> prediction = np.array([[5, 5, 5, 0, 0, 7, 8, 9]])
    >>> result = panoptic_quality(reference, prediction)
    >>> result["tp"], result["fp"], result["fn"], result["sq"], result["pq"]
    (1, 3, 1, 0.75, 0.25)
    """
    overlap = instance_overlap(reference, prediction, mask)
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
        one_to_one(overlap.reference[candidates], overlap.prediction[candidates], overlap.iou[candidates])
    ]
    return Matching(
        float(iou),
        overlap.reference_sizes,
        overlap.prediction_sizes,
        overlap.reference_judged,
        overlap.prediction_judged,
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
    reference_sizes, prediction_sizes : (R,), (P,) ndarray of int
        Counted voxels of all instances, matched or not.
    reference_judged, prediction_judged : (R,), (P,) ndarray of bool
        Whether they count also without a partner; see `InstanceOverlap`.
    reference, prediction : (TP,) ndarray of int
        The instances of each pair, as positions in the above.
    scores, dice : (TP,) ndarray of float
        IoU and Dice coefficient of each pair.
    """

    iou: float
    reference_sizes: IntArray
    prediction_sizes: IntArray
    reference_judged: BoolArray
    prediction_judged: BoolArray
    reference: IntArray
    prediction: IntArray
    scores: FloatArray
    dice: FloatArray

    @property
    def missed(self) -> BoolArray:
        """(R,) whether the instance has no partner and should have one."""
        return _without(self.reference, self.reference_judged)

    @property
    def false(self) -> BoolArray:
        """(P,) whether the instance has no partner and should have one."""
        return _without(self.prediction, self.prediction_judged)

    @property
    def left_out(self) -> tuple[int, int]:
        """Instances of reference and prediction that mostly lie outside of the mask, without partner."""
        return (
            int(np.count_nonzero(_without(self.reference, ~self.reference_judged))),
            int(np.count_nonzero(_without(self.prediction, ~self.prediction_judged))),
        )

    def counts(self, smallest: float = 0, below: float = np.inf, voxel_size: float = 1) -> PanopticCounts:
        """Count pairs and single instances of ``smallest <= size < below``, voxels times `voxel_size`.

        A pair has the size of its reference, an instance without partner its own.
        """
        in_reference, in_prediction = (
            (smallest <= sizes * voxel_size) & (sizes * voxel_size < below)
            for sizes in (self.reference_sizes, self.prediction_sizes)
        )
        pairs = in_reference[self.reference]
        return PanopticCounts(
            self.iou,
            tp=int(np.count_nonzero(pairs)),
            fp=int(np.count_nonzero(in_prediction & self.false)),
            fn=int(np.count_nonzero(in_reference & self.missed)),
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


def _without(matched: IntArray, instances: BoolArray) -> BoolArray:
    """The instances but for those that are matched."""
    single = instances.copy()
    single[matched] = False
    return single
