"""The tables that `nnunet_ext evaluate` prints, with what their numbers mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from nnunet_ext.cli.console import decimal, number_table

if TYPE_CHECKING:
    from nnunet_ext.evaluation.summary import Summary

# One sentence each, for those who read the numbers for the first time.
_MEANING = {
    "clDice": "clDice: how much of each map's centre lines lies in the objects of the other, 0 to 1.",
    "Beta0Error": "β0 error: how many separate pieces the prediction has too many or too few.",
    "Beta1Error": "β1 error: the same of holes (in 3D of tunnels).",
}
# Key in the summary -> what the tables call it. RQ at IoU .5 is F1.
_OVERLAP = {"Dice": "Dice ↑", "clDice": "clDice ↑", "Beta0Error": "β0 error ↓", "Beta1Error": "β1 error ↓"}
_EXPOSED = {
    "ExposedSurface": "exposed surface",
    "ExposedComponents": "exposed components",
    "ExposedVoxels": "voxels in those",
}
_SHAPE = {
    "Roundness": "roundness",
    "Roundness_ref": "  of the reference",
    "RoundnessError": "  difference ↓",
    "Sphericity": "sphericity",
    "Sphericity_ref": "  of the reference",
    "SphericityError": "  difference ↓",
}
_RATES = {"PQ": "PQ", "SQ": "SQ", "RQ": "RQ = F1", "P05": "P05 = precision", "recall": "recall"}


def class_tables(summary: Summary) -> list[Table]:
    """The means of every class, and of nested classes what lies outside the class around them."""
    return [_overlap_table(summary), *([_containment_table(summary)] if "nesting" in summary else [])]


def instance_tables(summary: Summary) -> list[Table]:
    """Every metric as mean over cases and pooled, and the pooled ones by size."""
    return [_metrics_table(summary), _size_table(summary)]


def footnotes(metrics: Iterable[str]) -> list[str]:
    """What those of the metrics mean that are not known to everybody."""
    printed = set(metrics)
    return [f"  {text}" for metric, text in _MEANING.items() if metric in printed]


def unit_line(summary: Summary) -> str:
    """What the physical unit is, for those who know the voxels of their images; "" for voxels."""
    settings = summary.get("settings", {})
    if settings.get("unit") != "physical":
        return ""
    edges = " x ".join(f"{edge:g}" for edge in settings["first_spacing"])
    first = summary["metric_per_case"][0]["reference_file"]
    return f"Physical: tolerances and sizes are in the unit in which a voxel of {first} measures {edges}."


def ignored_line(summary: Summary) -> str:
    """What was left out because nobody judged it; "" if nothing was."""
    ignored = summary["ignored"]
    if ignored is None:
        return ""
    share, label = 100 * ignored["voxels"] / ignored["of_voxels"], f"the ignore label ({ignored['label']})"
    text = f"Not judged: {ignored['voxels']} voxels ({share:.3g} %) with {label}"
    if "left_out" not in ignored:
        return f"{text}. They are not counted."
    missed, predicted = ignored["left_out"]
    return (
        f"{text} of {ignored['labels']}. They are not counted, and neither are instances mostly in there: "
        f"{predicted} predicted, {missed} of the reference."
    )


def _overlap_table(summary: Summary) -> Table:
    """A row per class, then the foreground mean."""
    cases = summary["metric_per_case"]
    table = number_table(
        "class",
        (*_OVERLAP.values(), "n cases"),
        title=f"{len(cases)} cases",
        caption="n cases: with the class in reference or prediction; –: none",
    )
    for key, mean in summary["mean"].items():
        name = f"{summary['class_names'].get(key, '')} {key}".strip()
        table.add_row(name, *_row(mean, _OVERLAP), _cases_with(cases, key, "Dice"))
    table.add_section()
    mean = summary["foreground_mean"]
    table.add_row("foreground mean", *_row(mean, _OVERLAP), str(len(cases)), style="bold")
    return table


def _containment_table(summary: Summary) -> Table:
    """Under each nested class its shares, of the predictions and of the references."""
    table = number_table(
        "class\n  share",
        ("mean of\ncases ↓", "pooled ↓", "n cases", "ref.\nmean", "ref.\npooled"),
        min_width=26,
        title="Containment",
        caption="↓ lower is better; ref.: the same of the reference itself; –: class absent",
    )
    for key, nested in summary["nesting"].items():
        both = (summary["mean"][key], summary["pooled"][key])
        table.add_section()
        table.add_row(f"{summary['class_names'][key]} {key} in {nested['outer_name']}", style="bold")
        for share, name in _EXPOSED.items():
            predicted, reference = ([decimal(of[k]) for of in both] for k in (share, f"{share}_ref"))
            present = _cases_with(summary["metric_per_case"], key, share)
            table.add_row(f"  {name}", *predicted, present, *reference)
    return table


def _metrics_table(summary: Summary) -> Table:
    """A row per metric, grouped by IoU threshold; contours and AJI last."""
    cases, mean, pooled = summary["metric_per_case"], summary["mean"]["instances"], summary["pooled"]
    table = number_table(
        "metric",
        ("mean of cases", "pooled", "n cases"),
        min_width=22,
        title=f"{len(cases)} cases: {pooled['n_true']} instances, {pooled['n_pred']} predicted",
        caption="higher is better; n cases: with instances in reference or prediction; –: none",
    )
    sections = _sections(summary["settings"])
    if "Roundness" in mean:
        sections["Shape, all instances"] = _SHAPE
    for title, rows in sections.items():
        table.add_section()
        table.add_row(title, style="bold")
        for key, name in rows.items():
            present = _cases_with(cases, "instances", key)
            table.add_row(f"  {name}", decimal(mean[key]), decimal(pooled[key]), present)
    return table


def _sections(settings: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Title -> key in the summary -> name in the table."""
    sections = {f"IoU > {iou:g}": _rates(iou) for iou in settings["ious"]}
    sections["IoU > 0.5"].update(
        {"mean_matched_dice": "Dice of matches", "mean_true_dice": "Dice, missed as 0"}
    )
    unit = settings["unit"].replace("physical", "(physical)")
    sections["Contours and AJI"] = {
        "AJI": "AJI",
        **{f"ContourF1@{t:g}": f"contour F1, {t:g} {unit}" for t in settings["tolerances"]},
    }
    return sections


