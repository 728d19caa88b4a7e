"""The picture of one case: image, truth, each prediction, with its mistakes marked and counted."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from nnunet_ext.evaluation.case_mistakes import Mistakes, count_mistakes, find_mistakes
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

__all__ = ["CaseView", "count_mistakes", "draw_case", "find_mistakes"]

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
    marks = {name: [mark for _, mark in each.marks] for name, each in found.items()}
    wrong = [mark for each in marks.values() for mark in each if mark.kind not in _UNMARKED]
    planes = planes_of(view.reference.shape, view.spacing, wrong, view.reference > 0)
    titles = ([] if view.image is None else ["image"]) + ["truth", *view.predictions]
    columns = min(len(titles), columns or math.ceil(len(titles) / math.ceil(len(titles) / _COLUMNS)))
    layout = _Layout(view, planes, len(titles), columns, width)
    figure, grid = layout.figure()
    for plane, row in zip(planes, grid, strict=True):
        panels = _panels(view, marks, plane)
        for axes, (name, pixels, own) in zip(row, panels, strict=False):
            title = _title(name, found.get(name), plane, own)
            show(axes, pixels, "", "antialiased", aspect=plane.aspect)
            axes.set_title(layout.wrapped(title), fontsize=layout.font)
            shown = [mark for mark in own if mark.kind not in _UNMARKED]
            draw_marks(axes, plane.spots(shown), layout.points_per_pixel(plane))
        for axes in row[len(panels) :]:
            axes.axis("off")
    figure.suptitle(shortened(view.case, 60), fontsize=layout.font + 1)
    _legend(figure, view, layout)
    plain_text(figure)
    return figure


def _panels(
    view: CaseView, marks: Mapping[str, list[Mark]], plane: Plane
) -> list[tuple[str, Pixels, list[Mark]]]:
    """Name, pixels and marks of every panel."""
    panels: list[tuple[str, Pixels, list[Mark]]] = []
    if view.image is not None:
        panels.append(("image", image_pixels(view, plane), []))
    panels.append(("truth", truth_pixels(view, plane), []))
    for name in view.predictions:
        panels.append((name, prediction_pixels(view, name, marks[name], plane), _seen(marks[name])))
    return panels


def _seen(marks: list[Mark]) -> list[Mark]:
    """The marks that are counted: of instances the predicted ones, and the missed ones of the reference."""
    return [mark for mark in marks if getattr(mark, "of", "") != "reference" or mark.kind == "missed"]


def _title(name: str, found: Mistakes | None, plane: Plane, marks: list[Mark]) -> str:
    lines = [shortened(name, 40)]
    if plane.name:
        lines[0] += f", {plane.name}"
    if found and not plane.is_projection:
        lines.append(in_words(found.counts))
    if found and plane.index is not None:
        wrong = [mark for mark in marks if mark.kind not in _UNMARKED]
        lines.append(f"({sum(map(plane.sees, wrong))} of {len(wrong)} mistakes in this slice)")
    return "\n".join(lines)


class _Layout:
    """Sizes of the figure and of what is in it."""

    def __init__(
        self, view: CaseView, planes: list[Plane], panels: int, columns: int, width: float | None
    ) -> None:
        self.view, self.planes, self.columns = view, planes, columns
        self.lines = math.ceil(panels / columns)  # of panels, for each plane
        self.width = width or max(_PANEL * columns, 2 * _PANEL)
        self.panel = self.width / columns
        self.font = min(_FONT, max(_SMALLEST_FONT, 3.2 * self.panel))
        self.letters = int(self.panel * 72 / (0.55 * self.font))

    def figure(self) -> tuple[Figure, list[list[Axes]]]:
        """Return the figure and, for each plane, its axes in order."""
        title = self.font * 1.3 / 72 * 4
        heights = [
            title + self.panel * self._height(plane) for plane in self.planes for _ in range(self.lines)
        ]
        size = (self.width, sum(heights) + self.font / 72 * 6)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(heights), self.columns, squeeze=False, height_ratios=heights)
        of_plane = [grid[start : start + self.lines] for start in range(0, len(heights), self.lines)]
        return figure, [[axes for line in lines for axes in line] for lines in of_plane]

    def points_per_pixel(self, plane: Plane) -> float:
        """How wide a pixel of the data is in the figure."""
        return self.panel * 72 / max(1, plane.cut(self.view.reference).shape[1])

    def wrapped(self, title: str) -> str:
        """Break the lines of a title that are wider than a panel."""
        lines = [line for part in title.split("\n") for line in textwrap.wrap(part, self.letters)]
        return "\n".join(lines)

    def _height(self, plane: Plane) -> float:
        rows, columns = plane.cut(self.view.reference).shape
        return plane.aspect * rows / max(1, columns)


def _legend(figure: Figure, view: CaseView, layout: _Layout) -> None:
    artists: list[Artist] = []
    names: list[str] = []
    if view.kind == "instances":
        artists, names = [Patch(color=TRUTH)], ["instance of the truth"]
    else:
        artists = [Patch(color=class_colour(number)) for number in range(len(view.class_names))]
        artists.append(Patch(color=ONLY_TRUTH))
        names = [*view.class_names.values(), "only in the truth"]
    if view.ignored is not None:
        artists, names = [*artists, Patch(color=IGNORED)], [*names, "not judged"]
    more, kinds = legend_of(view.kind)
    labels = [shortened(name) for name in [*names, *kinds]]
    width = 0.35 + max(map(len, labels)) * 0.55 * layout.font / 72
    figure.legend(
        [*artists, *more],
        labels,
        loc="outside lower center",
        ncols=max(1, min(len(labels), int(layout.width / width))),
        frameon=False,
        fontsize=layout.font,
    )
