"""Weight maps of raw cases, to choose a map and its parameters by looking before a training.

`preview` computes the maps of whole cases, as their weights depend on all of their voxels, and keeps of each
case one plane, or a square of it; `draw` makes the picture of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from nnunet_ext.figures.style import CLASSES, grey_range, save, shortened, show
from nnunet_ext.nnunet_files.raw_dataset import RawDataset
from nnunet_ext.training.extra_targets.target import ExtraTarget, plain_labels
from nnunet_ext.training.extra_targets.user_weights import weights_of_raw_case
from nnunet_ext.training.extra_targets.weight_maps import cell_instances, cell_labels
from nnunet_ext.worker_pool import Progress, silent


@dataclass(frozen=True)
class CaseMaps:
    """A plane of a case with its weight maps.

    Attributes
    ----------
    title : str
        The case, and which slice of it.
    image, labels : ndarray (y, x)
        First channel, and classes.
    maps : dict
        Title -> float32 (y, x), relative to the mean over the whole case, as the loss takes them; NaN where
        the label is ignored.
    aspect : float
        Height of a pixel by its width.
    note : str
        How the label file contradicts the image, or "".
    """

    title: str
    image: NDArray[Any]
    labels: NDArray[Any]
    maps: dict[str, NDArray[np.float32]]
    aspect: float = 1.0
    note: str = ""


def preview(
    dataset: str,
    targets: Mapping[str, Callable[[tuple[int, ...]], ExtraTarget] | None],
    cases: Sequence[str] = (),
    window: int | None = None,
    progress: Progress = silent,
) -> tuple[RawDataset, list[CaseMaps]]:
    """Compute weight maps of some training cases.

    Parameters
    ----------
    dataset : str
        Id or name in ``nnUNet_raw``.
    targets : mapping
        Title -> what returns the target for the labels that cells are made of; None for the user's weights.
    cases : sequence of str
        Default: the first one.
    window : int, optional
        Edge of a square, of each plane the part with the most cells. Default: the whole plane.
    progress : callable, optional
        Called with (cases, their number, what is being done); yields the cases, drawing a progress bar.

    Returns
    -------
    RawDataset, list of CaseMaps
        The dataset; a plane per case, of volumes the slice with the most cells. Class counts are those of
        these cases, not of a whole fold.

    Raises
    ------
    UserError
        If the dataset or a case is not there, or one cannot be read.
    """
    raw = RawDataset(dataset)
    cases = list(dict.fromkeys(cases)) or [min(raw.files)]
    raw.check(cases)
    cells = cell_labels(raw.content["labels"])
    made = {title: make and make(cells) for title, make in targets.items()}
    counts = np.zeros(max(raw.classes.labels) + 1, np.int64)
    for case in cases:  # read twice, rather than kept: some are large
        labels = raw.read(case).labels
        counts += np.bincount(labels[labels != raw.classes.ignore_label], minlength=len(counts))
    results: Iterator[CaseMaps] = (_case_maps(raw, case, made, counts, cells, window) for case in cases)
    return raw, list(progress(results, len(cases), "Weight maps"))


def weights(
    target: ExtraTarget,
    labels: NDArray[Any],
    spacing: Sequence[float],
    class_counts: NDArray[np.int64],
    ignore_label: int | None = None,
) -> NDArray[np.float32]:
    """The map of a label image, (y, x) or (z, y, x), as a training computes it for a patch."""
    plain = plain_labels(labels, ignore_label)
    return target.finish(target.compute(plain, spacing), plain, class_counts)[0]


def relative(maps: NDArray[Any], counted: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A map divided by its mean over the counted voxels, NaN elsewhere."""
    mean = maps[counted].mean() if counted.any() else 0.0
    return np.where(counted, maps / (mean or 1), np.nan).astype(np.float32)


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
        show(axes[0], row.image, row.title, cmap="gray", vmin=low, vmax=high, aspect=row.aspect)
        _show_labels(axes[1], row.labels, class_names, row.aspect)
        for panel, (title, shown) in zip(axes[2:], row.maps.items(), strict=True):
            top = float(np.nanmax(shown, initial=1e-6))
            # square root: a rare class may weigh hundreds of times the mean
            norm = PowerNorm(0.5, vmin=0, vmax=top)
            picture = show(panel, shown, title, cmap="viridis", norm=norm, aspect=row.aspect)
            figure.colorbar(picture, ax=panel, shrink=0.85)
    if caption:
        figure.supxlabel(caption, fontsize=9)
    save(figure, path)


