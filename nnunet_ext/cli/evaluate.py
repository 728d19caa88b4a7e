"""``nnunet_ext evaluate``: a folder of predictions against a folder of references."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from nnunet_ext.cli.console import out, track
from nnunet_ext.cli.containment_table import containment_table
from nnunet_ext.cli.instance_tables import instance_tables, ratio

if TYPE_CHECKING:
    from nnunet_ext.metrics.summary import Summary

COLUMNS = {"Dice": "Dice ↑", "clDice": "clDice ↑", "Beta0Error": "β0 error ↓", "Beta1Error": "β1 error ↓"}
INSTANCES = "With --instances"


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
        typer.Option("--iou", help="IoU thresholds beside .5.", rich_help_panel=INSTANCES),
    ] = None,
    tolerances: Annotated[
        list[float] | None,
        typer.Option(
            "--tolerance", help="Of contours. Default: 2 3 4 5 6 7 voxels.", rich_help_panel=INSTANCES
        ),
    ] = None,
    size_bins: Annotated[
        list[float] | None,
        typer.Option(
            help="Sizes between which instances are also evaluated. Default: thirds of the references.",
            rich_help_panel=INSTANCES,
        ),
    ] = None,
    spacing: Annotated[
        list[float] | None,
        typer.Option(help="Of voxels, (z) y x. Default: what the files say.", rich_help_panel=INSTANCES),
    ] = None,
    physical: Annotated[
        bool,
        typer.Option(
            "--physical", help="Tolerances and sizes in the spacing's unit.", rich_help_panel=INSTANCES
        ),
    ] = False,
) -> None:
    """Dice, clDice and Betti errors of predictions, per class or region; or PQ, F1, AJI … of instances.

    Example: nnunet_ext evaluate -ref labelsTs -pred predictions -np 4

    Example: nnunet_ext evaluate --instances -ref instancesTs -pred cells --iou .5 .75
    """
    from nnunet_ext.errors import UserError
    from nnunet_ext.metrics import evaluate_folders, evaluate_instance_folders, save_summary

    target = output or prediction / "evaluation.json"  # nnU-Net may have left a summary.json there
    if target.suffix != ".json":  # save_summary says so too, but after the work
        raise UserError(f"-o {target}: the summary is a .json file.")
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
            progress=_progress,
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
            progress=_progress,
        )
        tables = [summary_table(summary)]
        if "nesting" in summary:
            tables.append(containment_table(summary))
    for table in tables:  # first: it took the time, and saving may fail
        out.print(table)
    for file in save_summary(summary, target):
        out.print(f"Wrote {file}", markup=False, soft_wrap=True)


def _progress(cases: Iterable[Any], total: int) -> Iterable[Any]:
    return track(cases, total, "Evaluating")


def _refuse(options: dict[str, Any], reason: str) -> None:
    from nnunet_ext.errors import UserError

    given = [flag for flag, value in options.items() if value not in (None, False)]
    if given:
        raise UserError(f"{given[0]} {reason}.")


def summary_table(summary: Summary) -> Table:
    """The means of a summary: a row per class, then the foreground mean."""
    cases = summary["metric_per_case"]
    table = Table(title=f"{len(cases)} cases")
    table.add_column("class", min_width=12)
    for heading in (*COLUMNS.values(), "n cases"):
        table.add_column(heading, justify="right", no_wrap=True)
    for key, mean in summary["mean"].items():
        name = summary["class_names"].get(key, "")
        present = sum(not math.isnan(case["metrics"][key]["Dice"]) for case in cases)
        table.add_row(escape(f"{name} {key}".strip()), *_cells(mean), str(present))
    table.add_section()
    table.add_row("foreground mean", *_cells(summary["foreground_mean"]), str(len(cases)), style="bold")
    table.caption = "n cases: with the class in reference or prediction; –: none"
    return table


def _cells(mean: dict[str, float]) -> list[str]:
    return [ratio(mean[key]) for key in COLUMNS]
