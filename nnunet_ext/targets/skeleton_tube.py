"""Tubes around the centre lines of a structure: what Skeleton Recall wants to be found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from nnunet_ext.arrays.components import skeleton

RADIUS = 2


def skeleton_tube(foreground: NDArray[np.bool_], radius: int = RADIUS) -> NDArray[np.bool_]:
    """The centre lines of a mask and all voxels of it that are at most `radius` steps away.

    Parameters
    ----------
    foreground : (M, N[, P]) ndarray of bool
        The structures.
    radius : int
        Steps along the axes, 0 or more; the authors dilate twice with a cross, which is 2.

    Returns
    -------
    (M, N[, P]) ndarray of bool
        Within `foreground`. Every component has some of it: what scikit-image's 3D thinning deletes
        altogether stands for its own skeleton.

    References
    ----------
    Kirchhoff, Rokuss, Roy et al. Skeleton Recall loss for connectivity conserving and resource efficient
    segmentation of thin tubular structures. ECCV 2024, arXiv:2404.03010.

    Examples
    --------
    >>> skeleton_tube(np.ones((7, 9), bool)).astype(int)
    array([[0, 0, 0, 0, 0, 1, 1, 0, 0],
           [0, 0, 1, 1, 1, 1, 1, 1, 0],
           [0, 1, 1, 1, 1, 1, 1, 1, 1],
           [1, 1, 1, 1, 1, 1, 1, 1, 0],
           [0, 1, 1, 1, 1, 1, 1, 0, 0],
           [0, 0, 1, 1, 1, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0, 0, 0, 0]])
    """
    lines = skeleton(foreground)
    return binary_dilation(lines, iterations=radius) & foreground if radius else lines
