"""Evaluations of the same cases compared: several models, and of each one or more trainings."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.comparability import check_comparable, comparison_notes, same_numbers_note
from nnunet_ext.evaluation.instance_case import SHAPES
from nnunet_ext.evaluation.nested_classes import SHARES
from nnunet_ext.evaluation.summary import Summary, nan_mean, to_csv
from nnunet_ext.files import write_texts
from nnunet_ext.metrics.repeated import (
    CASES,
    MIXED,
    FloatArray,
    RepeatedMean,
    RepeatedTest,
    holm,
    repeated_mean,
    repeated_test,
)
from nnunet_ext.worker_pool import Progress, silent

FOREGROUND = "foreground_mean"
POOLED = "pooled"
_SIGNIFICANT = 0.05
_DEFAULT_METRICS = (
    *("Dice", "clDice", "Beta0Error", "Beta1Error"),
    *SHARES,  # of nested classes
    *("PQ", "SQ", "RQ", "P05", "recall", "AJI", "ContourF1@2", "mean_matched_dice"),  # of instances
    *SHAPES,
)
_HIGHER_IS_BETTER = {
    **dict.fromkeys(("Dice", "IoU", "clDice", "TP", "TN"), True),
    **dict.fromkeys(("Beta0Error", "Beta1Error", "FP", "FN", *SHARES), False),
    **dict.fromkeys(("PQ", "SQ", "RQ", "P05", "precision", "recall", "f1", "accuracy", "tp"), True),
    **dict.fromkeys(SHAPES, True),  # of round cells, as the SCNP paper counts
    **dict.fromkeys((f"{name}Error" for name in SHAPES), False),
    **dict.fromkeys(("AJI", "ContourF1", "mean_true_score", "mean_matched_dice", "mean_true_dice"), True),
    **dict.fromkeys(("fp", "fn"), False),
}
#: behind the name of a metric: which direction is better
ARROWS = {True: " ↑", False: " ↓", None: ""}
#: what an evaluation without further options has, of classes (nested ones too) and of instances
CLASS_METRICS = (
    *("Dice", "IoU", "clDice", "Beta0Error", "Beta1Error", "TP", "FP", "FN", "TN", "n_pred", "n_ref"),
    *(key for share in SHARES for key in (share, f"{share}_ref")),
)
INSTANCE_METRICS = (
    *("PQ", "SQ", "RQ", "P05", "recall", "f1", "accuracy", "AJI", "tp", "fp", "fn", "n_true", "n_pred"),
    *(f"ContourF1@{tolerance}" for tolerance in range(2, 8)),
    *("mean_true_score", "mean_matched_dice", "mean_true_dice"),
)
#: what it has with ``--roundness``, too
SHAPE_METRICS = tuple(name + suffix for name in SHAPES for suffix in ("", "_ref", "Error"))
_COUNTS = ("TP", "TN", "FP", "FN", "tp", "fp", "fn", "Beta0Error", "Beta1Error")  # from 0 on; scores end at 1
Values = dict[str, dict[str, float]]
Tables = dict[str, FloatArray]  # model -> (trainings, cases)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a mean or a test is about.

    Attributes
    ----------
    metric : str
        Key of the metric in the summaries, such as ``"Dice"``.
    class_key : str
        ``"1"``, ``"(1, 2)"``; ``"foreground_mean"`` for the mean of the classes within each case;
        ``"pooled"`` for instance metrics of all cases counted together.
    class_name : str
        Name in dataset.json; empty if the summaries do not tell.
    higher_is_better : bool or None
        None for numbers of which neither is better, such as ``n_pred``.
    """

    metric: str
    class_key: str
    class_name: str
    higher_is_better: bool | None


@dataclass(frozen=True, kw_only=True)
class MeanRow(Row, RepeatedMean):
    """What one model reaches in one metric and class; `n_dropped` cases have no number in some training."""

    model: str
    n_dropped: int


@dataclass(frozen=True, kw_only=True)
class ComparisonRow(Row, RepeatedTest):
    """The test of two models in one metric and class; `p_holm` is `p` corrected for all tests made."""

    a: str
    b: str
    p_holm: float


