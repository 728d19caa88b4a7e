"""``nnunet_ext tune-thresholds``: thresholds of nested classes from validation predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.table import Table

from nnunet_ext.cli.console import decimal, err, out, track
from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.summary import nan_mean

if TYPE_CHECKING:
    from nnunet_ext.thresholds.dice import Values
    from nnunet_ext.thresholds.model import Fold
    from nnunet_ext.thresholds.tune import Tuning


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
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Read the checkpoint even if it could run a program hidden in it."),
    ] = False,
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
        from nnunet_ext.figures.style import check_picture

        check_picture(output)
    model = TrainedModel(dataset, configuration, trainer, plans)
    if checkpoint != FINAL:
        err.print(
            f"The validation predictions have to be of {checkpoint}; nothing in them tells. nnUNetv2_train "
            f"makes them with {FINAL} unless told --val_best.",
            soft_wrap=True,
        )
    tuning = tune(model, model.folds(folds, checkpoint, trust), only, processes, track)
    _show(tuning, output)
    _write(tuning, dry_run)


def _show(tuning: Tuning, output: Path | None) -> None:
    """Print what tuning changes, and draw it."""
    out.print(_dice_table(tuning))
    if len(tuning.folds) > 1:
        out.print(_fold_table(tuning))
        out.print(_agreement(tuning), soft_wrap=True)
    for note in _beyond_their_level(tuning):
        out.print(note, soft_wrap=True)
    if output is not None:
        from nnunet_ext.figures.thresholds import draw

        draw(tuning, output)
        out.print(f"Wrote {output}", soft_wrap=True)


def _write(tuning: Tuning, dry_run: bool) -> None:
    """Change the checkpoints, and say so."""
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
        path, untuned = fold.checkpoint.path, fold.checkpoint.untuned_path.name
        text = (
            f"Wrote {path}, untuned: {untuned}"
            if path in changed
            else f"{path} has these thresholds already."
        )
        out.print(text, soft_wrap=True)
    if changed:
        out.print(
            "nnUNetv2_predict uses them from now on. The validation folders are still of the thresholds "
            "before; to make them again:",
            soft_wrap=True,
        )
        for fold in tuning.folds:
            out.print(f"  {fold.command}", soft_wrap=True)


def _dice_table(tuning: Tuning) -> Table:
    """Threshold and Dice of every class before and after: of each of several folds, and of all cases."""
    table = Table(
        title="Validation Dice", caption="mean over cases, as in nnU-Net's summary; –: no case has it"
    )
    table.add_column("class", min_width=12)
    for heading in ("θ before", "θ after", "Dice before", "Dice after"):
        table.add_column(heading, justify="right", no_wrap=True)
    for number, fold in enumerate(tuning.folds if len(tuning.folds) > 1 else ()):
        _add_section(table, tuning, [fold], tuning.dice(number))
    _add_section(table, tuning, tuning.folds, tuning.dice())
    return table


def _add_section(table: Table, tuning: Tuning, folds: list[Fold], dice: tuple[Values, Values]) -> None:
    cases = sum(len(fold.cases) for fold in folds)
    table.add_section()
    table.add_row(f"fold {' + '.join(fold.name for fold in folds)}, {cases} cases", style="bold")
    before = np.array([fold.checkpoint.thresholds for fold in folds])
    for k, name in enumerate(tuning.classes):
        theta = _threshold(before[0, k]) if np.ptp(before[:, k]) == 0 else "differs"
        after = _threshold(tuning.thresholds[k])
        table.add_row(f"  {name}", theta, after, *(decimal(values[k]) for values in dice))
    if len(tuning.classes) > 1:
        table.add_row("  mean", "", "", *(decimal(nan_mean(values)) for values in dice))


def _fold_table(tuning: Tuning) -> Table:
    """What common thresholds cost each fold."""
    wanted = [name for name, want in zip(tuning.classes, tuning.wanted, strict=True) if want]
    what = "mean Dice" if tuning.wanted.all() else f"Dice of {wanted[0]}"
    table = Table(
        title="Common thresholds, and those of each fold alone",
        caption="chains by themselves, without their siblings" if len(tuning.chains) > 1 else None,
    )
    table.add_column("fold")
    for name in tuning.classes:
        table.add_column(f"own θ\n{name}", justify="right", no_wrap=True)
    for heading in (f"{what}\nwith own θ", "with\ncommon θ", "cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for k, (fold, own, cost) in enumerate(zip(tuning.folds, tuning.own, tuning.costs, strict=True)):
        scores = tuning.score(k, own), tuning.score(k, tuning.thresholds), cost
        table.add_row(fold.name, *map(_threshold, own), *map(decimal, scores))
    return table


def _agreement(tuning: Tuning) -> str:
    """Whether the folds agree, in a sentence."""
    from nnunet_ext.thresholds.tune import AGREE

    largest = np.nanmax(tuning.costs)
    if tuning.agree:
        return f"The folds agree: common thresholds cost no fold more than {largest:.4f} Dice."
    names = [fold.name for fold, cost in zip(tuning.folds, tuning.costs, strict=True) if cost > AGREE]
    return (
        f"The folds do not agree: common thresholds cost fold {', '.join(names)} more than {AGREE} Dice, up "
        f"to {largest:.4f}. Thresholds tuned on one of them would mislead the others."
    )


def _beyond_their_level(tuning: Tuning) -> list[str]:
    """A sentence for every threshold that does not lie between its level and the one before."""
    levels = [level for chain in tuning.chains for level in range(1, len(chain.names) + 1)]
    return [
        f"θ of {name} is {theta:.3f}, not between {level - 1} and {level}: there the network does not tell "
        f"{name} from what is around it. Look at the curve (-o); longer training may help more."
        for name, theta, level in zip(tuning.classes, tuning.thresholds, levels, strict=True)
        if not level - 1 < theta < level
    ]


def _threshold(value: float) -> str:
    return f"{value:.3f}"
