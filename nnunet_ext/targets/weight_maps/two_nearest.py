"""Distances to the nearest and to the second-nearest instance, from a few distance transforms.

Give every instance a code: w of k sets, no two instances the same w. At any voxel the w sets of the nearest
instance are at its distance d1. Every other instance is in some set that the nearest one is not in, so the
nearest of the other sets is the second-nearest instance, at d2: of the k distances, sorted, number w + 1.
Ten sets are enough for 252 instances. And instances farther apart than `cut_off` may share a code: between
them d1 + d2 is more than that.
"""

from __future__ import annotations

from itertools import combinations
from math import comb

import edt
import numpy as np
from numpy.typing import NDArray

from nnunet_ext.targets.weight_maps.arguments import boxes

Floats = NDArray[np.float32]


def two_nearest(
    ids: NDArray[np.unsignedinteger], cut_off: float, spacing: tuple[float, ...]
) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Distances of the background voxels to the nearest and second-nearest instance.

    Parameters
    ----------
    ids : (M, N[, P]) ndarray of unsigned int
        Dense, 0 background; C order.
    cut_off : float
        Where d1 + d2 is more, d2 may be too large, up to infinite.
    spacing : tuple of float

    Returns
    -------
    background : (M, N[, P]) ndarray of bool
    nearest, second : (n,) ndarray of float32
        In the units of `spacing`, for the n voxels of `background`; infinite where there is no such instance.
    """
    background = ids == 0
    colours = _colours(ids, cut_off, spacing)
    codes = _codes(int(colours.max(initial=0)) + 1)
    of_sets, in_sets = len(codes[0]), int(codes[0].sum())
    distances = np.empty((of_sets, np.count_nonzero(background)), np.float32)
    outside = np.ones(len(colours), np.uint8)  # [0] background is in no set
    for number in range(of_sets):
        outside[1:] = ~codes[colours[1:], number]
        squared = edt.edtsq(np.take(outside, ids), anisotropy=spacing, parallel=1)
        distances[number] = squared[background]
    if of_sets > 1:
        distances.partition(in_sets, axis=0)
        second = distances[in_sets]
        nearest = distances[:in_sets].min(axis=0)
    else:
        nearest, second = distances[0], np.full_like(distances[0], np.inf)
    return background, np.sqrt(nearest), np.sqrt(second)


def _codes(colours: int) -> NDArray[np.bool_]:
    """For each colour the sets it is in: equally many, of as few sets as there are enough codes of."""
    of_sets = next(k for k in range(1, colours + 1) if comb(k, k // 2) >= colours)
    codes = np.zeros((colours, of_sets), bool)
    for code, chosen in zip(codes, combinations(range(of_sets), max(1, of_sets // 2)), strict=False):
        code[list(chosen)] = True
    return codes


def _colours(
    ids: NDArray[np.unsignedinteger], cut_off: float, spacing: tuple[float, ...]
) -> NDArray[np.intp]:
    """A colour, from 0, for every id; bounding boxes nearer than `cut_off` have different ones."""
    found = boxes(ids)
    by_id = np.zeros(int(ids.max(initial=0)) + 1, np.intp)
    if not found:
        return by_id
    starts = np.array([[side.start for side in box] for _, box in found]) * spacing
    # Distances are between centres of voxels: the last voxel, not the edge behind it.
    ends = np.array([[side.stop - 1 for side in box] for _, box in found]) * spacing
    colour = np.zeros(len(found), np.intp)
    for new in range(1, len(found)):
        gap = np.maximum(starts[:new] - ends[new], starts[new] - ends[:new]).clip(0)
        near = (gap**2).sum(1) <= cut_off**2
        taken = np.zeros(new + 1, bool)
        taken[colour[:new][near]] = True
        colour[new] = taken.argmin()
    by_id[[number for number, _ in found]] = colour
    return by_id
