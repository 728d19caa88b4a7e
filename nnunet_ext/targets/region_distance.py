"""How deep in its class a voxel lies: what the region-wise loss weighs probabilities with."""

from __future__ import annotations

from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.checks import class_labels


def region_distance(labels: NDArray[Any]) -> NDArray[np.float32]:
    """Distance to the nearest voxel of another class, divided by the largest of the class in the image.

    Background is a class like any other. Distances are in voxels, whatever the spacing.

    Parameters
    ----------
    labels : (M, N[, P]) ndarray of int or bool
        Classes.

    Returns
    -------
    (M, N[, P]) ndarray of float32
        Above 0, at most 1, which each class reaches; 1 everywhere where there is only one class.

    References
    ----------
    Valverde, Tohka. Region-wise loss for biomedical image segmentation. Pattern Recognition 2023,
    arXiv:2108.01405, the rectified maps: this is their size inside of a class, where they are negative.

    Examples
    --------
    >>> region_distance(np.array([[0, 0, 0, 0, 7]]))
    array([[1.  , 0.75, 0.5 , 0.25, 1.  ]], dtype=float32)
    """
    classes = class_labels(labels)
    if classes.size == 0:
        return np.zeros(classes.shape, np.float32)
    index = classes - classes.min() + 1  # of 0 there would be no distance
    index = index.astype(np.uint8 if index.max() < 2**8 else np.uint32)
    if index.max() == 1:
        return np.ones(classes.shape, np.float32)
    distances: NDArray[np.float32] = edt.edt(index, parallel=1)  # to the next label
    for label in np.flatnonzero(np.bincount(index.ravel())):
        inside = index == label
        distances[inside] /= distances[inside].max()
    return distances
