"""The demo's picture: image, truth and predictions, with breaks and false islands marked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cc3d
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, find_objects
from skimage.morphology import skeletonize

from nnunet_ext.arrays.components import label_components
from nnunet_ext.figures.style import save, show

_BREAK, _ISLAND = "#e4572e", "#17bebb"
_REACH = 6  # pixels around a gap in which the pieces of a vessel are counted


def breaks(prediction: NDArray, truth: NDArray) -> NDArray:
    """Centres (N, 2) of the places where the truth is connected and the prediction, within it, is not.

    Searched wherever the truth's centre line is not predicted, in a window of a few pixels around the gap: a
    hole in a vessel that stays connected around it is no break, nor is a missing end.
    """
    missed = skeletonize(truth > 0) & (prediction == 0)
    # Gaps a few pixels apart are one place to the eye.
    places = label_components(binary_dilation(missed, iterations=2))[0]
    centres = []
    for number, box in enumerate(find_objects(places), start=1):
        window = tuple(slice(max(0, s.start - _REACH), s.stop + _REACH) for s in box)
        gap = missed[window] & (places[window] == number)
        pieces = label_components(truth[window] > 0)[0]
        vessel = np.isin(pieces, pieces[gap])
        predicted = label_components(vessel & (prediction[window] > 0))[0]
        if predicted.max() > 1:
            centres.append(np.argwhere(missed & (places == number)).mean(0))
    return np.array(centres).reshape(-1, 2)


def islands(prediction: NDArray, truth: NDArray) -> NDArray:
    """Centres (N, 2) of the predicted components that touch no true structure."""
    components = label_components(prediction > 0)[0]
    touching = np.unique(components[truth > 0])
    false = label_components((components > 0) & ~np.isin(components, touching))[0]
    return cc3d.statistics(false)["centroids"][1:]


def draw(
    image: NDArray, truth: NDArray, predictions: Mapping[str, NDArray], path: Path, caption: str
) -> None:
    """Save the picture, whole or not at all.

    Parameters
    ----------
    image, truth : ndarray (y, x)
        Grey values, and the label (0 is background).
    predictions : mapping
        Title -> predicted label.
    path : Path
        The image file to write.
    caption : str
        Below the panels.
    """
    figure = Figure(figsize=(3.4 * (2 + len(predictions)), 4.7), layout="constrained")
    panels = figure.subplots(1, 2 + len(predictions))
    show(panels[0], image, "image", cmap="gray")
    show(panels[1], truth > 0, "truth", cmap="gray")
    for axes, (title, prediction) in zip(panels[2:], predictions.items(), strict=True):
        broken, false = breaks(prediction, truth), islands(prediction, truth)
        heading = f"{title}\n{len(broken)} breaks, {len(false)} false islands"
        show(axes, prediction > 0, heading, cmap="gray")
        _mark(axes, broken, _BREAK)
        _mark(axes, false, _ISLAND)
    for color, text in ((_BREAK, "break"), (_ISLAND, "false island")):
        panels[1].scatter([], [], s=80, facecolors="none", edgecolors=color, linewidths=1.8, label=text)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, title=caption)
    save(figure, path)


def _mark(axes: Axes, centres: NDArray, color: str) -> None:
    axes.scatter(centres[:, 1], centres[:, 0], s=160, facecolors="none", edgecolors=color, linewidths=1.8)
