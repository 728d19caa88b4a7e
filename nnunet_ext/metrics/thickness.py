"""How thick structures are: at every voxel, and in the middle of all their centre lines.

A ball around each voxel would cost the sixth power of the radius in 3D. The largest balls come first here,
and after them only those that can still reach a voxel that none has covered.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, maximum_filter

from nnunet_ext.arrays.checks import binary_mask, check_spacing
from nnunet_ext.arrays.components import label_components, skeleton
from nnunet_ext.arrays.nearest import squared_steps

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_AT_ONCE = 2**20  # voxels of balls of one size
_ROUNDING = 1 + 1e-5  # of edt's squared distances, in single precision
# When those drawn have this many times the voxels of the image, what is left is looked through again.
_PATIENCE = 4


def local_thickness(mask: NDArray[Any], spacing: Sequence[float] | None = None) -> FloatArray:
    """The radius of the largest ball within a mask that covers each voxel.

    The radius of the ball around a voxel is the distance to the nearest voxel that is not of the mask;
    beyond the border nothing is. A ball covers the voxels nearer than its radius. Distances are compared as
    whole numbers, exact where the spacing has few digits, so voxels that are equally far are.

    Parameters
    ----------
    mask : (M, N[, P]) ndarray of bool
        The object, or several.
    spacing : sequence of float, optional
        Edges of a voxel in the order of the axes. Default: 1.

    Returns
    -------
    (M, N[, P]) ndarray of float64
        In the unit of the spacing; 0 outside of the mask.

    Raises
    ------
    TypeError, ValueError
        If `mask` is no mask of two or three axes, or `spacing` does not fit.

    References
    ----------
    Hildebrand, Rüegsegger. A new method for the model-independent assessment of thickness in
    three-dimensional images. Journal of Microscopy 185 (1997); there it is the diameter.

    Examples
    --------
    >>> local_thickness(np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], bool))
    array([[0., 0., 0., 0.],
           [0., 1., 1., 0.],
           [0., 0., 0., 0.]])
    """
    inside = binary_mask(mask)
    edges = check_spacing(spacing, inside.ndim)
    padded = np.pad(inside, 1)
    # The unit of the whole numbers is such that the smallest step is as long as the smallest edge.
    steps = squared_steps(padded.shape, edges)
    squared = _squared_radii(padded, steps)
    found = _largest_balls(squared, steps)[(slice(1, -1),) * inside.ndim]
    return np.sqrt(found) * (min(edges) / math.sqrt(min(steps)))


def median_thickness(mask: NDArray[Any], spacing: Sequence[float] | None = None) -> float:
    """How thick structures are: the median, over their centre lines, of twice the distance to the outside.

    Parameters
    ----------
    mask, spacing
        As in `local_thickness`.

    Returns
    -------
    float
        In the unit of the spacing; NaN of an empty mask. It is measured from the middle of the nearest voxel
        outside to that on the other side: a line of 3 voxels has 4, of 4 voxels 4, of 5 voxels 6.

    Examples
    --------
    >>> line = np.zeros((9, 30), bool)
    >>> line[3:6] = True
    >>> median_thickness(line)
    4.0
    """
    inside = binary_mask(mask)
    edges = check_spacing(spacing, inside.ndim)
    padded = np.asarray(distance_transform_edt(np.pad(inside, 1), edges))
    distances = padded[(slice(1, -1),) * inside.ndim]
    on_lines = distances[_center_lines(inside, distances)]
    return float(2 * np.median(on_lines)) if on_lines.size else math.nan


def _center_lines(inside: NDArray[np.bool_], distances: FloatArray) -> NDArray[np.bool_]:
    """The skeleton; of a component that thinning deletes, the voxels that lie no less deep than neighbours.

    Such a component, a straight tube for example, is its own skeleton otherwise, with all its surface.
    """
    lines = skeleton(inside)
    components, count = label_components(inside)
    left = np.bincount(components[inside & ~lines], minlength=count + 1)
    ridge = inside & (distances == maximum_filter(distances, 3))
    return np.asarray(np.where(left[components] == 0, ridge, lines))


def _squared_radii(inside: NDArray[np.bool_], steps: Sequence[int]) -> IntArray:
    """Squared distance to the nearest voxel outside, in whole numbers; 0 outside."""
    nearest = distance_transform_edt(inside, np.sqrt(steps), return_distances=False, return_indices=True)
    squared = np.zeros(inside.shape, np.int64)
    for axis, step in enumerate(steps):
        place = np.arange(inside.shape[axis]).reshape([-1 if a == axis else 1 for a in range(inside.ndim)])
        squared += step * (nearest[axis] - place) ** 2
    return squared


def _largest_balls(squared: IntArray, steps: tuple[int, ...]) -> IntArray:
    """At every voxel the largest of the squared radii of all balls that cover it."""
    found = np.zeros_like(squared)
    flat, radii = found.reshape(-1), squared.reshape(-1)
    centers = np.flatnonzero(radii > min(steps))  # smaller balls cover their own voxel only
    centers = centers[np.argsort(-radii[centers], kind="stable")]  # the largest first: who comes first, stays
    while (centers := centers[_reaches(radii[centers], centers, flat, squared, steps)]).size:
        drawn, done = 0, 0
        for group, offsets in _by_radius(centers, radii, squared, steps):
            for part in np.array_split(group, -(-group.size * offsets.size // _AT_ONCE)):
                covered = (part[:, None] + offsets).reshape(-1)  # never beyond the border, where outside is
                flat[covered[flat[covered] == 0]] = radii[group[0]]
            done += group.size
            drawn += group.size * offsets.size
            if drawn > _PATIENCE * flat.size:
                break
        centers = centers[done:]
    return np.where(found == 0, squared, found)


def _reaches(
    radii: IntArray, centers: IntArray, flat: IntArray, squared: IntArray, steps: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Which balls may have a voxel that none has covered yet."""
    missing = (squared > 0) & (flat.reshape(squared.shape) == 0)
    if not missing.any():
        return np.zeros(centers.size, bool)
    away = edt.edtsq(~missing, anisotropy=tuple(np.sqrt(steps)), black_border=False, parallel=1)
    # Whole numbers up to 2²⁴ are exact; otherwise a ball too many does no harm.
    exact = set(steps) == {1} and max(squared.shape) < 2**11
    return np.asarray(away.reshape(-1)[centers] < radii * (1 if exact else _ROUNDING))


def _by_radius(
    centers: IntArray, radii: IntArray, squared: IntArray, steps: tuple[int, ...]
) -> Iterator[tuple[IntArray, IntArray]]:
    """Centres of one radius after the other, with what to add to them to get the voxels of the ball."""
    starts = np.flatnonzero(np.diff(radii[centers], prepend=-1))
    strides = np.array(squared.strides) // squared.itemsize
    for group in np.split(centers, starts[1:]):
        radius = int(radii[group[0]])
        reach = [math.isqrt((radius - 1) // step) for step in steps]
        axes = np.ix_(*(np.arange(-r, r + 1) for r in reach))
        distance = sum(step * axis**2 for step, axis in zip(steps, axes, strict=True))
        place = sum(stride * axis for stride, axis in zip(strides, axes, strict=True))
        yield group, np.asarray(place)[np.asarray(distance) < radius]
