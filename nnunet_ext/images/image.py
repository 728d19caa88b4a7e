"""An image as read from a file: pixels with the channels first, and where the voxels lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an image lie.

    Attributes
    ----------
    spacing : tuple of float or None
        Distance between voxels in the order of the array's axes, (z, y, x) or (y, x); µm from tif and HDF5
        files, the file's own unit (mm) from NIfTI. None if the file does not say.
    origin, direction : tuple of float or None
        As SimpleITK gives them, (x, y, z) order; NIfTI only.
    """

    spacing: tuple[float, ...] | None = None
    origin: tuple[float, ...] | None = None
    direction: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Header:
    """What a file says about its image before the pixels are read.

    Attributes
    ----------
    shape : tuple of int
        Spatial shape, (y, x) or (z, y, x).
    channels : int
        Number of channels, an alpha channel not counted.
    dtype : numpy.dtype
        Of the pixels.
    grid : Grid
        Where the voxels lie.
    alpha : bool
        Whether the file has an alpha channel, which is dropped.
    """

    shape: tuple[int, ...]
    channels: int
    dtype: np.dtype[Any]
    grid: Grid
    alpha: bool = False


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes
    ----------
    pixels : ndarray
        Shape (channels, *spatial).
    grid : Grid
        Where the voxels lie.
    """

    pixels: NDArray[Any]
    grid: Grid


@dataclass(frozen=True)
class Hints:
    """What the caller knows about a file and the file may leave open.

    Attributes
    ----------
    key : str
        The dataset inside an HDF5 file.
    dimension : int or None
        2 or 3 spatial axes; without it an axis without a name is taken as z. See `axes.name_axes`.
    label : bool
        Whether the file holds labels: colours of a palette are then ids, not colours.
    """

    key: str = ""
    dimension: int | None = None
    label: bool = False
