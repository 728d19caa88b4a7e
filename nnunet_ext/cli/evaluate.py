"""``nnunet_ext evaluate``: a folder of predictions against a folder of references."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nnunet_ext.cli.console import decimal, number_table, out, say, track

if TYPE_CHECKING:
    from nnunet_ext.evaluation.summary import Summary

_INSTANCES = "With --instances"  # heading of those options in the help
# Key in the summary -> what the tables call it. RQ at IoU .5 is F1.
_OVERLAP = {"Dice": "Dice ↑", "clDice": "clDice ↑", "Beta0Error": "β0 error ↓", "Beta1Error": "β1 error ↓"}
_EXPOSED = {
    "ExposedSurface": "exposed surface",
    "ExposedComponents": "exposed components",
    "ExposedVoxels": "voxels in those",
}
_RATES = {"PQ": "PQ", "SQ": "SQ", "RQ": "RQ = F1", "P05": "P05 = precision", "recall": "recall"}


def evaluate(
    reference: Annotated[Path, typer.Option("-ref", help="Folder with the reference segmentations.")],
    prediction: Annotated[Path, typer.Option("-pred", help="Folder with the predicted segmentations.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", help="Summary to write, .json; a .csv goes beside it. Default: PRED/evaluation.json."
        ),
    ] = None,
    processes: Annotated[int, typer.Option("-np", min=1, help="Number of processes.")] = 1,
    dataset_json: Annotated[
        Path | None,
        typer.Option("-djfile", help="dataset.json. Default: the one in PRED, in REF or above REF."),
    ] = None,
    connectivity: Annotated[
        int | None,
        typer.Option(
            help="Neighbours for the β errors: 1 (4 or 6), or full: 2 in 2D, 3 in 3D (8, 26). Default: full."
        ),
    ] = None,
    chill: Annotated[
        bool, typer.Option("--chill", help="Accept references without a prediction, as nnU-Net's --chill.")
    ] = False,
    containment: Annotated[
        bool,
        typer.Option(
            "--containment",
            help="Measure how much of each label is not in the one before. Done without asking where "
            'dataset.json has a "nesting" or nested regions.',
        ),
    ] = False,
    instances: Annotated[
        bool,
        typer.Option("--instances", help="The files hold instance ids, not classes: PQ, F1, AJI, contours."),
    ] = False,
    ious: Annotated[
        list[float] | None,
        typer.Option("--iou", help="IoU thresholds beside .5.", rich_help_panel=_INSTANCES),
    ] = None,
    tolerances: Annotated[
        list[float] | None,
        typer.Option(
            "--tolerance", help="Of contours. Default: 2 3 4 5 6 7 voxels.", rich_help_panel=_INSTANCES
        ),
    ] = None,
    size_bins: Annotated[
        list[float] | None,
        typer.Option(
            help="Sizes between which instances are also evaluated. Default: thirds of the references.",
            rich_help_panel=_INSTANCES,
        ),
    ] = None,
    spacing: Annotated[
        list[float] | None,
        typer.Option(help="Of voxels, (z) y x. Default: what the files say.", rich_help_panel=_INSTANCES),
    ] = None,
    physical: Annotated[
        bool,
        typer.Option(
            "--physical", help="Tolerances and sizes in the spacing's unit.", rich_help_panel=_INSTANCES
        ),
    ] = False,
) -> None:
    """Dice, clDice and Betti errors of predictions, per class or region; or PQ, F1, AJI … of instances.

    Example: nnunet_ext evaluate -ref labelsTs -pred predictions -np 4

    Example: nnunet_ext evaluate --instances -ref instancesTs -pred cells --iou .5 .75
    """
    from nnunet_ext.errors import UserError
    from nnunet_ext.metrics import evaluate_folders, evaluate_instance_folders, save_summary
    from nnunet_ext.outputs import check_output

    target = output or prediction / "evaluation.json"  # nnU-Net may have left a summary.json there
    if target.suffix != ".json":  # save_summary says so too, but after the work
        raise UserError(f"-o {target}: the summary is a .json file.")
    read = [reference, prediction, *([dataset_json] if dataset_json else [])]
    for file in (target, target.with_suffix(".csv")):
        check_output(file, read)
    if instances:
        of_classes = {"-djfile": dataset_json, "--connectivity": connectivity, "--containment": containment}
        _refuse(of_classes, "does not go with --instances")
        summary = evaluate_instance_folders(
            reference,
            prediction,
            ious=ious or (),
            tolerances=tolerances,
            size_bins=size_bins,
            spacing=spacing,
            physical=physical,
            processes=processes,
            chill=chill,
            progress=track,
        )
        tables = instance_tables(summary)
    else:
        only = {"--iou": ious, "--tolerance": tolerances, "--size-bins": size_bins, "--spacing": spacing}
        _refuse({**only, "--physical": physical}, "is about instances: give --instances too")
        summary = evaluate_folders(
            reference,
            prediction,
            dataset_json,
            processes=processes,
            connectivity=connectivity,
            containment=containment,
            chill=chill,
            progress=track,
        )
        tables = class_tables(summary)
    for table in tables:  # first: it took the time, and saving may fail
        out.print(table)
    for file in save_summary(summary, target):
        say(f"Wrote {file}")


def _refuse(options: dict[str, Any], reason: str) -> None:
    from nnunet_ext.errors import UserError

    given = [flag for flag, value in options.items() if value not in (None, False)]
    if given:
        raise UserError(f"{given[0]} {reason}.")


def class_tables(summary: Summary) -> list[Table]:
    """The means of every class, and of nested classes what lies outside the class around them."""
    return [_overlap_table(summary), *([_containment_table(summary)] if "nesting" in summary else [])]


def instance_tables(summary: Summary) -> list[Table]:
    """Every metric as mean over cases and pooled, and the pooled ones by size."""
    return [_metrics_table(summary), _size_table(summary)]


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
    for title, rows in _sections(summary["settings"]).items():
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