def _rates(iou: float) -> dict[str, str]:
    if iou == 0.5:
        return dict(_RATES)
    named = {**_RATES, "P05": "precision"}  # that name is for .5
    return {f"{key.replace('P05', 'precision')}@{iou:g}": name for key, name in named.items()}


def _size_table(summary: Summary) -> Table:
    table = number_table(
        f"size ({summary['settings']['unit']})",
        ("instances", *_RATES),
        min_width=14,
        title="By size, pooled, IoU > 0.5",
        caption="matches and missed by the size of the reference, false ones by their own",
    )
    for row in summary["by_size"]:
        table.add_row(_bounds(row), str(row["n_true"]), *_row(row, _RATES))
    return table


def _bounds(row: Mapping[str, Any]) -> str:
    low, below = row["from"], row["below"]
    if below is None:
        return f"{_size(low)} and more" if low else "all"
    return f"{_size(low)} to below {_size(below)}" if low else f"below {_size(below)}"


def _size(size: float) -> str:
    return f"{size:.6g}" if size < 1e6 else f"{size:.0f}"


def _row(values: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    return [decimal(values[key]) for key in keys]


def _cases_with(cases: Sequence[Mapping[str, Any]], key: str, metric: str) -> str:
    """Count the cases in which the metric of a class could be taken."""
    return str(sum(not math.isnan(case["metrics"][key][metric]) for case in cases))
