"""The summary of an evaluation: means over cases, nnU-Net's summary.json, and a table of it as CSV."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import NotRequired, TypedDict

from nnunet_ext.errors import UserError
from nnunet_ext.files import read_json, write_texts

Summary = dict[str, Any]
_REMEDY = (
    "This is not a summary: give a file that `nnunet_ext evaluate` or nnU-Net's evaluation wrote, with a "
    "list 'metric_per_case' of entries with the same 'metrics'."
)


class _CaseJson(TypedDict):
    prediction_file: str
    reference_file: NotRequired[str]
    metrics: dict[str, dict[str, float]]
    ignored_voxels: NotRequired[int]


class _SettingsJson(TypedDict):
    unit: NotRequired[str]
    spacing: NotRequired[list[float] | None]


class _IgnoredJson(TypedDict):
    left_out: NotRequired[list[int]]


class _SummaryJson(TypedDict):
    """What a comparison relies on; nnU-Net writes the first."""

    metric_per_case: list[_CaseJson]
    class_names: NotRequired[dict[str, str]]
    connectivity: NotRequired[int | None]
    settings: NotRequired[_SettingsJson]
    ignored: NotRequired[_IgnoredJson | None]


Counts = TypeVar("Counts")  # has +


def summarize(
    cases: list[dict[str, Any]], class_names: dict[str, str], connectivity: int | None = None
) -> Summary:
    """Average the entries of ``metric_per_case`` per class, then over the foreground classes.

    Parameters
    ----------
    cases : list of dict
        Each with ``reference_file``, ``prediction_file`` and ``metrics`` (class key to metric to value).
    class_names : dict
        Class key to the name in dataset.json.
    connectivity : int, optional
        What the Betti numbers were computed with (None: full); only noted.

    Returns
    -------
    dict
        ``metric_per_case``, ``mean``, ``foreground_mean`` as in nnU-Net, keys as strings, and
        ``class_names`` and ``connectivity``. NaN is left out of means. The foreground mean is the mean
        of the classes' means; nnU-Net's is NaN as soon as one class occurs nowhere, this one is not.
    """
    metrics = list(next(iter(cases[0]["metrics"].values())))
    mean = {
        key: {metric: nan_mean(case["metrics"][key][metric] for case in cases) for metric in metrics}
        for key in class_names
    }
    foreground = {metric: nan_mean(values[metric] for values in mean.values()) for metric in metrics}
    return {
        "metric_per_case": cases,
        "mean": mean,
        "foreground_mean": foreground,
        "class_names": class_names,
        "connectivity": connectivity,
    }


def save_summary(summary: Summary, path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Write a summary as JSON, and beside it a CSV file with one row per case and class.

    NaN is written as nnU-Net writes it: ``NaN`` in the JSON (read by Python and nnU-Net, not by strict
    parsers), empty in the CSV. Neither file is ever half-written.

    Returns
    -------
    (Path, Path)
        The JSON file and the CSV file.

    Raises
    ------
    UserError
        If `path` does not end in ``.json`` or cannot be written.
    """
    json_file = Path(path)
    if json_file.suffix != ".json":
        raise UserError(f"{json_file}: the name of the summary has to end in .json.")
    csv_file = json_file.with_suffix(".csv")
    rows = [
        {
            "case": Path(case["prediction_file"]).name,
            "class": key,
            "name": summary["class_names"][key],
            **values,
        }
        for case in summary["metric_per_case"]
        for key, values in case["metrics"].items()
    ]
    text = json.dumps(summary, indent=4, sort_keys=True)
    write_texts({json_file: text, csv_file: to_csv(rows)})
    return json_file, csv_file


def load_summary(path: str | os.PathLike[str]) -> Summary:
    """Read a summary written by `save_summary` or by nnU-Net.

    Raises
    ------
    UserError
        If the file is missing, is not JSON, or is not such a summary.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError(f"There is no file {file}. `nnunet_ext evaluate` writes one.")
    summary: Summary = read_json(file, _REMEDY, _SummaryJson)
    metrics = [
        {key: set(values) for key, values in case["metrics"].items()} for case in summary["metric_per_case"]
    ]
    if not metrics or not metrics[0] or not all(metrics[0].values()):
        raise UserError(f"{file}: it has no case, or no metric. {_REMEDY}")
    if any(other != metrics[0] for other in metrics):
        raise UserError(f"{file}: the cases have different classes or metrics. {_REMEDY}")
    return summary


def nan_mean(values: Iterable[float]) -> float:
    """Mean of the values that are not NaN; NaN (and no warning) if there is none."""
    numbers = [value for value in values if not math.isnan(value)]
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


def pool(cases: Iterable[Iterable[Counts]]) -> list[Counts]:
    """Sum the counts of all cases: the first of every case, the second of every case, and so on."""
    return [reduce(add, counts) for counts in zip(*cases, strict=True)]


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with equal keys as CSV text with a header; NaN becomes an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if value != value else value for key, value in row.items()})
    return text.getvalue()
