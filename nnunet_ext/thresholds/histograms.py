"""How often each activation occurs in voxels of each level: all that thresholds depend on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Counts = NDArray[np.int64]

STEPS = 100  # thresholds to choose from per level


def candidates(presets: Iterable[float]) -> Floats:
    """Thresholds to choose from: 0.005, 0.015 …, and the presets.

    Where a sigmoid is saturated the activation is a whole number but for rounding, so whole numbers are kept
    in the middle between two candidates.

    Parameters
    ----------
    presets : iterable of float
        One per level.

    Returns
    -------
    ndarray
        float32, increasing.
    """
    presets = list(presets)
    grid = (np.arange(STEPS * len(presets)) + 0.5) / STEPS
    return np.unique(np.concatenate([grid, presets]).astype(np.float32))


def level_histogram(activation: Floats, level: NDArray[np.intp], levels: int, edges: Floats) -> Counts:
    """Count the voxels of each true level between each two thresholds.

    Parameters
    ----------
    activation, level : ndarray
        float32 and integer, of one shape.
    levels : int
        Number of levels but 0.
    edges : ndarray
        float32 (E,), increasing thresholds.

    Returns
    -------
    ndarray
        int64 (levels + 1, E + 1); a voxel is in bin k if k of the thresholds are exceeded. At
        a = θ both scores are equal, and nnU-Net takes the outer class.
    """
    bins = np.searchsorted(edges, activation.ravel(), side="left")
    width = len(edges) + 1
    flat = np.bincount(level.ravel() * width + bins, minlength=(levels + 1) * width)
    return flat.reshape(levels + 1, width)
