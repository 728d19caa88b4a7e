"""The contact sheet of a dataset: a row per case, its images with the contours of the labels, its numbers.

`sheet` reads the cases and chooses what is shown of them, so that one volume after the other can be let go;
`draw` makes the picture of what was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from nnunet_ext.errors import UnusableCase
from nnunet_ext.figures.style import CLASSES, IGNORED, grey_range, legend, pieces, save, shortened, show
from nnunet_ext.nnunet_files.raw_dataset import RawCase, RawDataset
from nnunet_ext.worker_pool import Progress, silent

_WIDTH, _HEIGHT, _TEXT = 3.3, 3.1, 2.6  # inches
_LETTER = 0.11  # inches, of the heading
_CHANNELS = 3  # of a volume that are shown


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


@dataclass(frozen=True)
class CaseFacts:
    """Numbers of one case.

    Attributes
    ----------
    case : str
        Its id.
    shape : tuple of int
        (y, x) or (z, y, x).
    spacing : tuple of float
        In the same order, the image's; ones where it states none.
    is_stated : bool
        Whether it states one.
    ranges : tuple of (float, float)
        Least and greatest finite value per channel; NaN without any.
    voxels : dict
        Label -> number of voxels.
    notes : tuple of str
        What is odd about the case.
    """

    case: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    is_stated: bool
    ranges: tuple[tuple[float, float], ...]
    voxels: dict[int, int]
    notes: tuple[str, ...] = ()

    def range_text(self, channel: int) -> str:
        """The least and the greatest value of a channel in words."""
        low, high = self.ranges[channel]
        return "no number" if np.isnan(low) else f"{low:.4g} to {high:.4g}"

    @property
    def spacing_text(self) -> str:
        """The spacing in words."""
        return " x ".join(f"{step:.4g}" for step in self.spacing) if self.is_stated else "not stated"


def spread(cases: Sequence[str], number: int) -> list[str]:
    """Return so many of the cases, evenly spread over their sorted names, the first and the last included.

    Examples
    --------
    >>> spread(["a", "b", "c", "d", "e"], 3)
    ['a', 'c', 'e']
    """
    ordered = sorted(cases)
    places = np.linspace(0, len(ordered) - 1, min(number, len(ordered))).round().astype(int)
    return [ordered[place] for place in places]


def sheet(
    raw: RawDataset, cases: Sequence[str], names: Mapping[int, str], progress: Progress = silent
) -> tuple[list[Row], list[CaseFacts], list[UnusableCase]]:
    """Read cases, one at a time, and choose what to show of them; the last are those that cannot be used.

    Of a volume these are a slice along each axis and the maximum projection along z. The slice is the middle
    one, or, where that has less than half the labelled voxels of the fullest one, the fullest.
    """
    made: Iterator[tuple[Row, CaseFacts] | UnusableCase] = (_row(raw, case, names) for case in cases)
    results = list(progress(made, len(cases), "Reading cases"))
    good = [result for result in results if not isinstance(result, UnusableCase)]
    problems = [result for result in results if isinstance(result, UnusableCase)]
    return [row for row, _ in good], [facts for _, facts in good], problems


def draw(rows: Sequence[Row], names: Mapping[int, str], ignored: int | None, path: Path, title: str) -> None:
    """Save the sheet, whole or not at all.

    Parameters
    ----------
    rows : sequence of Row
        At least one.
    names : mapping
        Label -> name of the class, for the legend; the background is not drawn.
    ignored : int or None
        The label that is filled with grey instead of outlined.
    path : Path
        The picture; its folder is made, an existing file replaced.
    title : str
        Above everything.
    """
    columns = max(len(row.panels) for row in rows)
    size = (_WIDTH * columns + _TEXT, _HEIGHT * len(rows) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    widths = [_WIDTH] * columns + [_TEXT]
    grid = figure.subplots(len(rows), columns + 1, squeeze=False, width_ratios=widths)
    colours = class_colours(names, ignored)
    for axes, row in zip(grid, rows, strict=True):
        for place, panel in zip(axes, row.panels, strict=False):
            _draw_panel(place, panel, colours, ignored)
        for place in axes[len(row.panels) :]:  # a flat image among volumes, and the text
            place.axis("off")
        style = {"fontsize": 8.5, "va": "top", "family": "monospace", "transform": axes[-1].transAxes}
        axes[-1].text(0, 1, row.text, **style)
    figure.suptitle("\n".join(pieces(title, int(size[0] / _LETTER))), fontsize=12)
    handles = [Line2D([], [], color=colours[label], linewidth=3) for label in colours]
    legend(figure, handles, [names[label] for label in colours])
    save(figure, path)


def class_colours(names: Mapping[int, str], ignored: int | None) -> dict[int, str]:
    """Return the colour of each class but the background."""
    drawn = [label for label in sorted(names) if label not in (0, ignored)]
    colours = {label: CLASSES[1 + i % (len(CLASSES) - 1)] for i, label in enumerate(drawn)}
    return colours | ({} if ignored is None else {ignored: IGNORED})


def telling_slice(labelled: NDArray[np.bool_], axis: int) -> int:
    """Return the middle slice along an axis, or the one with most labels where the middle has too few.

    Examples
    --------
    >>> telling_slice(np.array([[0, 1, 1], [0, 0, 0], [0, 1, 0]], bool), 0)
    0
    """
    counts = np.count_nonzero(labelled, axis=tuple(i for i in range(labelled.ndim) if i != axis))
    middle = len(counts) // 2
    return middle if 2 * counts[middle] >= counts.max() else int(counts.argmax())


def _row(raw: RawDataset, case: str, names: Mapping[int, str]) -> tuple[Row, CaseFacts] | UnusableCase:
    try:
        read = raw.read(case)
    except UnusableCase as problem:
        return problem
    labels = read.labels
    facts = CaseFacts(
        case,
        labels.shape,
        read.spacing,
        read.is_stated,
        tuple(_range(channel) for channel in read.channels),
        {label: int(np.count_nonzero(labels == label)) for label in names},
        tuple(filter(None, (read.note, _about_values(case, read.channels)))),
    )
    drawn = [label for label in names if label != 0]
    if labels.ndim == 2:
        panels = _image_panels(read, drawn, raw.channel_names, case)
    else:
        panels = _volume_panels(
            read.channels, labels, drawn, raw.channel_names, facts, raw.classes.ignore_label
        )
    return Row(panels, _text(facts, names, raw.channel_names)), facts


def _range(channel: NDArray[Any]) -> tuple[float, float]:
    finite = channel[np.isfinite(channel)]
    return (float(finite.min()), float(finite.max())) if finite.size else (np.nan, np.nan)


def _about_values(case: str, channels: NDArray[Any]) -> str:
    """Say how many voxels are no numbers, or that all are equal."""
    odd = int(channels.size - np.count_nonzero(np.isfinite(channels)))
    if odd:
        return f"{case}: {odd} of {channels.size} values of the image are NaN or infinite"
    flat = [number for number, channel in enumerate(channels) if channel.min() == channel.max()]
    which = "" if len(channels) == 1 else f" in channel {', '.join(map(str, flat))}"
    return f"{case}: all values of the image are equal{which}" if flat else ""


def _image_panels(read: RawCase, drawn: Sequence[int], names: Sequence[str], case: str) -> tuple[Panel, ...]:
    """Return the image as it is, and with contours."""
    channels, aspect = read.channels, read.spacing[0] / read.spacing[1]
    is_colour = [name.upper() for name in names] == ["R", "G", "B"]
    pixels = whole_colours(channels) if is_colour else channels[0]
    what = "" if is_colour or len(channels) == 1 else f", {names[0]}"
    outlined = Panel("labels", pixels, _masks(read.labels, drawn), aspect)
    return Panel(f"{case}{what}", pixels, {}, aspect), outlined


def whole_colours(channels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return (y, x, 3) from 0 to 255; what goes beyond is scaled down."""
    pixels = np.nan_to_num(np.moveaxis(channels, 0, -1), nan=0.0, posinf=0.0, neginf=0.0)
    most = pixels.max(initial=0)
    return (pixels * (255 / most if most > 255 else 1)).clip(0, 255).astype(np.uint8)


