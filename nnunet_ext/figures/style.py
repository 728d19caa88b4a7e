"""Pieces of every picture: colours of classes, a panel, saving whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.files import replacing
from nnunet_ext.outputs import check_output

#: colours of the classes, the background first
CLASSES = ["#1b1b1b", "#3fa34d", "#e4572e", "#4a7fb5", "#f2c14e", "#9b5de5", "#17bebb", "#f15bb5"]
IGNORED = "#b0b0b0"
_LONGEST = 34  # letters of a line of a title


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
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format=path.suffix.lower().removeprefix("."))


def grey_range(pixels: NDArray[Any]) -> tuple[float, float]:
    """Return the values to show as black and white, without the few darkest and brightest pixels."""
    low, high = np.percentile(pixels, (1, 99.5))
    return float(low), float(max(high, low + 1e-6))


def show(axes: Axes, pixels: NDArray[Any], title: str, **style: Any) -> Any:
    """Show (y, x) or (y, x, 3) pixels without ticks; NaN is grey; long titles are cut at the front."""
    axes.set_facecolor(IGNORED)  # what is NaN stays empty
    axes.set_xticks([])
    axes.set_yticks([])
    lines = [line if len(line) <= _LONGEST else f"…{line[1 - _LONGEST :]}" for line in title.split("\n")]
    axes.set_title("\n".join(lines), fontsize=10)
    return axes.imshow(pixels, interpolation="nearest", **style)
