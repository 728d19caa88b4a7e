"""One picture: image, truth and predictions, with breaks and false islands marked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cc3d
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from skimage.morphology import skeletonize

BREAK, ISLAND = "#e4572e", "#17bebb"


def _centres(mask: NDArray) -> NDArray:
    """Centroids (N, 2) of the 8-connected components of a mask."""
    components = cc3d.connected_components(mask, connectivity=8)
    return cc3d.statistics(components)["centroids"][1:]


def breaks(prediction: NDArray, truth: NDArray) -> NDArray:
    """Centres (N, 2) of the stretches where the truth's centre line is not predicted."""
    return _centres(skeletonize(truth > 0) & (prediction == 0))


def islands(prediction: NDArray, truth: NDArray) -> NDArray:
    """Centres (N, 2) of the predicted components that touch no true structure."""
    components = cc3d.connected_components(prediction > 0, connectivity=8)
    touching = np.unique(components[truth > 0])
    return _centres((components > 0) & ~np.isin(components, touching))


def _mark(axes: Axes, centres: NDArray, color: str) -> None:
    axes.scatter(centres[:, 1], centres[:, 0], s=160, facecolors="none", edgecolors=color, linewidths=1.8)


def _show(axes: Axes, image: NDArray, title: str) -> None:
    axes.imshow(image, cmap="gray", interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.axis("off")


def draw(
    image: NDArray, truth: NDArray, predictions: Mapping[str, NDArray], path: Path, caption: str
) -> None:
    """Save the figure.

    Parameters
    ----------
    image, truth : ndarray (y, x)
        Grey values, and the label (0 is background).
    predictions : mapping
        Title -> predicted label.
    path : Path
        The image file to write.
    caption : str
        Printed above the panels.
    """
    figure = Figure(figsize=(3.4 * (2 + len(predictions)), 4.2), layout="constrained")
    panels = figure.subplots(1, 2 + len(predictions))
    _show(panels[0], image, "image")
    _show(panels[1], truth > 0, "truth")
    for axes, (title, prediction) in zip(panels[2:], predictions.items(), strict=True):
        broken, false = breaks(prediction, truth), islands(prediction, truth)
        _show(axes, prediction > 0, f"{title}\n{len(broken)} breaks, {len(false)} false islands")
        _mark(axes, broken, BREAK)
        _mark(axes, false, ISLAND)
    for color, text in ((BREAK, "break in the centre line"), (ISLAND, "false island")):
        panels[1].scatter([], [], s=80, facecolors="none", edgecolors=color, linewidths=1.8, label=text)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(caption, fontsize=10)
    figure.savefig(path, dpi=110)
