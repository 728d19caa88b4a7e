"""``nnunet_ext evaluate``: a folder of predictions against a folder of references."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nnunet_ext.cli.console import out, say, track, warn
from nnunet_ext.cli.evaluation_tables import (
    class_tables,
    footnotes,
    ignored_line,
    instance_tables,
    unit_line,
)

_INSTANCES = "With --instances"  # heading of those options in the help


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
    ignore_headers: Annotated[
        bool,
        typer.Option(
            "--ignore-headers",
            help="Compare voxel by voxel, wherever the files say that prediction and reference lie.",
        ),
    ] = False,
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
    roundness: Annotated[
        bool,
        typer.Option(
            "--roundness",
            help="Also how round the instances are: sphericity and roundness.",
            rich_help_panel=_INSTANCES,
        ),
    ] = False,
    ignored: Annotated[
        Path | None,
        typer.Option(
            "--ignored",
            help="Folder of label maps whose ignore label says what nobody judged. Default: labelsTr beside "
            "instancesTr, labelsTs beside instancesTs.",
            rich_help_panel=_INSTANCES,
        ),
    ] = None,
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
        raise UserError(f"-o {target}: the name of the summary has to end in .json.")
    read = [reference, prediction, *(given for given in (dataset_json, ignored) if given)]
    try:
        for file in (target, target.with_suffix(".csv")):
            check_output(file, read)
    except UserError as error:
        if output:
            raise
        raise UserError(
            f"{error} Without -o the summary is written into the folder given with -pred: is it that of the "
            "predictions?"
        ) from error
    if instances:
        of_classes = {"--connectivity": connectivity, "--containment": containment}
        _refuse(of_classes, "does not go with --instances")
        summary = evaluate_instance_folders(
            reference,
            prediction,
            ious=ious or (),
            tolerances=tolerances,
            size_bins=size_bins,
            spacing=spacing,
            physical=physical,
            ignored=ignored,
            dataset_json=dataset_json,
            ignore_headers=ignore_headers,
            roundness=roundness,
            processes=processes,
            chill=chill,
            progress=track,
        )
        tables = instance_tables(summary)
    else:
        only = {"--iou": ious, "--tolerance": tolerances, "--size-bins": size_bins, "--spacing": spacing}
        _refuse(
            {**only, "--physical": physical, "--roundness": roundness, "--ignored": ignored},
            "is about instances: give --instances too",
        )
        summary = evaluate_folders(
            reference,
            prediction,
            dataset_json,
            processes=processes,
            connectivity=connectivity,
            containment=containment,
            ignore_headers=ignore_headers,
            chill=chill,
            progress=track,
        )
        tables = class_tables(summary)
    lines = [*footnotes(summary["foreground_mean"]), unit_line(summary), ignored_line(summary)]
    for table in tables:  # first: it took the time, and saving may fail
        out.print(table)
    for line in filter(None, lines):
        say(line)
    for note in summary["notes"]:
        warn(note)
    for file in save_summary(summary, target):
        say(f"Wrote {file}")


def _refuse(options: dict[str, Any], reason: str) -> None:
    from nnunet_ext.errors import UserError

    given = [flag for flag, value in options.items() if value not in (None, False)]
    if given:
        raise UserError(f"{given[0]} {reason}.")
