"""Which axes of a tif are space and which one holds the channels, and which of these is an alpha channel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.images.axes import channels_first, name_axes, spatial
from nnunet_ext.images.image import Hints

if TYPE_CHECKING:
    import tifffile

_RGB = 2  # photometric interpretation
_ALPHA = (1, 2)  # kinds of extra samples: associated and unassociated alpha; 0 is anything
_LABELS = (
    "labels are one number per voxel. Save the numbers, not their picture, as one channel. If these are "
    "slices, save them with the axes ZYX."
)


@dataclass(frozen=True)
class TifLayout:
    """How the pixels of a tif are stored.

    Attributes
    ----------
    names : str
        A letter for every axis, as `axes.name_axes` gives them.
    shape : tuple of int
        Spatial shape, (y, x) or (z, y, x).
    channels : tuple of int
        Which of the stored channels are image.
    alpha : bool
        Whether there is one more, declared as an alpha channel.
    guessed : bool
        Whether the slices may be colours as well: tifffile stores three or four slices as planes of RGB
        unless told otherwise.
    """

    names: str
    shape: tuple[int, ...]
    channels: tuple[int, ...]
    alpha: bool
    guessed: bool

    def pixels(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return what is stored as (channels, *spatial), without an alpha channel."""
        pixels = channels_first(stored, self.names)
        return pixels[list(self.channels)] if len(self.channels) < len(pixels) else pixels


def layout_of(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path, hints: Hints) -> TifLayout:
    """Return how the pixels of the one series of a file are stored.

    Raises
    ------
    UserError
        If it is not one 2D or 3D image.
    """
    axes, shape = series.axes, tuple(map(int, series.shape))
    planes_of_rgb = axes.find("S") in range(len(axes) - 1) and series.keyframe.photometric == _RGB
    if planes_of_rgb and not tif.is_shaped and "C" not in axes:
        axes, planes_of_rgb = axes.replace("S", "C"), False
    try:
        names = name_axes(axes, shape, hints.dimension)
    except ValueError as error:
        raise UserError(f"{path}: {error}.") from error
    stored = dict(zip(names, shape, strict=True)).get("C", 1)
    extra = () if planes_of_rgb else series.keyframe.extrasamples
    alpha = {stored - len(extra) + i for i, kind in enumerate(extra) if kind in _ALPHA}
    if "S" not in series.axes or stored != series.keyframe.samplesperpixel or len(alpha) != 1:
        alpha = set()
    return TifLayout(
        names,
        tuple(shape[i] for i in spatial(names)),
        tuple(channel for channel in range(stored) if channel not in alpha),
        bool(alpha),
        planes_of_rgb and "C" not in names,
    )


def check_channel(channels: int, path: Path) -> None:
    """Raise `UserError` unless there is one channel, as labels have."""
    if channels != 1:
        raise UserError(f"{path}: holds {channels} channels or colours, but {_LABELS}")


def check_slices(layout: TifLayout, labels: NDArray[Any], path: Path) -> None:
    """Raise `UserError` if what may be slices of labels or colours is colours.

    A cell has the same number in the next slice, but seldom as much red as green.
    """
    if not layout.guessed or labels.ndim != 3:
        return
    both = (labels[0] != 0) & (labels[1] != 0)
    if np.count_nonzero(labels[0][both] != labels[1][both]) > np.count_nonzero(both) / 2:
        raise UserError(
            f"{path}: holds {len(labels)} planes of colours (most numbers differ between them), but {_LABELS}"
        )
