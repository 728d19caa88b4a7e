"""Connected components and skeletons, computed in one way everywhere."""

from __future__ import annotations

from typing import Any, Literal

import cc3d
import numpy as np
from numpy.typing import NDArray
from skimage.morphology import skeletonize

from nnunet_ext.arrays.blocks import slabs

# Number of neighbours as cc3d names it, by (dimensions, connectivity as scikit-image names it).
NEIGHBOURS: dict[tuple[int, int], Literal[4, 6, 8, 18, 26]] = {
    (2, 1): 4,
    (2, 2): 8,
    (3, 1): 6,
    (3, 2): 18,
    (3, 3): 26,
}


def check_connectivity(connectivity: int | None, ndim: int) -> int:
    """Return the connectivity, full where None; a `ValueError` if these dimensions have no such one."""
    if connectivity is None:
        return ndim
    if (ndim, connectivity) not in NEIGHBOURS:
        raise ValueError(f"connectivity: expected 1 to {ndim} in {ndim}D, got {connectivity}")
    return connectivity


def label_components(
    labels: NDArray[Any], connectivity: int | None = None
) -> tuple[NDArray[np.unsignedinteger], int]:
    """Number the connected components of a mask, or of every label of a label map.

    Parameters
    ----------
    labels : ndarray
        Boolean or integer, (y, x) or (z, y, x), 0 background. Voxels of different labels are never connected.
    connectivity : int, optional
        As in scikit-image: 1 (4 or 6 neighbours) up to the number of axes (8 or 26), the default.

    Returns
    -------
    components : ndarray of unsigned integers
        0 background, 1 and up the components in raster order of their first voxel.
    count : int
        Number of components.

    Examples
    --------
    >>> label_components(np.array([[1, 1, 2], [0, 0, 2], [1, 0, 0]], dtype=np.uint8))[0]
    array([[1, 1, 2],
           [0, 0, 2],
           [3, 0, 0]], dtype=uint16)
    """
    # As uint8: in some boolean images cc3d 4.1.1 labels background (2D) or fails (3D, one voxel thin).
    whole = np.ascontiguousarray(labels).view(np.uint8) if labels.dtype == bool else labels
    neighbours = NEIGHBOURS[labels.ndim, labels.ndim if connectivity is None else connectivity]
    components, count = cc3d.connected_components(whole, connectivity=neighbours, return_N=True)
    return components, count


def first_and_size(labels: NDArray[Any], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First flat index and number of voxels of every label.

    Parameters
    ----------
    labels : ndarray
        Integer labels from 0 to `count`, at least one voxel.
    count : int
        The largest label.

    Returns
    -------
    first, size : (count + 1,) ndarray of int64
        Of the labels 0 … `count`; both 0 for a label that does not occur.

    Examples
    --------
    >>> first_and_size(np.array([[0, 1, 1], [0, 3, 1]]), 3)
    (array([0, 1, 0, 4]), array([2, 3, 0, 1]))
    """
    flat = labels.reshape(-1)
    first, size = np.zeros((2, count + 1), np.int64)
    for slab in reversed(list(slabs(flat.shape))):
        part = flat[slab]
        # Runs of equal labels are far fewer than voxels.
        starts = np.concatenate([[0], np.flatnonzero(part[1:] != part[:-1]) + 1])
        values = part[starts]
        first[values[::-1]] = starts[::-1] + slab.start  # of several writes to one place the last one stays
        size += np.bincount(values, np.diff(starts, append=part.size), count + 1).astype(np.int64)
    return first, size


def skeleton(foreground: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Thin a mask to its centre lines: scikit-image's (Zhang & Suen in 2D, Lee et al. in 3D), none lost.

    Parameters
    ----------
    foreground : ndarray of bool
        (y, x) or (z, y, x).

    Returns
    -------
    ndarray of bool
        Of the same shape. What scikit-image's 3D thinning deletes altogether, such as straight tubes of even
        width (scikit-image#3757), stands for its own skeleton.

    Examples
    --------
    >>> skeleton(np.ones((2, 4), bool)).astype(int)
    array([[1, 1, 1, 1],
           [0, 0, 0, 0]])
    """
    lines = skeletonize(foreground).astype(bool, copy=False)  # older scikit-image: 0 and 255 in 3D
    components, count = label_components(foreground)
    lost = np.ones(count + 1, bool)
    lost[0] = False  # background
    lost[components[lines]] = False
    return lines | lost[components]