def _volume_panels(
    channels: NDArray[Any],
    labels: NDArray[Any],
    drawn: Sequence[int],
    names: Sequence[str],
    facts: CaseFacts,
    ignored: int | None,
) -> tuple[Panel, ...]:
    """Return a z slice of each channel, a y and an x slice, and the maximum projection along z."""
    counted = (labels != 0) & (labels != ignored) if ignored is not None else labels != 0
    dz, dy, dx = facts.spacing
    where = [telling_slice(counted, axis) for axis in range(3)]
    panels = [
        Panel(
            f"{facts.case if not i else names[i]}, z {where[0]} of 0–{labels.shape[0] - 1}",
            channels[i][where[0]],
            _masks(labels[where[0]], drawn),
            dy / dx,
        )
        for i in range(min(_CHANNELS, len(channels)))
    ]
    for axis, letter, aspect in ((1, "y", dz / dx), (2, "x", dz / dy)):
        cut = labels.take(where[axis], axis)
        title = f"{letter} {where[axis]} of 0–{labels.shape[axis] - 1}"
        panels.append(Panel(title, channels[0].take(where[axis], axis), _masks(cut, drawn), aspect))
    masks = {label: (labels == label).any(0) for label in drawn if label != ignored}
    panels.append(Panel("maximum along z", channels[0].max(0), masks, dy / dx))
    return tuple(panels)


def _masks(labels: NDArray[Any], drawn: Sequence[int]) -> dict[int, NDArray[np.bool_]]:
    return {label: labels == label for label in drawn}


def _text(facts: CaseFacts, names: Mapping[int, str], channel_names: Sequence[str]) -> str:
    total = sum(facts.voxels.values())
    short = {label: shortened(name) for label, name in names.items()}
    width = max(map(len, short.values()))
    return "\n".join(
        [
            f"size    {' x '.join(map(str, facts.shape))}",
            f"spacing {facts.spacing_text}",
            "",
            *(
                f"{shortened(name)}: {facts.range_text(channel)}"
                for channel, name in enumerate(channel_names)
            ),
            "",
            *(
                f"{short[label]:<{width}} " + (f"{number / total:7.2%}" if number else "   none")
                for label, number in facts.voxels.items()
            ),
        ]
    )


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
