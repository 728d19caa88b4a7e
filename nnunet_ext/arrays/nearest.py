"""The nearest core of a voxel, in exact arithmetic, so that ties are ties wherever the voxel lies."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import gcd, lcm

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from nnunet_ext.arrays.checks import check_spacing

IntArray = NDArray[np.int64]

#: In a map of cores: no core here. The largest value, so that a minimum over neighbours ignores it.
NO_CORE = np.uint32(2**32 - 1)

# Neighbours are looked up one by one within this many of the shortest steps; beyond, a k-d tree is faster.
_NEAR_STEPS = {2: 8, 3: 4}
_QUERIES = 1 << 20


def squared_steps(shape: Sequence[int], spacing: Sequence[float] | None) -> tuple[int, ...]:
    """Squared voxel spacing as whole numbers: exact where a spacing has few digits, else finely rounded.

    A squared distance is then the whole number Σ step·offset². It depends on the offset alone and has no
    rounding error, so equally near is equally near, in every tile. With equal spacing every step is 1.
    A spacing of many digits, such as 0.2196471 beside 0.5, is rounded to as many bits as there is room for;
    offsets along different axes that are equally far by chance may then differ.

    Raises
    ------
    ValueError
        If spacing is not one positive number per axis.
    """
    edges = check_spacing(spacing, len(shape))
    squares = [Fraction(repr(edge)) ** 2 for edge in edges]  # of the digits as they are written
    unit = lcm(*(square.denominator for square in squares))
    whole = [int(square * unit) for square in squares]
    common = gcd(*whole)
    exact = tuple(step // common for step in whole)
    # Within 2⁴⁴ the k-d tree's floating point sorts whole numbers rightly.
    if sum(step * length**2 for step, length in zip(exact, shape, strict=True)) <= 2**44:
        return exact
    ratio = (np.asarray(edges) / min(edges)) ** 2
    longest = max(1.0, float(ratio @ (np.asarray(shape, float) ** 2)))
    bits = int(np.clip(44 - np.ceil(np.log2(longest)), 0, 20))
    return tuple(int(step) for step in np.rint(ratio * 2**bits))


@lru_cache(maxsize=32)
def near_offsets(steps: tuple[int, ...]) -> tuple[IntArray, ...]:
    """Offsets (k, ndim) of the nearest neighbours, grouped by distance, the nearest group first.

    The groups are complete: no offset that is missing is as near as one that is there.
    """
    reach = _NEAR_STEPS[len(steps)]
    cube = np.indices((2 * reach + 1,) * len(steps)).reshape(len(steps), -1).T - reach
    squared = (cube**2) @ np.asarray(steps)
    complete = (squared > 0) & (squared < min(steps) * (reach + 1) ** 2)
    cube, squared = cube[complete], squared[complete]
    return tuple(cube[squared == distance] for distance in np.unique(squared))


def within_reach(steps: tuple[int, ...]) -> int:
    """Largest squared distance of `near_offsets`: within it, nothing is missing."""
    return int((near_offsets(steps)[-1][0] ** 2) @ np.asarray(steps))


def look_around(cores: NDArray[np.uint32], at: IntArray, groups: Sequence[IntArray]) -> NDArray[np.uint32]:
    """Nearest core of voxels, by looking at their neighbours in order of distance.

    Parameters
    ----------
    cores : ndarray of uint32
        C-ordered map of cores, `NO_CORE` elsewhere, with a margin as wide as the largest offset.
    at : ndarray of int64
        Flat indices into `cores` of voxels not in the margin.
    groups : sequence of ndarray
        From `near_offsets`.

    Returns
    -------
    ndarray of uint32
        Of the nearest cores the first; `NO_CORE` where none is in reach.
    """
    flat = cores.reshape(-1)
    strides = np.asarray(cores.strides) // cores.itemsize
    nearest = np.full(at.size, NO_CORE)
    waiting = np.arange(at.size)
    for group in groups:
        if not at.size:
            break
        found = np.full(at.size, NO_CORE)
        for offset in group @ strides:
            np.minimum(found, flat.take(at + offset), out=found)
        hit = found != NO_CORE
        nearest[waiting[hit]] = found[hit]
        waiting, at = waiting[~hit], at[~hit]
    return nearest


class CoreTree:
    """A k-d tree over voxels of cores.

    Parameters
    ----------
    points : (n, ndim) ndarray of int64
        Positions in voxels; at least one.
    cores : (n,) ndarray of uint32
        The core of each.
    steps : tuple of int
        From `squared_steps`.
    """

    def __init__(self, points: IntArray, cores: NDArray[np.uint32], steps: tuple[int, ...]) -> None:
        self.points, self.cores, self.steps = points, cores, np.asarray(steps)
        self.scale = np.sqrt(self.steps)
        self.tree = cKDTree(points * self.scale)

    def bounds(self, at: IntArray, threads: int) -> tuple[IntArray, IntArray]:
        """Lowest and highest position of what is at most as far from a voxel in `at` as a point here."""
        low, high = at.min(0), at.max(0)
        for part in _parts(at):
            distance = self.tree.query(part * self.scale, workers=threads)[0]
            reach = np.ceil(distance[:, None] * (1 + 1e-9) / self.scale).astype(np.int64)
            low = np.minimum(low, (part - reach).min(0))
            high = np.maximum(high, (part + reach).max(0))
        return low, high

    def nearest(self, at: IntArray, threads: int, limit: float = np.inf) -> NDArray[np.uint32]:
        """Nearest core of voxels (m, ndim), of equally near ones the first; none beyond a squared limit."""
        return np.concatenate([self._nearest(part, threads, limit) for part in _parts(at)])

    def _nearest(self, at: IntArray, threads: int, limit: float) -> NDArray[np.uint32]:
        nearest = np.full(len(at), NO_CORE)
        waiting = np.arange(len(at))
        neighbours = 2
        while waiting.size:
            # More neighbours than points: the tree answers with index n, which stands for none.
            count = min(neighbours, len(self.points))
            index = self.tree.query(at[waiting] * self.scale, k=range(1, count + 1), workers=threads)[1]
            squared = ((self.points[index] - at[waiting, None]) ** 2) @ self.steps
            tied = (squared == squared.min(1, keepdims=True)) & (squared <= limit)
            nearest[waiting] = np.where(tied, self.cores[index], NO_CORE).min(1)
            # If all are equally near, there may be more of them.
            waiting = waiting[tied.all(1)] if count < len(self.points) else waiting[:0]
            neighbours *= 4
        return nearest


def _parts(at: IntArray) -> list[IntArray]:
    return [at[start : start + _QUERIES] for start in range(0, len(at), _QUERIES)]
