"""An image as read from a file: its pixels, where the voxels lie, and whether two images lie on the same."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.images.memory import MORE_MEMORY

TOLERANCE = 0.1  # of the smallest voxel edge: far below what matters, above what headers are rounded to


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an image lie.

    Attributes
    ----------
    spacing : tuple of float or None
        Distance between voxels in the order of the array's axes, (z, y, x) or (y, x); µm from tif and HDF5
        files, the file's own unit (mm) from NIfTI. None if the file does not say.
    origin, direction : tuple of float or None
        As SimpleITK gives them: position of the first voxel and, row by row, a matrix whose columns are the
        directions of the axes, all in the order (x, y, z) and in LPS coordinates. Medical formats only. A
        slice of a volume has two axes and a place in space: three numbers and a 3 x 2 matrix.
    assumed : bool
        Whether origin and direction are what readers take where the file states none: a NIfTI file with
        neither sform nor qform.
    """

    spacing: tuple[float, ...] | None = None
    origin: tuple[float, ...] | None = None
    direction: tuple[float, ...] | None = None
    assumed: bool = False

    def stated(self) -> Grid:
        """Return what the file itself says: nothing assumed, nor the spacing of 1 that comes with it."""
        if not self.assumed:
            return self
        return Grid(None if set(self.spacing or ()) == {1.0} else self.spacing)

    def affine(self) -> NDArray[np.float64]:
        """Return the matrix from indices of the array, (z, y, x, 1), to positions, (x, y, z, 1).

        Raises
        ------
        ValueError
            If spacing, origin or direction are not known.
        """
        if self.spacing is None or self.origin is None or self.direction is None:
            raise ValueError(f"We expect a grid with spacing, origin and direction. Got: {self}")
        ndim, world = len(self.spacing), len(self.origin)
        affine = np.zeros((world + 1, ndim + 1))
        affine[:-1, :-1] = np.reshape(self.direction, (world, ndim))[:, ::-1] * self.spacing
        affine[:-1, -1] = self.origin
        affine[-1, -1] = 1
        return affine

    def plane(self) -> Grid:
        """Return the grid of the first slice of a volume, (y, x), which keeps its place in space."""
        if self.spacing is None or len(self.spacing) < 3:
            return self
        if self.origin is None or self.direction is None:
            return Grid(self.spacing[1:])
        axes = np.reshape(self.direction, (len(self.origin), 3))[:, :2]
        return replace(self, spacing=self.spacing[1:], direction=tuple(axes.ravel().tolist()))


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
    spacing_given : bool
        Whether the caller has the spacing: one that a tif states and nobody understands is then no error.
    """

    key: str = ""
    dimension: int | None = None
    label: bool = False
    spacing_given: bool = False


def grid_difference(
    a: Grid, b: Grid, shape_a: Sequence[int], shape_b: Sequence[int], tolerance: float = TOLERANCE
) -> str:
    """Say in words how two grids differ, or return "" if they do not.

    Parameters
    ----------
    a, b : Grid
        Where the voxels lie. What one of them does not state, or states as assumed, is not compared.
    shape_a, shape_b : sequence of int
        Spatial shapes.
    tolerance : float
        How far apart corners of the two images may be, as a part of the smallest voxel edge.

    Examples
    --------
    >>> grid_difference(Grid((1.0, 1.0)), Grid((1.0, 2.0)), (4, 4), (4, 4))
    'spacing 1 x 1 against 1 x 2'
    """
    if tuple(shape_a) != tuple(shape_b):
        return f"{_words(shape_a)} voxels against {_words(shape_b)}"
    a, b = a.stated(), b.stated()
    if a.spacing is None or b.spacing is None:
        return ""
    step = tolerance * min(a.spacing)
    lengths = np.subtract(a.spacing, b.spacing) * shape_a
    if np.abs(lengths).max() > step:
        return f"spacing {_words(a.spacing)} against {_words(b.spacing)}"
    if a.direction is None or b.direction is None or a.origin is None or b.origin is None:
        return ""
    common = min(len(a.origin), len(b.origin))  # beside a slice in space, a plane says nothing about z
    away = _corners(a, shape_a)[:, :common] - _corners(b, shape_b)[:, :common]
    if np.linalg.norm(away, axis=1).max() <= step:
        return ""
    if np.ptp(away, axis=0).max() <= step:
        return f"origin {_words(a.origin)} against {_words(b.origin)}"
    return f"direction {_words(a.direction)} against {_words(b.direction)}"


def unplaced_beside(a: Grid, b: Grid) -> bool:
    """Tell whether a file states no place for its voxels that another one states."""
    return a.assumed and b.direction is not None and not b.assumed


def unreadable(path: Path, format_name: str, error: Exception | None = None) -> UserError:
    """Return the error for a file that its reader could not read.

    Parameters
    ----------
    path : Path
        The file.
    format_name : str
        What it was read as, with an article: "a tif".
    error : Exception, optional
        What the reader said, if that helps.
    """
    if isinstance(error, MemoryError):
        return UserError(f"{path}: does not fit into memory. {MORE_MEMORY}")
    try:
        empty = not path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as trouble:
        return UserError(f"{path}: cannot be read ({trouble.strerror})")
    words = str(error).strip().splitlines() if error is not None else []
    reason = f": {words[-1].strip()}" if words else ""
    state = "empty file" if empty else f"damaged, or another format{reason}"
    return UserError(f"{path}: cannot be read as {format_name} ({state})")


def _corners(grid: Grid, shape: Sequence[int]) -> NDArray[np.float64]:
    """Return the positions of the corner voxels, (corners, axes) in the order x, y, z."""
    last = [(0, size - 1) for size in shape]
    indices = np.array([(*corner, 1) for corner in itertools.product(*last)])
    return (indices @ grid.affine().T)[:, :-1]


def _words(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:.6g}" for number in numbers)
