"""Touching zones of binary masks in which cells are told apart by a narrow gap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from nnunet_ext.targets._checks import binary_mask
from nnunet_ext.targets.classes import CELL, TOUCHING


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
    touching = maximum_filter(gaps.view(np.uint8), width, mode="constant").astype(bool)
    return np.where(touching, TOUCHING, np.where(cells, CELL, 0)).astype(np.uint8)
