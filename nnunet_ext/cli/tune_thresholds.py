"""``nnunet_ext tune-thresholds``: thresholds of nested classes from validation predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nnunet_ext.cli.console import err, out, track

if TYPE_CHECKING:
    from nnunet_ext.thresholds.model import TrainedModel
    from nnunet_ext.thresholds.tuning import Tuning


def tune_thresholds(
    dataset: Annotated[str, typer.Option("-d", help="Dataset id or name.")],
    configuration: Annotated[str, typer.Option("-c", help="Configuration, such as 2d.")],
    trainer: Annotated[str, typer.Option("-tr", help="A multi-level trainer.")],
    folds: Annotated[
        list[str], typer.Option("-f", "--folds", help="Fold, or folds to tune together: -f 0 1 2 3 4.")
    ],
    plans: Annotated[str, typer.Option("-p", help="Plans.")] = "nnUNetPlans",
    only: Annotated[
        str | None,
        typer.Option("--class", help="Maximise the Dice of this class. Default: the mean of all classes."),
    ] = None,
    checkpoint: Annotated[str, typer.Option("-chk", help="Checkpoint to tune.")] = "checkpoint_final.pth",
    output: Annotated[
        Path | None, typer.Option("-o", metavar="FIGURE.png", help="Picture of Dice against thresholds.")
    ] = None,
    processes: Annotated[int, typer.Option("-np", min=1, help="Number of processes.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show everything, change no checkpoint.")
    ] = False,
) -> None:
    """Tune the thresholds of a multi-level model on the validation predictions of its folds.

    Finds the increasing thresholds of the largest Dice over the validation cases, which nnUNetv2_train wrote
    with --npz, and puts them into the checkpoint; nnUNetv2_predict then uses them. The checkpoint as it was
    is kept beside it as checkpoint_final_untuned.pth. Running it again gives the same.

    Several folds are pooled: all get the same thresholds, and you are told whether they agree. If classes
    exclude each other, each chain of nested classes is tuned by itself.

    Example: nnunet_ext tune-thresholds -d 520 -c 2d -f 0 -tr nnUNetTrainerMultiLevelMCE -o thresholds.png
    """
    with err.status("loading nnU-Net …"):
        from nnunet_ext.thresholds.model import FINAL, TrainedModel
        from nnunet_ext.thresholds.tune import tune
    if output is not None:
        from nnunet_ext.figures.pictures import check_picture

        check_picture(output)
    model = TrainedModel(dataset, configuration, trainer, plans)
    if checkpoint != FINAL:
        err.print(
            f"The validation predictions have to be of {checkpoint}; nothing in them tells. nnUNetv2_train "
            f"makes them with {FINAL} unless told --val_best.",
            markup=False,
            soft_wrap=True,
        )
    tuning = tune(
        model,
        model.folds(folds, checkpoint),
        only,
        processes,
        lambda cases, total: track(cases, total, "Reading predictions"),
    )
    _show(tuning, output)
    _write(tuning, model, dry_run)


def _show(tuning: Tuning, output: Path | None) -> None:
    from nnunet_ext.cli.threshold_tables import agreement, beyond_their_level, dice_table, fold_table

    out.print(dice_table(tuning))
    if len(tuning.folds) > 1:
        out.print(fold_table(tuning))
        out.print(agreement(tuning), soft_wrap=True)
    for note in beyond_their_level(tuning):
        out.print(note, markup=False, soft_wrap=True)
    if output is not None:
        from nnunet_ext.thresholds.figure import draw

        draw(tuning, output)
        out.print(f"Wrote {output}", markup=False, soft_wrap=True)


def _write(tuning: Tuning, model: TrainedModel, dry_run: bool) -> None:
    from nnunet_ext.errors import UserError

    if len(tuning.chains) > 1 and tuning.gain < 0:
        raise UserError(
            f"Nothing was written: tuned by themselves, the chains together lose {-tuning.gain:.4f} Dice. "
            "Keep the thresholds as they are, or tune for one class with --class."
        )
    if dry_run:
        out.print("--dry-run: no checkpoint was changed.")
        return
    changed = tuning.write()
    for fold in tuning.folds:
        path = fold.checkpoint.path
        kept = f"Wrote {path}, untuned: {fold.checkpoint.untuned_path.name}"
        text = kept if path in changed else f"{path} has these thresholds already."
        out.print(text, markup=False, soft_wrap=True)
    if changed:
        out.print(
            "nnUNetv2_predict uses them from now on. The validation folders are still of the thresholds "
            "before; to make them again:",
            soft_wrap=True,
        )
        for fold in tuning.folds:
            command = model.validation_command(fold.name, fold.checkpoint.path.name)
            out.print(f"  {command}", markup=False, soft_wrap=True)
