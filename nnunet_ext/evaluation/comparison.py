"""Two evaluations of the same cases, compared metric by metric and class by class."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.comparability import check_comparable
from nnunet_ext.evaluation.nested_classes import SHARES
from nnunet_ext.evaluation.summary import Summary, nan_mean, to_csv
from nnunet_ext.files import write_texts
from nnunet_ext.metrics.statistics import PairedTest, paired_test
from nnunet_ext.worker_pool import Progress, silent

_FOREGROUND = "foreground_mean"
_DEFAULT_METRICS = (
    *("Dice", "clDice", "Beta0Error", "Beta1Error"),
    *SHARES,  # of nested classes
    *("PQ", "SQ", "RQ", "P05", "recall", "AJI", "ContourF1@2", "mean_matched_dice"),  # of instances
)
_HIGHER_IS_BETTER = {
    **dict.fromkeys(("Dice", "IoU", "clDice", "TP", "TN"), True),
    **dict.fromkeys(("Beta0Error", "Beta1Error", "FP", "FN", *SHARES), False),
    **dict.fromkeys(("PQ", "SQ", "RQ", "P05", "precision", "recall", "f1", "accuracy", "tp"), True),
    **dict.fromkeys(("AJI", "ContourF1", "mean_true_score", "mean_matched_dice", "mean_true_dice"), True),
    **dict.fromkeys(("fp", "fn"), False),
}
Values = dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class ComparisonRow(PairedTest):
    """The paired test of one metric and class, with what it is about.

    Attributes
    ----------
    metric : str
        Key of the metric in the summaries, such as ``"Dice"``.
    class_key : str
        ``"1"``, ``"(1, 2)"``, or ``"foreground_mean"`` for the mean of the classes within each case.
    class_name : str
        Name in dataset.json; empty if the summaries do not tell.
    higher_is_better : bool or None
        None for numbers of which neither is better, such as ``n_pred``.
    """

    metric: str
    class_key: str
    class_name: str
    higher_is_better: bool | None


def compare_summaries(
    a: Summary,
    b: Summary,
    metrics: Sequence[str] | None = None,
    *,
    n_resamples: int = 10_000,
    seed: int = 0,
    progress: Progress = silent,
) -> list[ComparisonRow]:
    """Compare two summaries of the same cases, paired by the file name of the prediction.

    Parameters
    ----------
    a, b : dict
        As `load_summary` or `evaluate_folders` returns; nnU-Net's own will do.
    metrics : sequence of str, optional
        Default: the main ones of classes, nested classes and instances, as far as both summaries have them;
        all, if they have none of these.
    n_resamples, seed : int
        As in `paired_test`.
    progress : callable, optional
        Called with (tests, number of tests, what is being done); yields the tests, drawing a progress bar.

    Returns
    -------
    list of ComparisonRow
        Per metric the foreground mean, then each class (of containment: each that lies in another).

    Raises
    ------
    UserError
        Naming every case, class or metric that is in one summary only; or if they are of different references
        or datasets, or were measured in different ways.
    """
    values_a, values_b = _by_case(a, "A"), _by_case(b, "B")
    _check_same("cases", set(values_a), set(values_b))
    cases = sorted(values_a)
    keys = sorted(values_a[cases[0]], key=_class_order)
    _check_same("classes", set(keys), set(values_b[cases[0]]))
    chosen = _choose_metrics(metrics, values_a[cases[0]][keys[0]], values_b[cases[0]][keys[0]])
    check_comparable(a, b, chosen)
    names = {**b.get("class_names", {}), **a.get("class_names", {})}
    tests = [(metric, key) for metric in chosen for key in (_FOREGROUND, *keys)]
    rows = []
    for metric, key in progress(tests, len(tests), "Testing"):
        in_a = [_value(values_a[case], metric, key) for case in cases]
        in_b = [_value(values_b[case], metric, key) for case in cases]
        if metric.removesuffix("_ref") in SHARES and key != _FOREGROUND and _no_number(in_a + in_b):
            continue  # a class that lies in no other
        test = paired_test(in_a, in_b, n_resamples, seed)
        rows.append(
            ComparisonRow(
                metric=metric,
                class_key=key,
                class_name=names.get(key, ""),
                higher_is_better=_HIGHER_IS_BETTER.get(metric.split("@")[0]),  # PQ@0.75
                **asdict(test),
            )
        )
    return rows


def save_comparison(rows: Sequence[ComparisonRow], path: str | os.PathLike[str]) -> Path:
    """Write the rows as CSV, whole or not at all; a place that cannot be written is a `UserError`."""
    file = Path(path)
    first = ("metric", "class_key", "class_name", "higher_is_better")
    records = [asdict(row) for row in rows]
    write_texts({file: to_csv([{**{key: record[key] for key in first}, **record} for record in records])})
    return file


def _by_case(summary: Summary, name: str) -> dict[str, Values]:
    cases = {Path(case["prediction_file"]).name: case["metrics"] for case in summary["metric_per_case"]}
    if len(cases) < len(summary["metric_per_case"]):
        raise UserError(f"Summary {name} has several predictions of one file name; they cannot be paired.")
    return cases


def _class_order(key: str) -> tuple[list[int], str]:
    return [int(label) for label in re.findall(r"\d+", key)], key  # "2" before "10"


def _check_same(what: str, in_a: set[str], in_b: set[str]) -> None:
    problems = [
        f"{len(only)} {what} only in {name}: {', '.join(sorted(only))}"
        for name, only in (("A", in_a - in_b), ("B", in_b - in_a))
        if only
    ]
    if problems:
        raise UserError(
            f"The summaries have different {what}; both must be of the same.\n" + "\n".join(problems)
        )


def _choose_metrics(wanted: Sequence[str] | None, a: Iterable[str], b: Iterable[str]) -> list[str]:
    common = [metric for metric in a if metric in set(b)]
    if wanted is None:
        return [metric for metric in _DEFAULT_METRICS if metric in common] or common
    unknown = [metric for metric in wanted if metric not in common]
    if unknown:
        raise UserError(f"Not in both summaries: {', '.join(unknown)}. In both: {', '.join(common)}.")
    return list(wanted)


def _no_number(values: Iterable[float]) -> bool:
    return all(math.isnan(value) for value in values)


def _value(classes: Values, metric: str, key: str) -> float:
    if key == _FOREGROUND:
        return nan_mean(values[metric] for values in classes.values())
    return classes[key][metric]