@dataclass(frozen=True)
class Comparison:
    """Methods side by side.

    Attributes
    ----------
    means : list of MeanRow
        Per metric the foreground mean (if there are several classes), then each class (of containment: each
        that lies in another); at the end the pooled values of instances; for each of these every model.
    differences : list of ComparisonRow
        In the same order for every pair of models that was compared, without the pooled values: nobody knows
        from one number how much it depends on the cases.
    notes : list of str
        What the user has to know, in sentences.
    """

    means: list[MeanRow]
    differences: list[ComparisonRow]
    notes: list[str]


def compare_models(
    models: Mapping[str, Sequence[Summary]],
    metrics: Sequence[str] | None = None,
    *,
    baseline: str | None = None,
    all_pairs: bool = False,
    single: bool = False,
    n_resamples: int = 10_000,
    seed: int = 0,
    progress: Progress = silent,
) -> Comparison:
    """Compare models, each trained once or several times, on the same cases.

    Parameters
    ----------
    models : mapping
        Name -> one summary for each training, as `load_summary` or `evaluate_folders` returns; nnU-Net's own
        will do. Cases are paired by the file name of the prediction.
    metrics : sequence of str, optional
        Default: the main ones of classes, nested classes and instances, as far as all summaries have them;
        all, if they have none of these.
    baseline : str, optional
        The model that the others are compared with; the first, if not given.
    all_pairs : bool
        Compare every model with every other.
    single : bool
        Accept a single model: there are no differences then.
    n_resamples, seed : int
        As in `repeated_test`.
    progress : callable, optional
        Called with (rows, number of rows, what is being done); yields the rows, drawing a progress bar.

    Returns
    -------
    Comparison

    Raises
    ------
    UserError
        Naming every case, class or metric that is in some summaries only; or if they are of different
        references or datasets, or were measured in different ways; or if there are not two models.
    """
    names = _check_models(models, baseline, 1 if single else 2)
    labels, summaries = _labelled(models)
    notes: list[str] = []
    by_case = [_by_case(summary, label) for summary, label in zip(summaries, labels, strict=True)]
    cases = sorted(by_case[0])
    keys = sorted(by_case[0][cases[0]], key=_class_order)
    for label, values in zip(labels[1:], by_case[1:], strict=True):
        _check_same("cases", set(by_case[0]), set(values), (labels[0], label))
        _check_same("classes", set(keys), set(values[cases[0]]), (labels[0], label))
    chosen = choose_metrics(metrics, summaries)
    for label, summary in zip(labels[1:], summaries[1:], strict=True):
        check_comparable(summaries[0], summary, chosen, (labels[0], label))
        notes += comparison_notes(summaries[0], summary, (labels[0], label))
    for (label, one), (other_label, other) in combinations(zip(labels, summaries, strict=True), 2):
        notes += same_numbers_note(one, other, (label, other_label))
    pairs = list(combinations(names, 2)) if all_pairs else [(names[0], other) for other in names[1:]]

    means, differences = [], []
    class_names: dict[str, str] = {}
    for summary in summaries:
        for key, name in summary.get("class_names", {}).items():
            class_names[key] = class_names.get(key) or name
    rows = list(_rows(chosen, keys, by_case, class_names))
    for row in progress(rows, len(rows), "Comparing"):
        tables = _tables(models, by_case, cases, row)
        usable = np.logical_and.reduce([np.isfinite(table).all(0) for table in tables.values()])
        for name, table in tables.items():
            mean = _within_range(row.metric, repeated_mean(table[:, usable], n_resamples, seed))
            means.append(MeanRow(model=name, n_dropped=int((~usable).sum()), **asdict(row), **asdict(mean)))
        for a, b in pairs:
            test = repeated_test(tables[a][:, usable], tables[b][:, usable], n_resamples, seed)
            test = replace(test, n_dropped=int((~usable).sum()))
            differences.append(ComparisonRow(a=a, b=b, p_holm=math.nan, **asdict(row), **asdict(test)))
    corrected = holm([each.p for each in differences])
    return Comparison(
        means=[*means, *_pooled(models, chosen)],
        differences=[replace(each, p_holm=p) for each, p in zip(differences, corrected, strict=True)],
        notes=[
            *dict.fromkeys(
                [*_few_cases_notes(differences), *notes, *(_training_notes(models) if pairs else [])]
            )
        ],
    )


