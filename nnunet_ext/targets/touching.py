"""Touching zones: where cells are near each other, in instance labels and in masks with narrow gaps.

The paper's rule looks for another cell in a cubic window around each voxel. There is none exactly if the
largest and the smallest number in the window, background aside, are both the voxel's own. These are running
extremes, computed one axis after the other, and the number of cells plays no part in the work.

That band is too wide for a thin cell, which it takes altogether, and with thick slices it may have no width
at all along an axis, so that cells stay adjacent there. Both times the thinnest band is what is needed: as
few voxels as keep the cores of cells apart, corners included, because the cell class is labelled with full
connectivity. It takes the voxels that share a face with another cell, and only then those that still meet one
at an edge or corner; taking all 8 or 26 neighbours at once would make it thicker.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from nnunet_ext.arrays.checks import binary_mask
from nnunet_ext.arrays.semantic_classes import BACKGROUND, CELL, TOUCHING

HalfWidths = tuple[int, ...]  # of a box, per axis: 2 is a window of 5 voxels

_MOST_VOXELS = 64  # of a radius: the work grows with its cube
_TOLERANCE = 1e-6  # 0.3 / 0.1 is 3


def touching_from_binary(mask: NDArray[Any], radius: int = 1) -> NDArray[np.uint8]:
    r"""Turn a mask whose cells are separated by gaps of a pixel or two into background, cell and touching.

    With the cubic structuring element B of half width `radius`:

    .. math:: \text{touching} = ((mask \bullet B) \setminus mask) \oplus B

    the gaps that a closing fills, and what is next to them. For masks with one number per cell use
    `semantic_from_instances`.

    Parameters
    ----------
    mask : ndarray
        Boolean, or integer with one value beside 0; (y, x) or (z, y, x).
    radius : int
        1 for gaps of up to two pixels.

    Returns
    -------
    ndarray of uint8
        0 background, 1 cell, 2 touching, shape of `mask`.

    Raises
    ------
    TypeError, ValueError
        If the mask is not binary, or the radius not a positive integer.

    References
    ----------
    Guerrero-Peña, Marrero Fernandez, Ren, Yui, Rothenberg, Cunha. Multiclass weighted loss for instance
    segmentation of cluttered cells. ICIP 2018, arXiv:1802.07465, Algorithm 1 (3 x 3 square, radius 1).

    Examples
    --------
    >>> touching_from_binary(np.array([[1, 1, 1, 0, 1, 1, 1, 0, 0, 0]] * 3))[1]
    array([1, 1, 2, 2, 2, 1, 1, 0, 0, 0], dtype=uint8)
    """
    cells = binary_mask(mask)
    if isinstance(radius, bool) or not isinstance(radius, int | np.integer) or radius < 1:
        raise ValueError(f"radius is a whole number of voxels, 1 or more; got {radius!r}")
    width = 2 * int(radius) + 1
    # Background all around: a closing must not depend on where the image ends.
    padded = np.pad(cells, radius).view(np.uint8)
    closed = minimum_filter(maximum_filter(padded, width, mode="constant"), width, mode="constant")
    inside = (slice(radius, -radius),) * cells.ndim
    gaps = closed[inside].astype(bool) & ~cells
    touched = maximum_filter(gaps.view(np.uint8), width, mode="constant").astype(bool)
    return np.where(touched, TOUCHING, np.where(cells, CELL, BACKGROUND)).astype(np.uint8)


def half_widths(radius: float, spacing: Sequence[float]) -> HalfWidths:
    """Half widths in voxels of the box that reaches `radius` along every axis; a ValueError beyond 64."""
    half = tuple(floor(radius / edge + _TOLERANCE) for edge in spacing)
    if max(half) > _MOST_VOXELS:
        raise ValueError(
            f"a radius of {radius:g} is {max(half)} voxels at spacing {tuple(spacing)}, but at most "
            f"{_MOST_VOXELS} can be computed. Is it in the unit of the spacing?"
        )
    return half


def touching_band(instances: NDArray[Any], half: HalfWidths, *, separate: bool) -> NDArray[np.bool_]:
    """`touching`; with `separate` also the thinnest band along an axis that the box does not reach over."""
    band = touching(instances, half)
    if separate and not all(half):
        band |= thinnest_band(instances)
    return band


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


def _running(extreme: np.ufunc, values: NDArray[Any], half: HalfWidths) -> NDArray[Any]:
    """Running maximum or minimum over 2·half + 1 voxels along each axis, clipped at the border.

    Its work grows with `half`, that of scipy.ndimage.maximum_filter does not, but takes longer up to about 7:
    at half widths of 1 and 2 in 64×128×128 voxels of uint16 2.7 and 5.3 ms against 20 ms.
    """
    for axis, steps in enumerate(half):
        for _ in range(min(steps, values.shape[axis] - 1)):
            before = np.moveaxis(values, axis, 0)
            values = values.copy()
            after = np.moveaxis(values, axis, 0)
            extreme(after[1:], before[:-1], out=after[1:])
            extreme(after[:-1], before[1:], out=after[:-1])
    return values
