"""One picture of tuned thresholds: Dice against each of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnunet_ext.evaluation.summary import nan_mean
from nnunet_ext.figures.style import CLASSES, save
from nnunet_ext.thresholds.dice import Chain, Floats, Values, candidates
from nnunet_ext.thresholds.tune import Tuning

OLD, NEW = "#9a9a9a", "#1b1b1b"


def draw(tuning: Tuning, path: Path) -> None:
    """Save the picture, whole or not at all: a panel per threshold, the others at their new values.

    Parameters
    ----------
    tuning : Tuning
        What to show.
    path : Path
        The file; its folder is made, an existing file replaced.
    """
    count = len(tuning.classes)
    before = np.array([fold.checkpoint.thresholds for fold in tuning.folds])
    figure = Figure(figsize=(0.6 + 3.8 * count, 3.9), layout="constrained")
    panels = figure.subplots(1, count, squeeze=False, sharey=True)[0]
    for chain in tuning.chains:
        for level, index in enumerate(range(*chain.place.indices(count))):
            _panel(panels[index], tuning, chain, level, before[:, index])
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        artists, labels = axes.get_legend_handles_labels()
        handles |= dict(zip(labels, artists, strict=True))
    figure.axes[0].set_ylabel("Dice")
    figure.legend([*handles.values()], [*handles], loc="outside lower center", ncols=6, frameon=False)
    save(figure, path)


def curves(chain: Chain, thresholds: Floats, level: int, fold: int | None = None) -> tuple[Floats, Values]:
    """Move one threshold of a chain between its neighbours.

    Returns
    -------
    values : ndarray
        float32 (n,), where it goes.
    dice : ndarray
        float64 (n, m), the mean Dice of each class of the chain there.
    """
    low, high = np.array([-np.inf, *thresholds[chain.place], np.inf])[[level, level + 2]]
    values = candidates(chain.presets)
    values = values[(values > low) & (values < high)]
    moved = np.tile(thresholds, (len(values), 1))
    moved[:, chain.place][:, level] = values
    return values, np.array([chain.mean_dice(theta, fold) for theta in moved])


def _panel(axes: Axes, tuning: Tuning, chain: Chain, level: int, before: Floats) -> None:
    wanted, first = tuning.wanted[chain.place], chain.place.start + 1  # the first colour is the background's
    for fold in range(len(chain.folds)) if len(chain.folds) > 1 else ():
        values, dice = curves(chain, tuning.thresholds, level, fold)
        label = "single folds" if fold == 0 else None
        axes.plot(values, [nan_mean(row[wanted]) for row in dice], color=OLD, linewidth=0.8, label=label)
    values, dice = curves(chain, tuning.thresholds, level)
    # the class before ends where this one begins
    for k in range(level if chain.regions else max(level - 1, 0), level + 1):
        axes.plot(values, dice[:, k], color=CLASSES[(first + k) % len(CLASSES)], label=chain.names[k])
    if wanted.sum() > 1:
        axes.plot(values, [nan_mean(row[wanted]) for row in dice], color=NEW, linewidth=2, label="mean")
    for number, old in enumerate(np.unique(before)):
        axes.axvline(float(old), color=OLD, linestyle="--", label="θ before" if number == 0 else None)
    new = float(tuning.thresholds[chain.place][level])
    axes.axvline(new, color=NEW, linewidth=1, label="θ tuned")
    axes.set_title(f"θ of {chain.names[level]}: {new:.3f}", fontsize=10)
    axes.set_xlabel("threshold")