def compare_summaries(
    a: Summary, b: Summary, metrics: Sequence[str] | None = None, **settings: Any
) -> list[ComparisonRow]:
    """Compare two summaries, A and B, of one training each; see `compare_models`, also for `settings`."""
    return compare_models({"A": [a], "B": [b]}, metrics, **settings).differences


def save_comparison(rows: Sequence[Row], path: str | os.PathLike[str]) -> Path:
    """Write the means or the differences as CSV, whole or not at all; raise `UserError` if that fails."""
    file = Path(path)
    first = ("metric", "class_key", "class_name", "higher_is_better", "model", "a", "b")
    records = [asdict(row) for row in rows]
    ordered = [{**{key: record[key] for key in first if key in record}, **record} for record in records]
    write_texts({file: to_csv(ordered)})
    return file


def _within_range(metric: str, mean: RepeatedMean) -> RepeatedMean:
    """The mean with an interval that ends where the metric does."""
    if metric.split("@")[0] not in _HIGHER_IS_BETTER:
        return mean
    highest = math.inf if metric.split("@")[0] in _COUNTS else 1.0
    low, high = (float(np.clip(end, 0, highest)) for end in (mean.low, mean.high))
    return replace(mean, low=low, high=high)


def choose_metrics(wanted: Sequence[str] | None, summaries: Sequence[Summary]) -> list[str]:
    """The wanted metrics, or the main ones that all summaries have; `UserError` if one is missing."""
    of_each = [list(next(iter(each["metric_per_case"][0]["metrics"].values()))) for each in summaries]
    common = [metric for metric in of_each[0] if all(metric in others for others in of_each)]
    if wanted is None:
        return [metric for metric in _DEFAULT_METRICS if metric in common] or common
    unknown = [metric for metric in wanted if metric not in common]
    if unknown:
        raise UserError(f"Not in all summaries: {', '.join(unknown)}. In all: {', '.join(common)}.")
    return list(wanted)


def is_higher_better(metric: str) -> bool | None:
    """Whether more of a metric is better; None if neither is."""
    return _HIGHER_IS_BETTER.get(metric.split("@")[0])  # PQ@0.75


def case_values(summary: Summary, metric: str, key: str) -> dict[str, float]:
    """File name of a prediction -> the metric of a class, or of their mean (`FOREGROUND`)."""
    return {case: _value(values, metric, key) for case, values in _by_case(summary, "").items()}


def _check_models(models: Mapping[str, Sequence[Summary]], baseline: str | None, fewest: int) -> list[str]:
    """Return the names, the baseline first."""
    if len(models) < fewest or not all(models.values()):
        raise UserError("A comparison takes two models or more, with one evaluation at least for each.")
    first = next(iter(models)) if baseline is None else baseline
    if first not in models:
        raise UserError(f"There is no model {first!r} to compare with. There are: {', '.join(models)}.")
    return [first, *(name for name in models if name != first)]


def _labelled(models: Mapping[str, Sequence[Summary]]) -> tuple[list[str], list[Summary]]:
    """Every summary with what an error calls it: the model, with a number if it was trained several times."""
    labels = [
        name if len(trainings) == 1 else f"{name} ({number})"
        for name, trainings in models.items()
        for number in range(1, len(trainings) + 1)
    ]
    return labels, [summary for trainings in models.values() for summary in trainings]


def _rows(
    chosen: Iterable[str], keys: list[str], by_case: list[dict[str, Values]], class_names: Mapping[str, str]
) -> Iterator[Row]:
    for metric in chosen:
        for key in (FOREGROUND, *keys) if len(keys) > 1 else keys:
            of_nesting = metric.removesuffix("_ref") in SHARES and key != FOREGROUND
            if of_nesting and all(
                math.isnan(case[key][metric]) for each in by_case for case in each.values()
            ):
                continue  # a class that lies in no other
            yield Row(
                metric=metric,
                class_key=key,
                class_name=class_names.get(key, ""),
                higher_is_better=is_higher_better(metric),
            )


