"""The digital convex hull of a cell: the voxels whose centre lies in the hull of its voxels' centres."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

Points = NDArray[np.int64]

_TOLERANCE = 1e-7  # voxels; lattice points beside a plane through three others are farther off than that


def convex_hull(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Digital convex hull of the voxels of `mask`, however flat or thin they lie; False if there are none."""
    hull = np.zeros_like(mask)
    if mask.any():
        hull[tuple(_lattice_points(_ends(mask)).T)] = True
    return hull


def _ends(mask: NDArray[np.bool_]) -> Points:
    """First and last voxel of `mask` in every line along the last axis: they have the same hull."""
    lines = np.argwhere(mask.any(-1))
    runs = mask[tuple(lines.T)]
    first, last = runs.argmax(-1), mask.shape[-1] - 1 - runs[:, ::-1].argmax(-1)
    return np.concatenate([np.column_stack([lines, end]) for end in (first, last)])


def _lattice_points(points: Points) -> Points:
    """All lattice points in the convex hull of lattice `points` (m, d)."""
    offsets = points - points[0]
    axes = _independent_axes(offsets)
    if not axes:
        return points[:1]
    spanned = offsets[:, axes]
    inside = _points_in_full_hull(spanned)
    if len(axes) == points.shape[1]:
        return inside + points[0]
    # Flat: seen along the other axes it is a hull of fewer dimensions, of which we need the voxels' heights.
    slopes = np.linalg.lstsq(spanned.astype(float), offsets.astype(float), rcond=None)[0]
    places = inside @ slopes
    lattice = np.rint(places).astype(np.int64)
    return lattice[(np.abs(places - lattice) < _TOLERANCE).all(1)] + points[0]


def _independent_axes(offsets: Points) -> list[int]:
    """Axes along which nothing of the affine hull is lost; as many as it has dimensions."""
    rank = int(np.linalg.matrix_rank(offsets)) if offsets.any() else 0
    choices = (list(axes) for axes in combinations(range(offsets.shape[1]), rank))
    return next(axes for axes in choices if not axes or np.linalg.matrix_rank(offsets[:, axes]) == rank)


def _points_in_full_hull(points: Points) -> Points:
    """Lattice points in the hull of `points` that span all of their one to three dimensions."""
    low, high = points.min(0), points.max(0)
    if points.shape[1] == 1:
        return np.arange(low[0], high[0] + 1)[:, None]
    facets = ConvexHull(points).equations  # normal · x + offset ≤ 0 inside
    # Per line along the last axis, where it enters and where it leaves the half-spaces.
    lines = np.indices(high[:-1] - low[:-1] + 1).reshape(points.shape[1] - 1, -1).T + low[:-1]
    height = lines @ facets[:, :-2].T + facets[:, -1]
    slope = facets[:, -2]
    above, below = slope > _TOLERANCE**2, slope < -(_TOLERANCE**2)
    leaves = (height[:, above] / -slope[above]).min(1) + _TOLERANCE
    enters = (height[:, below] / -slope[below]).max(1) - _TOLERANCE
    met = (height[:, ~(above | below)] <= _TOLERANCE).all(1)
    last = np.arange(low[-1], high[-1] + 1)
    inside = met[:, None] & (last >= enters[:, None]) & (last <= leaves[:, None])
    line, step = np.nonzero(inside)
    return np.column_stack([lines[line], last[step]])