def crowded_plane(instances: NDArray[Any], window: int | None = None) -> tuple[Any, str]:
    """Where most cells are: an index of a plane, or a square of it, and a text that names the slice.

    Parameters
    ----------
    instances : ndarray
        (y, x) or (z, y, x), 0 background.
    window : int, optional
        Edge of the square.

    Examples
    --------
    >>> crowded_plane(np.array([[[0, 0, 0]], [[1, 0, 2]], [[0, 0, 2]]]))
    ((1, slice(0, 1, None), slice(0, 3, None)), ', slice 1 of 0–2')
    """
    index: tuple[Any, ...] = ()
    place = ""
    if instances.ndim == 3:
        numbers = [len(np.unique(plane[plane != 0])) for plane in instances]
        middle = len(numbers) // 2
        best = max(range(len(numbers)), key=lambda z: (numbers[z], -abs(z - middle)))
        index, place = (best,), f", slice {best} of 0–{len(numbers) - 1}"
        instances = instances[best]
    size = instances.shape if window is None else [min(window, edge) for edge in instances.shape]
    start = _crowded_corner(instances, size)
    return (*index, *(slice(at, at + edge) for at, edge in zip(start, size, strict=True))), place


def _case_maps(
    raw: RawDataset,
    case: str,
    targets: Mapping[str, ExtraTarget | None],
    counts: NDArray[np.int64],
    cells: tuple[int, ...],
    window: int | None,
) -> CaseMaps:
    read = raw.read(case)
    image, labels = read.channels[0], read.labels
    ignore = raw.classes.ignore_label
    where, place = crowded_plane(cell_instances(labels, cells), window)
    counted = labels != ignore if ignore is not None else np.ones(labels.shape, bool)
    maps = {}
    for title, target in targets.items():
        if target is None:
            shown = weights_of_raw_case(raw, case, labels.shape)
        else:
            shown = weights(target, labels, read.spacing, counts, ignore)
        maps[title] = relative(shown, counted)[where]
    aspect = read.spacing[-2] / read.spacing[-1]
    return CaseMaps(f"{case}{place}", image[where], labels[where], maps, aspect, read.note)


def _crowded_corner(instances: NDArray[Any], size: Sequence[int]) -> list[int]:
    """First pixel of the window around the cell that has the most others near its centre."""
    if tuple(size) == instances.shape or not instances.any():
        return [(edge - length) // 2 for edge, length in zip(instances.shape, size, strict=True)]
    rows, columns = np.nonzero(instances)
    _, cell = np.unique(instances[rows, columns], return_inverse=True)
    number = np.bincount(cell)
    centres = np.stack([np.bincount(cell, at) / number for at in (rows, columns)], axis=1)
    near = cKDTree(centres / size).query_ball_point(centres / size, 0.5, p=np.inf, return_length=True)
    middle = centres[int(np.argmax(near))]
    return [
        int(np.clip(round(at - length / 2), 0, edge - length))
        for at, length, edge in zip(middle, size, instances.shape, strict=True)
    ]


def _show_labels(axes: Axes, labels: Any, class_names: Mapping[int, str], aspect: float) -> None:
    """Each class in its own colour, with its name."""
    values = sorted(class_names)
    colours = [CLASSES[i % len(CLASSES)] for i in range(len(values))]
    edges = [values[0] - 0.5, *(value + 0.5 for value in values)]
    norm = BoundaryNorm(edges, len(values))
    picture = show(axes, labels, "label", cmap=ListedColormap(colours), norm=norm, aspect=aspect)
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    bar = axes.figure.colorbar(picture, ax=axes, shrink=0.85, ticks=middles, spacing="uniform")
    for label in bar.ax.set_yticklabels([shortened(class_names[value]) for value in values]):
        label.set_parse_math(False)
