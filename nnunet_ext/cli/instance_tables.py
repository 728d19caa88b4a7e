"""How `nnunet_ext evaluate --instances` prints its summary: all metrics, then the sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from nnunet_ext.metrics.summary import Summary

# Keys of a summary at IoU .5 -> heading. F1 and RQ are one number.
RATES = {"PQ": "PQ", "SQ": "SQ", "RQ": "RQ = F1", "P05": "P05 = precision", "recall": "recall"}


def instance_tables(summary: Summary) -> list[Table]:
    """Two tables: every metric as mean over cases and pooled, and the pooled ones by size."""
    return [_metrics_table(summary), _size_table(summary)]


def ratio(value: float) -> str:
    """Four decimals, or a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.4f}"


def _metrics_table(summary: Summary) -> Table:
    cases, mean, pooled = summary["metric_per_case"], summary["mean"]["instances"], summary["pooled"]
    table = Table(
        title=f"{len(cases)} cases: {pooled['n_true']} instances, {pooled['n_pred']} predicted",
        caption="higher is better; n cases: with instances in reference or prediction; –: none",
    )
    table.add_column("metric", min_width=22)
    for heading in ("mean of cases", "pooled", "n cases"):
        table.add_column(heading, justify="right", no_wrap=True)
    for title, rows in _sections(summary["settings"]).items():
        table.add_section()
        table.add_row(title, style="bold")
        for key, name in rows.items():
            present = sum(not math.isnan(case["metrics"]["instances"][key]) for case in cases)
            table.add_row(f"  {name}", ratio(mean[key]), ratio(pooled[key]), str(present))
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
        return dict(RATES)
    named = {**RATES, "P05": "precision"}  # that name is for .5
    return {f"{key.replace('P05', 'precision')}@{iou:g}": name for key, name in named.items()}


def _size_table(summary: Summary) -> Table:
    table = Table(
        title="By size, pooled, IoU > 0.5",
        caption="matches and missed by the size of the reference, false ones by their own",
    )
    table.add_column(f"size ({summary['settings']['unit']})", min_width=14)
    for heading in ("instances", *RATES):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in summary["by_size"]:
        table.add_row(_bounds(row), str(row["n_true"]), *(ratio(row[key]) for key in RATES))
    return table


def _bounds(row: Mapping[str, Any]) -> str:
    low, below = row["from"], row["below"]
    if below is None:
        return f"{_size(low)} and more" if low else "all"
    return f"{_size(low)} to below {_size(below)}" if low else f"below {_size(below)}"


def _size(size: float) -> str:
    return f"{size:.6g}" if size < 1e6 else f"{size:.0f}"
