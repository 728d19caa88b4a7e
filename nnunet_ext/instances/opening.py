"""Morphological opening of the cell class: thin bridges between cells, and specks, go."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import grey_opening

from nnunet_ext.arrays.components import label_components
from nnunet_ext.instances.losses import Losses


def open_cells(labels: NDArray[Any], cell: int, size: int, losses: Losses | None = None) -> NDArray[Any]:
    """Labels in which the cell class is eroded and dilated with a cube; what it loses is background.

    Beyond the border the image goes on as it ends, so that a cell at the border keeps its outline there.

    Parameters
    ----------
    labels : (M, N[, P]) ndarray of int
        The semantic map; not changed.
    cell : int
        The label of the class.
    size : int
        Edge of the cube in voxels, odd, 3 or more.
    losses : Losses, optional
        Its counts are set: voxels that are background now, and components of which none is left.

    Returns
    -------
    ndarray
        Shape and dtype of `labels`.

    Examples
    --------
    >>> dumbbell = np.array([[1, 1, 1, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 1, 1, 1]])
    >>> open_cells(dumbbell, 1, 3)
    array([[1, 1, 1, 0, 1, 1, 1],
           [1, 1, 1, 0, 1, 1, 1],
           [1, 1, 1, 0, 1, 1, 1]])
    """
    if size < 3 or size % 2 == 0:
        raise ValueError(f"size is an odd number of voxels, 3 or more; got {size}")
    mask = labels == cell
    padded = np.pad(mask.astype(np.uint8), size, mode="edge")
    opened = grey_opening(padded, (size,) * labels.ndim)[(slice(size, -size),) * labels.ndim] > 0
    opened &= mask
    if losses is not None:
        losses.opened_voxels = int(mask.sum() - opened.sum())
        components, count = label_components(mask)
        losses.opened_cells = count - len(np.unique(components[opened]))
    return np.where(mask & ~opened, labels.dtype.type(0), labels)
