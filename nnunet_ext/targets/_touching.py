"""The touching band: foreground voxels that another instance is near to."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

HalfWidths = tuple[int, ...]  # of a box, per axis: 2 is a window of 5 voxels

MOST_VOXELS = 64  # of a radius: the work grows with its cube
_TOLERANCE = 1e-6  # 0.3 / 0.1 is 3


def half_widths(radius: float, spacing: Sequence[float]) -> HalfWidths:
    """Half widths in voxels of the box that reaches `radius` along every axis; a ValueError beyond 64."""
    half = tuple(floor(radius / edge + _TOLERANCE) for edge in spacing)
    if max(half) > MOST_VOXELS:
        raise ValueError(
            f"a radius of {radius:g} is {max(half)} voxels at spacing {tuple(spacing)}, but at most "
            f"{MOST_VOXELS} can be computed. Is it in the unit of the spacing?"
        )
    return half


def _running(extreme: np.ufunc, values: NDArray[Any], half: HalfWidths) -> NDArray[Any]:
    """Running maximum or minimum over 2·half + 1 voxels along each axis, clipped at the border."""
    for axis, steps in enumerate(half):
        for _ in range(min(steps, values.shape[axis] - 1)):
            before = np.moveaxis(values, axis, 0)
            values = values.copy()
            after = np.moveaxis(values, axis, 0)
            extreme(after[1:], before[:-1], out=after[1:])
            extreme(after[:-1], before[1:], out=after[:-1])
    return values


def touching(instances: NDArray[Any], half: HalfWidths) -> NDArray[np.bool_]:
    """Voxels of an instance with another instance in the box around them.

    Parameters
    ----------
    instances : ndarray of unsigned integers
        0 background.
    half : tuple of int
        Half widths of the box.
    """
    if not any(half):
        return np.zeros(instances.shape, bool)
    before = instances - instances.dtype.type(1)  # background becomes the largest value
    band = _running(np.maximum, instances, half) != instances
    band |= _running(np.minimum, before, half) != before
    band &= instances != 0
    return band


def thinnest_band(instances: NDArray[Any]) -> NDArray[np.bool_]:
    """Voxels that share a face with another instance, and those that still are corner to corner then.

    Without them no voxel of one instance is adjacent to one of another, corners included.
    """
    band = np.zeros(instances.shape, bool)
    for axis in range(instances.ndim):
        lines, flags = np.moveaxis(instances, axis, 0), np.moveaxis(band, axis, 0)
        differ = (lines[1:] != lines[:-1]) & (lines[1:] != 0) & (lines[:-1] != 0)
        flags[1:] |= differ
        flags[:-1] |= differ
    band |= touching(np.where(band, instances.dtype.type(0), instances), (1,) * instances.ndim)
    return band


def touching_band(instances: NDArray[Any], half: HalfWidths, *, separate: bool) -> NDArray[np.bool_]:
    """`touching`; with `separate` also the thinnest band along an axis that the box does not reach over."""
    band = touching(instances, half)
    if separate and not all(half):
        band |= thinnest_band(instances)
    return band
