"""The plots of a report, as SVG that a page can show."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.comparison import ARROWS
from nnunet_ext.figures.style import CLASSES, shortened
from nnunet_ext.nnunet_files.checkpoint import CHECKPOINTS, load_checkpoint
from nnunet_ext.report.content import CaseTable

_COLOURS = CLASSES[1:]


def metric_plot(table: CaseTable, names: Sequence[str]) -> str:
    """A box for each model over the dots of its cases; a line joins what is one case. As a data address."""
    figure = Figure(figsize=(1.6 + 1.1 * len(names), 3.2), layout="constrained")
    axes = figure.subplots()
    values = np.array(list(table.values.values()), dtype=float)
    places = np.arange(len(names))
    for row in values:
        axes.plot(places, row, color="#8a8a8a", linewidth=0.6, alpha=min(1.0, 12 / len(values) + 0.08))
    for place, column in zip(places, values.T, strict=True):
        colour = _COLOURS[place % len(_COLOURS)]
        finite = column[np.isfinite(column)]
        axes.plot(np.full(finite.size, place), finite, "o", color=colour, markersize=3.2, alpha=0.7)
        if finite.size:
            box = axes.boxplot([finite], positions=[place], widths=0.42, showfliers=False)
            for lines in box.values():
                for line in lines:
                    line.set(color="#222222", linewidth=1.1)
    axes.set_xticks(places, [shortened(name, 16) for name in names])
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylabel(table.metric + ARROWS[table.higher_is_better])
    axes.spines[["top", "right"]].set_visible(False)
    return _address(figure)


def curves(trainings: Mapping[str, Sequence[Path]]) -> tuple[str, list[str]]:
    """Losses and pseudo-Dice of all trainings, as a data address, and what is missing.

    Parameters
    ----------
    trainings : mapping
        Model -> nnU-Net's folders of its trainings.

    Returns
    -------
    (str, list of str)
        "" if there is no training with a log.
    """
    missing, drawn = [], 0
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    loss, dice = figure.subplots(1, 2)
    for number, (name, folders) in enumerate(trainings.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        for folder in folders:
            try:
                log = _log_of(folder)
            except UserError as error:
                missing.append(str(error))
                continue
            label = shortened(name) if folder == folders[0] else "_"
            loss.plot(log["train_losses"], color=colour, linewidth=1.1, label=label)
            loss.plot(log["val_losses"], color=colour, linewidth=0.8, linestyle=":")
            dice.plot(log["mean_fg_dice"], color=colour, linewidth=0.6, alpha=0.5)
            dice.plot(log["ema_fg_dice"], color=colour, linewidth=1.3)
            drawn += 1
    if not drawn:
        return "", missing
    loss.set(xlabel="epoch", ylabel="loss (dotted: validation)")
    dice.set(xlabel="epoch", ylabel="pseudo-Dice (bold: moving average)")
    for axes in (loss, dice):
        axes.spines[["top", "right"]].set_visible(False)
    loss.legend(frameon=False, fontsize=8)
    return _address(figure), missing


def _log_of(folder: Path) -> dict[str, list[float]]:
    """What nnU-Net's logger wrote into the checkpoint of a training."""
    file = next((folder / name for name in CHECKPOINTS if (folder / name).is_file()), None)
    if file is None:
        raise UserError(f"{folder} has no checkpoint, so no curve.")
    log: dict[str, Any] = load_checkpoint(file, mapped=True).get("logging") or {}
    names = ("train_losses", "val_losses", "mean_fg_dice", "ema_fg_dice")
    if any(not isinstance(log.get(name), list) for name in names):
        raise UserError(f"{file} has no curves.")
    return {name: [_number(value) for value in log[name]] for name in names}


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _address(figure: Figure) -> str:
    """A figure as the address of an image that holds it: SVG, its text as text."""
    content = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "nnunet-ext"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
