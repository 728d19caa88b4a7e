"""The picture of one case: image, truth, each prediction, with its mistakes marked and counted."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from nnunet_ext.evaluation.case_mistakes import Mistakes, count_mistakes, find_mistakes, is_counted
from nnunet_ext.evaluation.case_view import CaseView
from nnunet_ext.figures.case_marks import draw_marks, in_words, legend_of
from nnunet_ext.figures.case_panels import (
    ONLY_TRUTH,
    TRUTH,
    Pixels,
    class_colour,
    image_pixels,
    prediction_pixels,
    truth_pixels,
)
from nnunet_ext.figures.case_planes import Plane, planes_of
from nnunet_ext.figures.style import IGNORED, plain_text, shortened, show
from nnunet_ext.metrics.mistakes import Mark

__all__ = ["CaseView", "count_mistakes", "draw_case", "draw_cases", "find_mistakes"]

_PANEL = 2.7  # inches
_COLUMNS = 4  # of panels side by side
_FONT, _SMALLEST_FONT = 8.5, 5.5  # points
_UNMARKED = ("matched", "ignored")


def draw_case(
    view: CaseView,
    mistakes: Mapping[str, Mistakes] | None = None,
    width: float | None = None,
    columns: int | None = None,
) -> Figure:
    """Draw a case: its image if there is one, the truth, and each prediction with marks on its mistakes.

    A volume takes two rows: the z slice with the most mistakes, and the whole looked at along its shortest
    side. The title of a prediction counts all mistakes, also those that lie in other slices.

    Parameters
    ----------
    view : CaseView
        What to draw.
    mistakes : mapping, optional
        From `find_mistakes`, if they are known; else they are found.
    width : float, optional
        Of the figure in inches. Default: 2.7 for each panel.
    columns : int, optional
        Panels side by side. Default: all, or from five on rows of at most four.

    Returns
    -------
    matplotlib.figure.Figure
        To be saved with `nnunet_ext.figures.style.save`, which keeps text text.
    """
    found = find_mistakes(view) if mistakes is None else mistakes
    return draw_cases([(view, found)], width, columns)


def draw_cases(
    cases: Sequence[tuple[CaseView, Mapping[str, Mistakes]]],
    width: float | None = None,
    columns: int | None = None,
) -> Figure:
    """Draw several cases below one another, each as `draw_case` does; all of the same models and classes.

    Parameters
    ----------
    cases : sequence of (CaseView, mapping)
        At least one, with what `find_mistakes` found.
    width, columns
        As in `draw_case`.
    """
    rows = [row for view, found in cases for row in _rows(view, found)]
    layout = _Layout(rows, width, columns)
    figure, grid = layout.figure()
    for row, places in zip(rows, grid, strict=True):
        for axes, panel in zip(places, row.panels, strict=False):
            show(axes, panel.pixels, "", "antialiased", aspect=row.plane.aspect)
            axes.set_title(layout.wrapped(panel.title), fontsize=layout.font)
            draw_marks(axes, row.plane.spots(panel.marks), layout.points_per_pixel(row), layout.scale)
        for axes in places[len(row.panels) :]:
            axes.axis("off")
        if len(cases) > 1:
            places[0].set_ylabel(shortened(row.case), fontsize=layout.font + 1)
    if len(cases) == 1:
        figure.suptitle(shortened(rows[0].case, 60), fontsize=layout.font + 1)
    _legend(figure, cases[0][0], any(view.ignored is not None for view, _ in cases), layout)
    plain_text(figure)
    return figure


@dataclass(frozen=True)
class _Panel:
    title: str
    pixels: Pixels
    marks: list[Mark]


@dataclass(frozen=True)
class _Row:
    """A case in one plane."""

    case: str
    plane: Plane
    panels: list[_Panel]


def _rows(view: CaseView, found: Mapping[str, Mistakes]) -> list[_Row]:
    marks = {name: _shown(found[name]) for name in view.predictions}
    everything = [mark for each in marks.values() for mark in each]
    planes = planes_of(view.reference.shape, view.spacing, everything, view.reference > 0)
    return [_Row(view.case, plane, list(_panels(view, found, marks, plane))) for plane in planes]


def _panels(
    view: CaseView, found: Mapping[str, Mistakes], marks: Mapping[str, list[Mark]], plane: Plane
) -> Iterator[_Panel]:
    place = f", {plane.name}" if plane.name else ""
    if view.image is not None:
        yield _Panel(f"image{place}", image_pixels(view, plane), [])
    yield _Panel(f"truth{place}", truth_pixels(view, plane), [])
    for name in view.predictions:
        title = f"{shortened(name, 40)}{place}"
        if not plane.is_projection:
            title += f"\n{in_words(found[name].counts)}"
        if plane.index is not None:
            here = sum(map(plane.sees, marks[name]))
            title += f"\n({here} of {len(marks[name])} mistakes in this slice)"
        pixels = prediction_pixels(view, name, [mark for _, mark in found[name].marks], plane)
        yield _Panel(title, pixels, marks[name])


def _shown(mistakes: Mistakes) -> list[Mark]:
    """The marks of what is counted as wrong."""
    return [mark for _, mark in mistakes.marks if mark.kind not in _UNMARKED and is_counted(mark)]


class _Layout:
    """Sizes of the figure and of what is in it."""

    def __init__(self, rows: Sequence[_Row], width: float | None, columns: int | None) -> None:
        panels = max(len(row.panels) for row in rows)
        self.columns = min(panels, columns or math.ceil(panels / math.ceil(panels / _COLUMNS)))
        self.rows = rows
        self.width = width or max(_PANEL * self.columns, 2 * _PANEL)
        self.panel = self.width / self.columns
        self.scale = min(1.0, max(0.5, self.panel / _PANEL))  # of lines and marks
        self.font = min(_FONT, max(_SMALLEST_FONT, 3.2 * self.panel))

    def figure(self) -> tuple[Figure, list[list[Axes]]]:
        """Return the figure and, for each row, its axes in order."""
        heights: list[float] = []
        for row in self.rows:
            for start in range(0, len(row.panels), self.columns):
                titles = [self.wrapped(p.title) for p in row.panels[start : start + self.columns]]
                lines = 1 + max(title.count("\n") for title in titles)
                heights.append(self.panel * self._shape(row) + self.font * 1.3 / 72 * (lines + 1))
        size = (self.width, sum(heights) + self.font / 72 * 6)
        figure = Figure(figsize=size, layout="constrained")
        grid = iter(figure.subplots(len(heights), self.columns, squeeze=False, height_ratios=heights))
        lines_of = [math.ceil(len(row.panels) / self.columns) for row in self.rows]
        return figure, [[axes for _ in range(lines) for axes in next(grid)] for lines in lines_of]

    def points_per_pixel(self, row: _Row) -> float:
        """How wide a pixel of the data is in the figure."""
        return self.panel * 72 / max(1, row.panels[0].pixels.shape[1])

    def wrapped(self, title: str) -> str:
        """Break the lines of a title that are wider than a panel."""
        letters = int(self.panel * 72 / (0.55 * self.font))
        tied = re.sub(r"([0-9]+) ([a-z])", "\\1\N{NO-BREAK SPACE}\\2", title)  # a number and its noun
        lines = (line for part in tied.split("\n") for line in textwrap.wrap(part, letters))
        return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")

    @staticmethod
    def _shape(row: _Row) -> float:
        """Height of a panel by its width."""
        rows, columns, _ = row.panels[0].pixels.shape
        return row.plane.aspect * rows / max(1, columns)


def _legend(figure: Figure, view: CaseView, has_ignored: bool, layout: _Layout) -> None:
    artists: list[Artist] = []
    names: list[str] = []
    if view.kind == "instances":
        artists, names = [Patch(color=TRUTH)], ["instance of the truth"]
    else:
        artists = [Patch(color=class_colour(number)) for number in range(len(view.class_names))]
        artists.append(Patch(color=ONLY_TRUTH))
        names = [*view.class_names.values(), "only in the truth"]
    if has_ignored:
        artists, names = [*artists, Patch(color=IGNORED)], [*names, "not judged"]
    more, kinds = legend_of(view.kind, layout.font)
    labels = [shortened(name) for name in [*names, *kinds]]
    width = (3.5 + 0.6 * max(map(len, labels))) * layout.font / 72
    figure.legend(
        [*artists, *more],
        labels,
        loc="outside lower center",
        ncols=max(1, min(len(labels), int(layout.width / width))),
        frameon=False,
        fontsize=layout.font,
    )
