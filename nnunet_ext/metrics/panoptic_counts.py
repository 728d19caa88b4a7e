"""True and false positives among instances, and the ratios that follow from them."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
