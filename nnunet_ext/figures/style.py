"""Pieces of every picture: colours of classes, a panel, saving whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.files import replacing
from nnunet_ext.outputs import check_output

#: colours of the classes, the background first
CLASSES = ["#1b1b1b", "#3fa34d", "#e4572e", "#4a7fb5", "#f2c14e", "#9b5de5", "#17bebb", "#f15bb5"]
IGNORED = "#b0b0b0"
_LONGEST, _LINES = 28, 3  # letters of a line of a title, and lines of a name


def check_picture(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Refuse a picture of an ending that matplotlib does not know, or where `check_output` wants none."""
    known = Figure().canvas.get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in known:
        raise UserError(
            f"-o {path}: a picture ends in one of {', '.join(f'.{end}' for end in sorted(known))}."
        )
    check_output(path, inputs)


def save(figure: Figure, path: Path, dpi: int = 110) -> None:
    """Write a figure, whole or not at all; the folder is made, an existing file replaced."""
    plain_text(figure)
    as_text = rc_context({"pdf.fonttype": 42, "svg.fonttype": "none"})  # can be searched and edited
    with replacing(path) as temporary, warnings.catch_warnings(), as_text:
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a name in a script without font
        figure.savefig(temporary, dpi=dpi, format=path.suffix.lower().removeprefix("."))


def plain_text(figure: Figure) -> None:
    """Take every text as it is: a name with dollars is no formula."""
    for text in _names(figure):
        text.set_parse_math(False)


def _names(figure: Figure) -> Iterator[Text]:
    """Every text that may be a name; the numbers along an axis are formulas to matplotlib."""
    yield from figure.texts
    for box in figure.legends:
        yield from box.get_texts()
    for axes in figure.axes:
        yield from (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts)


def grey_range(pixels: NDArray[Any]) -> tuple[float, float]:
    """Return the values to show as black and white, without the few darkest and brightest pixels.

    NaN and infinite pixels do not count; without any other it is 0 to 1.
    """
    finite = pixels[np.isfinite(pixels)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, (1, 99.5))
    return float(low), float(max(high, low + 1e-6))


def show(axes: Axes, pixels: NDArray[Any], title: str, interpolation: str = "nearest", **style: Any) -> Any:
    """Show (y, x) or (y, x, 3) pixels without ticks; NaN is grey; long titles take several lines."""
    axes.set_facecolor(IGNORED)  # what is NaN stays empty
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title("\n".join(piece for line in title.split("\n") for piece in pieces(line)), fontsize=10)
    return axes.imshow(pixels, interpolation=interpolation, **style)


def legend(figure: Figure, handles: Sequence[Artist], names: Sequence[str]) -> None:
    """Add a legend below, in as many rows as the width of the figure asks for."""
    shown = [shortened(name) for name in names]
    widest = max((len(name) for name in shown), default=0)
    columns = int(figure.get_figwidth() / (0.9 + 0.1 * widest))
    columns = min(max(1, columns), max(1, len(names)))
    figure.legend(handles, shown, loc="outside lower center", ncols=columns, frameon=False)


def pieces(text: str, limit: int = _LONGEST) -> list[str]:
    """Break a text into lines, behind its last comma and then anywhere; very long ones lose their middle.

    Examples
    --------
    >>> pieces("patient_0287e7ee, slice 3 of 0–9", 20)
    ['patient_0287e7ee,', 'slice 3 of 0–9']
    """
    if len(text) <= limit:
        return [text]
    head, comma, tail = text.rpartition(", ")
    if comma and len(tail) <= limit:
        return [*pieces(f"{head},", limit), tail]
    whole = shortened(text, limit * _LINES)
    return [whole[start : start + limit] for start in range(0, len(whole), limit)]


def shortened(name: str, limit: int = 24) -> str:
    """Return a name, its middle left out if it is long.

    Examples
    --------
    >>> shortened("patient_0287e7ee_left", 10)
    'patie…left'
    """
    return name if len(name) <= limit else f"{name[: limit // 2]}…{name[1 - limit // 2 :]}"
