"""How thick structures are, and by their local thickness how round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt, find_objects

from nnunet_ext.arrays.checks import binary_mask, check_spacing
from nnunet_ext.arrays.components import skeleton
from nnunet_ext.metrics.checks import check_instances

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Roundness:
    """Of one object.

    Attributes
    ----------
    sphericity : float
        From above 0 to about 1: perimeter (in 3D surface) of the disc (ball) of the same area (volume) by
        that of the ellipse (spheroid) whose half axis is the mean local thickness.
    roundness : float
        From above 0 to 1: mean of the local thickness on the edge by its largest there.
    """

    sphericity: float
    roundness: float


def local_thickness(mask: NDArray[Any], spacing: Sequence[float] | None = None) -> FloatArray:
    """The radius of the largest ball within a mask that covers each voxel.

    The radius of the ball around a voxel is the distance to the nearest voxel that is not of the mask;
    beyond the border nothing is. A ball covers the voxels nearer than its radius.

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
    radius = np.asarray(distance_transform_edt(padded, edges))
    result = np.zeros(padded.shape)
    shape = np.array(padded.shape)
    centers = np.argwhere(_maximal(radius, edges))
    # From the smallest to the largest: the last that covers a voxel stays.
    for center in centers[np.argsort(radius[tuple(centers.T)], kind="stable")]:
        r = radius[tuple(center)]
        reach = np.ceil(r / np.array(edges)).astype(int)
        low, high = np.maximum(center - reach, 0), np.minimum(center + reach + 1, shape)
        axes = [np.arange(a, b) - c for a, b, c in zip(low, high, center, strict=True)]
        squares = [(axis * edge) ** 2 for axis, edge in zip(axes, edges, strict=True)]
        covered = sum(np.ix_(*squares)) < r**2 * (1 - 1e-9)  # the nearest voxel outside is at r
        part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        result[part][covered] = r
    return result[(slice(1, -1),) * inside.ndim]


def _maximal(radius: FloatArray, edges: Sequence[float]) -> NDArray[np.bool_]:
    """Voxels whose ball lies in that of no neighbour; the others' balls cover nothing more."""
    found = radius > 0
    for offset in np.ndindex((3,) * radius.ndim):
        step = np.array(offset) - 1
        if not step.any():
            continue
        far = math.hypot(*(step * edges))
        here = tuple(slice(max(0, -s), radius.shape[a] - max(0, s)) for a, s in enumerate(step))
        there = tuple(slice(max(0, s), radius.shape[a] - max(0, -s)) for a, s in enumerate(step))
        found[here] &= radius[there] < radius[here] + far - 1e-9 * far
    return found


def roundness(mask: NDArray[Any], spacing: Sequence[float] | None = None) -> Roundness:
    """Sphericity and roundness of one object.

    Parameters
    ----------
    mask, spacing
        As in `local_thickness`; the mask of one object.

    Returns
    -------
    Roundness
        NaN of an empty mask.

    References
    ----------
    Fast sphericity and roundness approximation in 2D and 3D using local thickness. CVPR Workshops 2025,
    arXiv:2504.05808. Ramanujan's perimeter of the ellipse, and the surface of the spheroid with two half axes
    equal to the mean local thickness.

    Examples
    --------
    >>> y, x = np.mgrid[-12:13, -12:13]
    >>> disc, ellipse = roundness(y**2 + x**2 < 100), roundness(y**2 * 4 + x**2 < 100)
    >>> disc.sphericity > 0.99, disc.roundness > 0.99, ellipse.sphericity < 0.95, ellipse.roundness < 0.95
    (True, True, True, True)
    """
    inside = binary_mask(mask)
    edges = check_spacing(spacing, inside.ndim)
    if not inside.any():
        return Roundness(math.nan, math.nan)
    thickness = local_thickness(inside, edges)
    size = float(inside.sum() * math.prod(edges))
    mean = float(thickness[inside].mean())
    edge = inside & ~binary_erosion(inside)
    on_edge = thickness[edge]
    shape = _of_ellipse(size, mean) if inside.ndim == 2 else _of_spheroid(size, mean)
    return Roundness(shape, float(on_edge.mean() / on_edge.max()))


def median_thickness(mask: NDArray[Any], spacing: Sequence[float] | None = None) -> float:
    """How thick structures are: the median, over their centre lines, of twice the distance to the outside.

    Parameters
    ----------
    mask, spacing
        As in `local_thickness`.

    Returns
    -------
    float
        In the unit of the spacing; NaN of an empty mask.

    Examples
    --------
    >>> line = np.zeros((9, 30), bool)
    >>> line[3:6] = True
    >>> median_thickness(line)
    4.0
    """
    inside = binary_mask(mask)
    padded = np.pad(inside, 1)
    distances = np.asarray(distance_transform_edt(padded, check_spacing(spacing, inside.ndim)))
    on_lines = distances[(slice(1, -1),) * inside.ndim][skeleton(inside)]
    return float(2 * np.median(on_lines)) if on_lines.size else math.nan


def _of_ellipse(area: float, a: float) -> float:
    """Sphericity of the ellipse of an area with the half axis a."""
    b = area / (math.pi * a)
    perimeter = math.pi * (3 * (a + b) - math.sqrt((3 * a + b) * (a + 3 * b)))
    return 2 * math.sqrt(math.pi * area) / perimeter


def _of_spheroid(volume: float, a: float) -> float:
    """Sphericity of the spheroid of a volume with two half axes a."""
    c = 3 * volume / (4 * math.pi * a**2)
    square = 1 - min(a, c) ** 2 / max(a, c) ** 2
    eccentricity = math.sqrt(square)
    if eccentricity < 1e-4:  # nearly a ball, where the formulas divide nothing by nothing
        surface = 4 * math.pi * a**2
    elif c > a:
        surface = 2 * math.pi * a**2 * (1 + c / (a * eccentricity) * math.asin(eccentricity))
    else:
        surface = 2 * math.pi * a**2 * (1 + (1 - square) / eccentricity * math.atanh(eccentricity))
    return math.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / surface


def roundness_of_instances(
    instances: NDArray[Any], spacing: Sequence[float] | None = None
) -> dict[int, Roundness]:
    """Sphericity and roundness of every instance.

    Parameters
    ----------
    instances : (M, N[, P]) ndarray of int
        0 is background.
    spacing : sequence of float, optional
        Edges of a voxel in the order of the axes. Default: 1.

    Returns
    -------
    dict
        Id -> `Roundness`. An instance that touches the border is measured as it is, cut off.
    """
    check_instances(instances, "instances")
    edges = check_spacing(spacing, instances.ndim)
    return {
        number: roundness(instances[box] == number, edges)
        for number, box in enumerate(find_objects(instances), 1)
        if box is not None
    }
