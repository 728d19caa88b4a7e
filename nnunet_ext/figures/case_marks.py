"""How each kind of mistake looks: a shape and a colour of its own, with a dark rim that stands out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nnunet_ext.figures.case_planes import Spot
from nnunet_ext.metrics.mistakes import CLASS_KINDS, INSTANCE_KINDS

_SMALLEST, _LARGEST = 5.0, 26.0  # points, of a mark
_CROWD = 60  # marks from which on they are smaller


@dataclass(frozen=True)
class Look:
    """Marker, colour, and the words for one and for several."""

    marker: str
    colour: str
    one: str
    several: str


#: Okabe and Ito's colours, which the colour-blind tell apart (jfly.uni-koeln.de/color)
LOOKS = {
    "false": Look("s", "#d55e00", "false", "false"),
    "missed": Look("D", "#56b4e9", "missed", "missed"),
    "break": Look("o", "#f0e442", "break", "breaks"),
    "merge": Look("^", "#cc79a7", "merge", "merges"),
    "matched": Look("", "#009e73", "matched", "matched"),
    "extra": Look("s", "#d55e00", "extra", "extra"),
    "merged": Look("^", "#cc79a7", "merged", "merged"),
    "split": Look("o", "#f0e442", "split", "split"),
}
#: what a legend says, where that is longer
_CLASS_NAMES = {"false": "false component", "missed": "missed component"}
_INSTANCE_NAMES = {"split": "piece of a split one", "merged": "merged with another"}


def in_words(counts: dict[str, int]) -> str:
    """Write counts for a title.

    Examples
    --------
    >>> in_words({"false": 0, "missed": 2, "break": 1, "merge": 3})
    '0 false, 2 missed, 1 break, 3 merges'
    """
    return ", ".join(
        f"{number} {LOOKS[kind].one if number == 1 else LOOKS[kind].several}"
        for kind, number in counts.items()
    )


def draw_marks(axes: Axes, spots: Iterable[Spot], points_per_pixel: float, scale: float = 1.0) -> None:
    """Draw a hollow marker around each place.

    Parameters
    ----------
    axes : Axes
        With the pixels that the marks are of.
    spots : iterable of Spot
        The places.
    points_per_pixel : float
        How wide a pixel is drawn; a marker is as large as its mistake, within limits.
    scale : float
        Of lines and of those limits.
    """
    spots = [spot for spot in spots if LOOKS[spot.kind].marker]
    shrink = scale * (0.7 if len(spots) > _CROWD else 1.0)
    for kind in dict.fromkeys(spot.kind for spot in spots):
        look, own = LOOKS[kind], [spot for spot in spots if spot.kind == kind]
        largest = _LARGEST * shrink
        sizes = [
            min(max(_SMALLEST * shrink, 1.3 * points_per_pixel * spot.extent + 2), largest) ** 2
            for spot in own
        ]
        columns, rows = [spot.column for spot in own], [spot.row for spot in own]
        for colour, width in (("black", 2.4), (look.colour, 1.3)):
            style: dict[str, Any] = {"facecolors": "none", "edgecolors": colour, "linewidths": width * shrink}
            axes.scatter(columns, rows, sizes, marker=look.marker, **style)


def legend_of(kind: str, size: float) -> tuple[list[Artist], list[str]]:
    """Return what a legend shows of all kinds of classes or instances, in points, and their names."""
    if kind == "instances":  # their area has the colour, too
        artists = [_filled(LOOKS[name], size) for name in INSTANCE_KINDS]
        return artists, [_INSTANCE_NAMES.get(name, name) for name in INSTANCE_KINDS]
    hollow = [LOOKS[name] for name in CLASS_KINDS]
    handles = [_handle(look, "none", look.colour, size) for look in hollow]
    return handles, [_CLASS_NAMES.get(name, name) for name in CLASS_KINDS]


def _handle(look: Look, face: str, edge: str, size: float) -> Artist:
    style: dict[str, Any] = {"markerfacecolor": face, "markeredgecolor": edge, "markeredgewidth": 0.15 * size}
    return Line2D([], [], linestyle="", marker=look.marker, markersize=0.75 * size, **style)


def _filled(look: Look, size: float) -> Artist:
    return _handle(look, look.colour, "black", size) if look.marker else Patch(color=look.colour)