def _tables(
    models: Mapping[str, Sequence[Summary]], by_case: list[dict[str, Values]], cases: list[str], row: Row
) -> Tables:
    remaining = iter(by_case)
    return {
        name: np.array(
            [
                [_value(values[case], row.metric, row.class_key) for case in cases]
                for values in (next(remaining) for _ in trainings)
            ],
            dtype=np.float64,
        )
        for name, trainings in models.items()
    }


def _pooled(models: Mapping[str, Sequence[Summary]], chosen: Iterable[str]) -> list[MeanRow]:
    """What the cases give if they are counted together, for each model that has it."""
    rows = []
    for metric in chosen:
        for name, trainings in models.items():
            values = [_pooled_value(summary, metric) for summary in trainings]
            if any(value is None for value in values):
                continue
            table = np.array(values, dtype=np.float64)
            rows.append(
                MeanRow(
                    metric=metric,
                    class_key=POOLED,
                    class_name="",
                    higher_is_better=is_higher_better(metric),
                    model=name,
                    n_trainings=len(table),
                    n_cases=len(trainings[0]["metric_per_case"]),
                    n_dropped=0,
                    mean=float(table.mean()),
                    sd=float(table.std(ddof=1)) if len(table) > 1 else math.nan,
                    low=math.nan,
                    high=math.nan,
                )
            )
    return rows


def _pooled_value(summary: Summary, metric: str) -> float | None:
    value = summary.get("pooled", {}).get(metric)
    return float(value) if isinstance(value, (int, float)) else None


def _few_cases_notes(rows: Iterable[ComparisonRow]) -> list[str]:
    """A text on one case, and for each number of cases with which no permutation can be significant."""
    tests = {(row.n_pairs, row.chance) for row in rows}
    notes = []
    if (1, MIXED) in tests:
        notes.append("One case: p says whether trainings differ on it, not what other cases would give.")
    for n in sorted(n for n, chance in tests if n and chance == CASES):
        smallest = 2.0 ** (1 - n)
        if smallest > _SIGNIFICANT:
            notes.append(
                f"With {n} pair{'s' * (n > 1)} no p can be below {smallest:.4g}, so no difference can be "
                f"significant at {_SIGNIFICANT}: that takes 6 cases or more."
            )
    return notes


def _training_notes(models: Mapping[str, Sequence[Summary]]) -> list[str]:
    single = [name for name, trainings in models.items() if len(trainings) == 1]
    if not single:
        return []
    return [
        f"One training of {', '.join(single)}: p says whether these trainings differ, not whether the "
        "methods do, since nobody knows how much two trainings of one method differ. Train three or more, "
        "with _seed1, _seed2, _seed3 in the trainer's name."
    ]


def _by_case(summary: Summary, name: str) -> dict[str, Values]:
    cases = {Path(case["prediction_file"]).name: case["metrics"] for case in summary["metric_per_case"]}
    if len(cases) < len(summary["metric_per_case"]):
        raise UserError(f"Summary {name} has several predictions of one file name; they cannot be paired.")
    return cases


def _class_order(key: str) -> tuple[list[int], str]:
    return [int(label) for label in re.findall(r"\d+", key)], key  # "2" before "10"


def _check_same(what: str, in_a: set[str], in_b: set[str], names: tuple[str, str]) -> None:
    problems = [
        f"{len(only)} {what} only in {name}: {', '.join(sorted(only))}"
        for name, only in zip(names, (in_a - in_b, in_b - in_a), strict=True)
        if only
    ]
    if problems:
        raise UserError(
            f"The summaries have different {what}; all must be of the same.\n" + "\n".join(problems)
        )


def _value(classes: Values, metric: str, key: str) -> float:
    if key == FOREGROUND:
        return nan_mean(values[metric] for values in classes.values())
    return classes[key][metric]
