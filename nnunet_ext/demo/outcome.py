"""What came out, in words: which test image to show, and what the numbers of the table mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnunet_ext.evaluation.comparison import ComparisonRow
from nnunet_ext.evaluation.summary import Summary

METRICS = ("Dice", "Beta0Error", "clDice")
MEANING = (
    "Dice: how far prediction and truth cover the same pixels; clDice: the same for their centre lines; "
    "both are 1 if perfect. Beta0Error: by how many pieces too many or too few an image has, 0 if perfect."
)
_ALPHA = 0.05


def typical_case(a: Summary, b: Summary) -> str:
    """File name of the test image on which the β0 errors of A and B differ by the median of all images.

    Of an even number the lower of the two in the middle; of images that differ alike, those first in the
    alphabet come first.
    """
    errors = [_beta0_errors(summary) for summary in (a, b)]
    by_difference = sorted(errors[0], key=lambda name: (errors[0][name] - errors[1][name], name))
    return by_difference[(len(by_difference) - 1) // 2]


def _beta0_errors(summary: Summary) -> dict[str, float]:
    return {
        Path(case["prediction_file"]).name: case["metrics"]["1"]["Beta0Error"]
        for case in summary["metric_per_case"]
    }


def verdict(rows: Sequence[ComparisonRow]) -> str:
    """One sentence on the β0 error: which is smaller, and whether that is more than chance."""
    row = next(row for row in rows if row.metric == "Beta0Error" and row.class_key == "1")
    if row.difference == 0:
        return "Here both are wrong by as many pieces."
    better, worse = ("B", "A") if row.difference < 0 else ("A", "B")
    numbers = sorted((row.mean_a, row.mean_b))
    chance = (
        f"more than chance over these {row.n_pairs} images"
        if row.p < _ALPHA
        else f"over {row.n_pairs} images no more than chance could bring"
    )
    return (
        f"Here {better} is wrong by {numbers[0]:.1f} pieces per image, {worse} by {numbers[1]:.1f}: "
        f"{chance} (permutation p = {row.p:.2g})."
    )
