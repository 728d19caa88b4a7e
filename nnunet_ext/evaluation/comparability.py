"""Whether two summaries can be compared: the same truth, measured in the same way."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nnunet_ext.errors import UserError, some_of
from nnunet_ext.evaluation.instance_case import SHAPES
from nnunet_ext.evaluation.summary import Summary

_TRUTH = ("n_ref", "n_true")  # voxels, or instances, of the reference: the same whatever was predicted
_LISTED = 5
_BOTH = "Evaluate both in the same way."
_AB = ("A", "B")
Names = tuple[str, str]


def check_comparable(a: Summary, b: Summary, metrics: Iterable[str], names: Names = _AB) -> None:
    """Raise `UserError` if the summaries, of the same cases and classes, are of different truth or ways.

    Parameters
    ----------
    a, b : dict
        As `load_summary` returns.
    metrics : iterable of str
        Those to be compared: what has no influence on them may differ.
    names : (str, str)
        What the errors call the two.
    """
    _check_names(a, b, names)
    _check_ignored(a, b, names)
    _check_references(a, b, names)
    chosen = tuple(metrics)
    if any(metric.startswith("Beta") for metric in chosen) and "connectivity" in a and "connectivity" in b:
        ways = [1 if summary["connectivity"] == 1 else "full" for summary in (a, b)]
        if ways[0] != ways[1]:
            raise UserError(
                f"The β errors of {names[0]} are of connectivity {ways[0]}, of {names[1]} {ways[1]}. {_BOTH}"
            )
    contours = any(metric.startswith("ContourF1") for metric in chosen)
    shapes = any(metric.startswith(SHAPES) for metric in chosen)  # the same in every unit
    what = "contours" if contours else "shapes"
    for key in ("unit", "spacing") if contours else ("spacing",) if shapes else ():
        values = [summary.get("settings", {}).get(key) for summary in (a, b)]
        if values[0] != values[1]:
            raise UserError(
                f"The {what} of the summaries were measured differently: {key} {_words(values[0])} "
                f"in {names[0]}, {_words(values[1])} in {names[1]}. {_BOTH} Or compare without {what}: "
                "--metric PQ"
            )


def comparison_notes(a: Summary, b: Summary, names: Names = _AB) -> list[str]:
    """What the user has to know about two summaries that can be compared, in sentences."""
    notes = []
    for name, mine, other in ((names[0], a, b), (names[1], b, a)):
        only = [metric for metric in _metrics_of(mine) if metric not in _metrics_of(other)]
        if only:
            notes.append(f"Only in {name}, so not compared: {some_of(only, _LISTED)}.")
    references = [_by_name(summary, lambda case: Path(case.get("reference_file", ""))) for summary in (a, b)]
    for name, file in references[0].items():
        other_file = references[1].get(name, file)
        if _elsewhere(file, other_file):
            notes.append(
                f"The reference of {name} is {file} in {names[0]}, {other_file} in {names[1]}. Are they the "
                "same?"
            )
            break
    return notes


def same_numbers_note(a: Summary, b: Summary, names: Names = _AB) -> list[str]:
    """A text if two summaries cannot well be of different predictions."""
    if _numbers(a) != _numbers(b):
        return []
    return [f"All numbers of {names[0]} and {names[1]} are the same. Are they of the same predictions?"]


def stale_notes(file: Path, summary: Summary) -> list[str]:
    """Texts on predictions and references that were changed, or went, after their summary was written."""
    written = file.stat().st_mtime_ns
    notes = []
    for key, what in (("prediction_file", "predictions"), ("reference_file", "references")):
        paths = [_where(file, case[key]) for case in summary["metric_per_case"] if case.get(key)]
        newer = [p.name for p in paths if p.is_file() and p.stat().st_mtime_ns > written]
        gone = [p.name for p in paths if not p.is_file() and p.parent.is_dir()]
        for names, happened in ((newer, "changed"), (gone, "went")):
            if names:
                notes.append(
                    f"{file} is from before {len(names)} of its {len(paths)} {what} {happened} "
                    f"({some_of(names, _LISTED)}). Evaluate again."
                )
    return notes


def _check_names(a: Summary, b: Summary, names: Names) -> None:
    classes = a.get("class_names", {}), b.get("class_names", {})
    for key in classes[0]:
        pair = [of.get(key) for of in classes]
        if all(pair) and pair[0] != pair[1]:
            raise UserError(
                f"Class {key} is {pair[0]!r} in {names[0]} and {pair[1]!r} in {names[1]}: these are "
                "different datasets."
            )


def _check_ignored(a: Summary, b: Summary, names: Names) -> None:
    """What is not counted has to be the same; nnU-Net's own summaries do not say what it is."""
    if not all("ignored" in summary or "settings" in summary for summary in (a, b)):
        return
    ignored = [_by_name(summary, lambda case: case.get("ignored_voxels") or 0) for summary in (a, b)]
    differing = [name for name in ignored[0] if ignored[0][name] != ignored[1].get(name)]
    if differing:
        name = differing[0]
        raise UserError(
            f"What is not counted because nobody judged it differs in {len(differing)} cases: in {name} "
            f"{ignored[0][name]} voxels in {names[0]} and {ignored[1].get(name)} in {names[1]}. {_BOTH}"
        )


