"""Whether two images lie on the same voxels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.images.image import Grid

TOLERANCE = 0.1  # of the smallest voxel edge: far below what matters, above what headers are rounded to


def difference(
    a: Grid, b: Grid, shape_a: Sequence[int], shape_b: Sequence[int], tolerance: float = TOLERANCE
) -> str:
    """Say in words how two grids differ, or return "" if they do not.

    Parameters
    ----------
    a, b : Grid
        Where the voxels lie. What one of them does not state is not compared.
    shape_a, shape_b : sequence of int
        Spatial shapes.
    tolerance : float
        How far apart corners of the two images may be, as a part of the smallest voxel edge.

    Examples
    --------
    >>> difference(Grid((1.0, 1.0)), Grid((1.0, 2.0)), (4, 4), (4, 4))
    'spacing 1 x 1 against 1 x 2'
    """
    if tuple(shape_a) != tuple(shape_b):
        return f"{_words(shape_a)} voxels against {_words(shape_b)}"
    if a.spacing is None or b.spacing is None:
        return ""
    step = tolerance * min(a.spacing)
    lengths = np.subtract(a.spacing, b.spacing) * shape_a
    if np.abs(lengths).max() > step:
        return f"spacing {_words(a.spacing)} against {_words(b.spacing)}"
    if a.direction is None or b.direction is None or a.origin is None or b.origin is None:
        return ""
    away = _corners(a, shape_a) - _corners(b, shape_b)
    if np.linalg.norm(away, axis=1).max() <= step:
        return ""
    if np.ptp(away, axis=0).max() <= step:
        return f"origin {_words(a.origin)} against {_words(b.origin)}"
    return f"direction {_words(a.direction)} against {_words(b.direction)}"


def _corners(grid: Grid, shape: Sequence[int]) -> NDArray[np.float64]:
    """Return the positions of the corner voxels, (corners, axes) in the order x, y, z."""
    size = np.subtract(shape, 1)[::-1]
    steps = np.asarray(grid.spacing)[::-1]
    direction = np.reshape(np.asarray(grid.direction, float), (len(size), len(size)))
    ends = np.array(list(itertools.product((0, 1), repeat=len(size))))
    corners: NDArray[np.float64] = np.asarray(grid.origin) + (ends * size * steps) @ direction.T
    return corners


def _words(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:.6g}" for number in numbers)
