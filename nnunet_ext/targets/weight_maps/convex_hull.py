"""The digital convex hull of a cell: the voxels whose centre lies in the hull of its voxels' centres.

`skimage.morphology.convex_hull_image(offset_coordinates=False)` computes the same, but not of voxels that all
lie in a line or, in 3D, in a plane: their hull is empty there, with a warning. Of the 136 cells of three
PlantSeg stacks 7 are like that. And in 3D it compares every voxel of the box with every facet; here each line
of voxels is cut by the facets near it. Seconds on one core, with scikit-image 0.26 for all cells that it can
do (same hulls, same maps):

========================  =====  ==========  =============  =================  ====================
cells of                         hulls here  scikit-image   shape_aware, here  with scikit-image
========================  =====  ==========  =============  =================  ====================
52 DSB2018 images          4136        1.31           1.06               3.40                  3.30
three PlantSeg stacks       136        0.61           2.50               1.62                  3.08
a synthetic field, 128³     262        0.79           3.26               1.76                  4.23
========================  =====  ==========  =============  =================  ====================
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

_Points = NDArray[np.int64]

_TOLERANCE = 1e-7  # voxels; lattice points beside a plane through three others are farther off than that
_AT_A_TIME = 2**20  # numbers in a temporary array


def convex_hull(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Digital convex hull of the voxels of `mask`, however flat or thin they lie; False if there are none."""
    hull = np.zeros_like(mask)
    if mask.any():
        for points in _lattice_points(_ends(mask)):
            hull[tuple(points.T)] = True
    return hull


def _ends(mask: NDArray[np.bool_]) -> _Points:
    """First and last voxel of `mask` in every line along the last axis: they have the same hull."""
    lines = np.argwhere(mask.any(-1))
    runs = mask[tuple(lines.T)]
    first, last = runs.argmax(-1), mask.shape[-1] - 1 - runs[:, ::-1].argmax(-1)
    return np.concatenate([np.column_stack([lines, end]) for end in (first, last)])


def _lattice_points(points: _Points) -> Iterator[_Points]:
    """All lattice points in the convex hull of lattice `points` (m, d), in parts."""
    offsets = points - points[0]
    axes = _independent_axes(offsets)
    if not axes:
        yield points[:1]
        return
    spanned = offsets[:, axes]
    if len(axes) == points.shape[1]:
        yield from (inside + points[0] for inside in _points_in_full_hull(spanned))
        return
    # Flat: project it along the other axes, fill that hull, and lift its points back into the line or plane.
    # Where they come to lie between voxels there is none.
    slopes = np.linalg.lstsq(spanned.astype(float), offsets.astype(float), rcond=None)[0]
    for inside in _points_in_full_hull(spanned):
        places = inside @ slopes
        lattice = np.rint(places).astype(np.int64)
        yield lattice[(np.abs(places - lattice) < _TOLERANCE).all(1)] + points[0]


def _independent_axes(offsets: _Points) -> list[int]:
    """Axes along which nothing of the affine hull is lost; as many as it has dimensions."""
    rank = int(np.linalg.matrix_rank(offsets)) if offsets.any() else 0
    choices = (list(axes) for axes in combinations(range(offsets.shape[1]), rank))
    return next(axes for axes in choices if not axes or np.linalg.matrix_rank(offsets[:, axes]) == rank)


def _points_in_full_hull(points: _Points) -> Iterator[_Points]:
    """Lattice points in the hull of `points` that span all of their one to three dimensions, in parts."""
    low, high = points.min(0), points.max(0)
    if points.shape[1] == 1:
        yield np.arange(low[0], high[0] + 1)[:, None]
        return
    hull = ConvexHull(points)
    reached = points[hull.simplices, 0]
    first, last = reached.min(1), reached.max(1)
    lines_per_row = prod(high[1:-1] - low[1:-1] + 1)
    rows = max(1, _AT_A_TIME // (lines_per_row * max(len(first), high[-1] - low[-1] + 1)))
    for start in range(low[0], high[0] + 1, rows):
        stop = min(start + rows, high[0] + 1)
        # A hull of few rows is bounded by the facets that reach them: of a large cell a small part of all.
        near = hull.equations[(first < stop) & (last >= start)]
        yield _points_inside(near, [start, *low[1:]], [stop, *(high[1:] + 1)])


def _points_inside(facets: NDArray[np.float64], start: Sequence[int], stop: Sequence[int]) -> _Points:
    """Lattice points of a box that lie behind all `facets` (normal · x + offset ≤ 0)."""
    # Per line along the last axis, where it enters and where it leaves the half-spaces.
    sizes = tuple(last - first for first, last in zip(start, stop, strict=True))
    lines = np.indices(sizes[:-1]).reshape(len(sizes) - 1, -1).T + start[:-1]
    height = lines @ facets[:, :-2].T + facets[:, -1]
    slope = facets[:, -2]
    above, below = slope > _TOLERANCE**2, slope < -(_TOLERANCE**2)
    leaves = (height[:, above] / -slope[above]).min(1) + _TOLERANCE
    enters = (height[:, below] / -slope[below]).max(1) - _TOLERANCE
    met = (height[:, ~(above | below)] <= _TOLERANCE).all(1)
    places = np.arange(start[-1], stop[-1])
    inside = met[:, None] & (places >= enters[:, None]) & (places <= leaves[:, None])
    line, step = np.nonzero(inside)
    return np.column_stack([lines[line], places[step]])
