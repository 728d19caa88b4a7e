"""One picture of tuned thresholds: Dice against each of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nnunet_ext.figures.style import CLASSES, save
from nnunet_ext.thresholds.chain import ChainCounts, cut
from nnunet_ext.thresholds.search import objective
from nnunet_ext.thresholds.tuning import Tuning

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
    lengths = [len(chain.names) for chain in tuning.chains]
    new, wanted = cut(tuning.thresholds, lengths), cut(tuning.wanted, lengths)
    old = [cut(fold.checkpoint.thresholds, lengths) for fold in tuning.folds]
    count = sum(lengths)
    figure = Figure(figsize=(0.6 + 3.8 * count, 3.9), layout="constrained")
    panels = iter(figure.subplots(1, count, squeeze=False, sharey=True)[0])
    for j, chain in enumerate(tuning.chains):
        first = sum(lengths[:j]) + 1
        colours = [CLASSES[k % len(CLASSES)] for k in range(first, first + lengths[j])]
        for level in range(lengths[j]):
            before = {float(theta[j][level]) for theta in old}
            _panel(next(panels), chain, wanted[j], new[j], level, before, colours)
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        artists, labels = axes.get_legend_handles_labels()
        handles |= dict(zip(labels, artists, strict=True))
    figure.axes[0].set_ylabel("Dice")
    figure.legend([*handles.values()], [*handles], loc="outside lower center", ncols=6, frameon=False)
    save(figure, path)


def _panel(
    axes: Axes,
    chain: ChainCounts,
    wanted: NDArray[np.bool_],
    new: NDArray,
    level: int,
    old: set[float],
    colours: list[str],
) -> None:
    for number, counts in enumerate(chain.folds if len(chain.folds) > 1 else []):
        places, dice = chain.curves(counts, new, level)
        label = "single folds" if number == 0 else None
        axes.plot(places, [objective(row, wanted) for row in dice], color=OLD, linewidth=0.8, label=label)
    places, dice = chain.curves(chain.pooled, new, level)
    first = level if chain.regions else max(level - 1, 0)  # the class before ends where this one begins
    for k in range(first, level + 1):
        axes.plot(places, dice[:, k], color=colours[k], label=chain.names[k])
    if wanted.sum() > 1:
        axes.plot(places, [objective(row, wanted) for row in dice], color=NEW, linewidth=2, label="mean")
    for number, theta in enumerate(sorted(old)):
        axes.axvline(theta, color=OLD, linestyle="--", label="θ before" if number == 0 else None)
    axes.axvline(float(new[level]), color=NEW, linewidth=1, label="θ tuned")
    axes.set_title(f"θ of {chain.names[level]}: {new[level]:.3f}", fontsize=10)
    axes.set_xlabel("threshold")
