"""The contact sheet of a dataset: a row per case, its images with the contours of the labels, its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from nnunet_ext.figures.pictures import CLASSES, IGNORED, grey_range, save, show

_WIDTH, _HEIGHT, _TEXT = 3.3, 3.1, 2.6  # inches


@dataclass(frozen=True)
class Panel:
    """One image of the sheet.

    Attributes
    ----------
    title : str
        What it is.
    pixels : ndarray
        (y, x) grey, or (y, x, 3) colours from 0 to 255.
    masks : mapping
        Label -> bool (y, x), drawn as contours; empty for an image without.
    aspect : float
        Height of a pixel by its width.
    """

    title: str
    pixels: NDArray[Any]
    masks: Mapping[int, NDArray[np.bool_]]
    aspect: float = 1.0


@dataclass(frozen=True)
class Row:
    """One case: its panels, and lines of text beside them."""

    panels: tuple[Panel, ...]
    text: str


def draw(rows: Sequence[Row], names: Mapping[int, str], ignored: int | None, path: Path, title: str) -> None:
    """Save the sheet, whole or not at all.

    Parameters
    ----------
    rows : sequence of Row
        With equally many panels.
    names : mapping
        Label -> name of the class, for the legend; the background is not drawn.
    ignored : int or None
        The label that is filled with grey instead of outlined.
    path : Path
        The picture; its folder is made, an existing file replaced.
    title : str
        Above everything.
    """
    columns = len(rows[0].panels)
    size = (_WIDTH * columns + _TEXT, _HEIGHT * len(rows) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    widths = [_WIDTH] * columns + [_TEXT]
    grid = figure.subplots(len(rows), columns + 1, squeeze=False, width_ratios=widths)
    colours = class_colours(names, ignored)
    for axes, row in zip(grid, rows, strict=True):
        for place, panel in zip(axes, row.panels, strict=False):
            _draw_panel(place, panel, colours, ignored)
        axes[-1].axis("off")
        style = {"fontsize": 8.5, "va": "top", "family": "monospace", "transform": axes[-1].transAxes}
        axes[-1].text(0, 1, row.text, **style)
    figure.suptitle(title, fontsize=12)
    handles = [Line2D([], [], color=colours[label], label=names[label], linewidth=3) for label in colours]
    figure.legend(handles=handles, loc="outside lower center", ncols=max(1, len(handles)), frameon=False)
    save(figure, path)


def class_colours(names: Mapping[int, str], ignored: int | None) -> dict[int, str]:
    """Return the colour of each class but the background."""
    drawn = [label for label in sorted(names) if label not in (0, ignored)]
    colours = {label: CLASSES[1 + i % (len(CLASSES) - 1)] for i, label in enumerate(drawn)}
    return colours | ({} if ignored is None else {ignored: IGNORED})


def _draw_panel(axes: Axes, panel: Panel, colours: Mapping[int, str], ignored: int | None) -> None:
    style: dict[str, Any] = {"aspect": panel.aspect}
    if panel.pixels.ndim == 2:
        low, high = grey_range(panel.pixels)
        style |= {"cmap": "gray", "vmin": low, "vmax": high}
    show(axes, panel.pixels, panel.title, **style)
    for label, mask in panel.masks.items():
        if label == ignored:
            axes.imshow(mask[..., None] * np.array(to_rgba(IGNORED, 0.6)), aspect=panel.aspect)
        elif mask.any():
            # a frame of background, so that objects at the border are closed
            framed = np.pad(mask, 1).astype(np.uint8)
            rows, columns = (np.arange(-1, edge + 1) for edge in mask.shape)
            axes.contour(columns, rows, framed, levels=[0.5], colors=colours[label], linewidths=0.9)
    height, width = panel.pixels.shape[:2]
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