def _check_references(a: Summary, b: Summary, names: Names) -> None:
    if any(((summary.get("ignored") or {}).get("left_out") or [0])[0] for summary in (a, b)):
        return  # which reference instances count then also depends on the predictions
    truths = [_by_name(summary, _truth) for summary in (a, b)]
    differing = [name for name in truths[0] if not _agree(truths[0][name], truths[1].get(name, {}))]
    if differing:
        name = differing[0]
        one, other = truths[0][name], truths[1][name]
        key = next(key for key in one if key in other and one[key] != other[key])
        what = "voxels" if key[1] == "n_ref" else "instances"
        raise UserError(
            f"The references differ in {len(differing)} cases: class {key[0]} of {name} has {one[key]:g} "
            f"{what} in {names[0]} and {other[key]:g} in {names[1]}. Both must be evaluated against the same "
            "references."
        )


def _truth(case: dict[str, Any]) -> dict[tuple[str, str], float]:
    return {
        (key, metric): values[metric]
        for key, values in case["metrics"].items()
        for metric in _TRUTH
        if metric in values and not math.isnan(values[metric])
    }


def _agree(a: dict[Any, float], b: dict[Any, float]) -> bool:
    return all(a[key] == b[key] for key in a if key in b)


def _by_name(summary: Summary, value: Any) -> dict[str, Any]:
    return {Path(case["prediction_file"]).name: value(case) for case in summary["metric_per_case"]}


def _metrics_of(summary: Summary) -> list[str]:
    return list(next(iter(summary["metric_per_case"][0]["metrics"].values())))


def _numbers(summary: Summary) -> list[tuple[Any, ...]]:
    """All values, as text since NaN is no equal of itself."""
    return sorted(
        (Path(case["prediction_file"]).name, key, metric, str(value))
        for case in summary["metric_per_case"]
        for key, values in case["metrics"].items()
        for metric, value in values.items()
    )


def _elsewhere(a: Path, b: Path) -> bool:
    """Whether the last two folders differ, by which a dataset is known on any machine."""
    folders = a.parts[-3:-1], b.parts[-3:-1]
    length = min(map(len, folders))
    return length > 0 and folders[0][-length:] != folders[1][-length:]


def _where(summary_file: Path, file: str) -> Path:
    """The file as the summary names it; or, if that was on another machine, beside the summary."""
    path = Path(file)
    beside = summary_file.parent / path.name
    return beside if not path.is_file() and beside.is_file() else path


def _words(value: Any) -> str:
    if isinstance(value, list):
        return " x ".join(f"{number:g}" for number in value)
    return "as in the files" if value is None else str(value)
