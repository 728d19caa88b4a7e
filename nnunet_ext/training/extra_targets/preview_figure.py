"""One picture of weight maps: a row per case with image, label, and the maps beside colour bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, PowerNorm
from matplotlib.figure import Figure

from nnunet_ext.figures.pictures import CLASSES, grey_range, save, show
from nnunet_ext.training.extra_targets.preview import CaseMaps


def draw(rows: Sequence[CaseMaps], class_names: Mapping[int, str], path: Path, caption: str = "") -> None:
    """Save the picture, whole or not at all.

    Parameters
    ----------
    rows : sequence of CaseMaps
        With the same maps in each.
    class_names : mapping
        Label -> name.
    path : Path
        The file; its folder is made, an existing file replaced.
    caption : str
        Below the panels.
    """
    columns = 2 + len(rows[0].maps)
    figure = Figure(figsize=(3.5 * columns, 3.1 * len(rows) + 0.5), layout="constrained")
    for axes, row in zip(figure.subplots(len(rows), columns, squeeze=False), rows, strict=True):
        low, high = grey_range(row.image)
        show(axes[0], row.image, row.title, cmap="gray", vmin=low, vmax=high)
        _show_labels(axes[1], row.labels, class_names)
        for panel, (title, weights) in zip(axes[2:], row.maps.items(), strict=True):
            top = np.nanmax(weights, initial=1e-6)
            # square root: a rare class may weigh hundreds of times the mean
            picture = show(panel, weights, title, cmap="viridis", norm=PowerNorm(0.5, vmin=0, vmax=top))
            figure.colorbar(picture, ax=panel, shrink=0.85)
    if caption:
        figure.supxlabel(caption, fontsize=9)
    save(figure, path)


def _show_labels(axes: Axes, labels: Any, class_names: Mapping[int, str]) -> None:
    """Each class in its own colour, with its name."""
    values = sorted(class_names)
    colours = [CLASSES[i % len(CLASSES)] for i in range(len(values))]
    edges = [values[0] - 0.5, *(value + 0.5 for value in values)]
    norm = BoundaryNorm(edges, len(values))
    picture = show(axes, labels, "label", cmap=ListedColormap(colours), norm=norm)
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    bar = axes.figure.colorbar(picture, ax=axes, shrink=0.85, ticks=middles, spacing="uniform")
    bar.ax.set_yticklabels([class_names[value] for value in values])
