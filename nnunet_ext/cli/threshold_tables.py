"""How `nnunet_ext tune-thresholds` prints what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from nnunet_ext.cli.instance_tables import ratio

if TYPE_CHECKING:
    from nnunet_ext.thresholds.tuning import Tuning


def dice_table(tuning: Tuning) -> Table:
    """Threshold and Dice of every class before and after: of all cases, and of each of several folds."""
    table = Table(
        title="Validation Dice", caption="mean over cases, as in nnU-Net's summary; –: no case has it"
    )
    table.add_column("class", min_width=12)
    for heading in ("θ before", "θ after", "Dice before", "Dice after"):
        table.add_column(heading, justify="right", no_wrap=True)
    numbers: list[int | None] = [*range(len(tuning.folds))] if len(tuning.folds) > 1 else []
    for number in [*numbers, None]:
        of = [tuning.folds[number]] if number is not None else tuning.folds
        cases = sum(len(fold.files) for fold in of)
        table.add_section()
        name = " + ".join(fold.name for fold in of)
        table.add_row(f"fold {name}, {cases} cases", style="bold")
        before = np.array([fold.checkpoint.thresholds for fold in of])
        dice = tuning.dice(number)
        for k, label in enumerate(tuning.classes):
            theta = _threshold(before[0, k]) if np.ptp(before[:, k]) == 0 else "differs"
            cells = (theta, _threshold(tuning.thresholds[k]), *(ratio(values[k]) for values in dice))
            table.add_row(f"  {escape(label)}", *cells)
        if len(tuning.classes) > 1:
            every = np.ones(len(tuning.classes), bool)
            table.add_row("  mean", "", "", *(ratio(_mean(values, every)) for values in dice))
    return table


def fold_table(tuning: Tuning) -> Table:
    """What common thresholds cost each fold."""
    what = "mean Dice" if tuning.wanted.all() else f"Dice of {_wanted_name(tuning)}"
    table = Table(title="Common thresholds, and those of each fold alone", caption=_by_themselves(tuning))
    table.add_column("fold")
    for name in tuning.classes:
        table.add_column(f"own θ\n{escape(name)}", justify="right", no_wrap=True)
    for heading in (f"{what}\nwith own θ", "with\ncommon θ", "cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for k, (fold, own, cost) in enumerate(zip(tuning.folds, tuning.own, tuning.costs, strict=True)):
        scores = tuning.score(k, own), tuning.score(k, tuning.thresholds)
        table.add_row(fold.name, *map(_threshold, own), *map(ratio, scores), ratio(cost))
    return table


def agreement(tuning: Tuning) -> str:
    """Whether the folds agree, in a sentence."""
    from nnunet_ext.thresholds.tuning import AGREE

    costs = [cost for cost in tuning.costs if not np.isnan(cost)]
    largest = f"common thresholds cost no fold more than {max(costs):.4f} Dice"
    if tuning.agree:
        return f"The folds agree: {largest}."
    names = [fold.name for fold, cost in zip(tuning.folds, tuning.costs, strict=True) if cost > AGREE]
    return (
        f"The folds do not agree: common thresholds cost fold {', '.join(names)} more than {AGREE} Dice, up "
        f"to {max(costs):.4f}. Thresholds tuned on one of them would mislead the others."
    )


def beyond_their_level(tuning: Tuning) -> list[str]:
    """A sentence for every threshold that does not lie between its level and the one before."""
    levels = [level for chain in tuning.chains for level in range(1, len(chain.names) + 1)]
    return [
        f"θ of {name} is {theta:.3f}, not between {level - 1} and {level}: there the network does not tell "
        f"{name} from what is around it. Look at the curve (-o); longer training may help more."
        for name, theta, level in zip(tuning.classes, tuning.thresholds, levels, strict=True)
        if not level - 1 < theta < level
    ]


def _by_themselves(tuning: Tuning) -> str | None:
    return "chains by themselves, without their siblings" if len(tuning.chains) > 1 else None


def _wanted_name(tuning: Tuning) -> str:
    return escape(next(name for name, want in zip(tuning.classes, tuning.wanted, strict=True) if want))


def _threshold(value: Any) -> str:
    return f"{float(value):.3f}"


def _mean(values: Any, wanted: Any) -> float:
    from nnunet_ext.thresholds.search import objective

    return objective(values, wanted)
