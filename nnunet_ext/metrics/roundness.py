"""How round objects are, by their local thickness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, find_objects

from nnunet_ext.arrays.checks import binary_mask, check_axes, check_spacing, dense_instances
from nnunet_ext.metrics.checks import BoolArray, check_instances, check_mask
from nnunet_ext.metrics.contingency import mostly_ignored
from nnunet_ext.metrics.thickness import local_thickness


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
    instances: NDArray[Any], spacing: Sequence[float] | None = None, mask: BoolArray | None = None
) -> dict[int, Roundness]:
    """Sphericity and roundness of every instance.

    Parameters
    ----------
    instances : (M, N[, P]) ndarray of int
        0 is background; ids may be of any size.
    spacing : sequence of float, optional
        Edges of a voxel in the order of the axes. Default: 1.
    mask : (M, N[, P]) ndarray of bool, optional
        True = counted. Instances of which more than half is not counted are left out; others are measured
        whole.

    Returns
    -------
    dict
        Id -> `Roundness`. An instance that touches the border is measured as it is, cut off.

    Raises
    ------
    TypeError, ValueError
        If these are no instance ids in two or three axes, or `spacing` or `mask` does not fit.

    Examples
    --------
    >>> cells = np.zeros((4, 9), int)
    >>> cells[1:3, 1:3] = 7
    >>> cells[1:3, 4:9] = 2
    >>> {cell: each.roundness for cell, each in roundness_of_instances(cells).items()}
    {2: 1.0, 7: 1.0}
    """
    check_instances(instances, "instances")
    check_axes(instances, "instances")
    edges = check_spacing(spacing, instances.ndim)
    left_out = np.empty(0, np.int64)
    dense, count = dense_instances(instances)  # a box for every number up to the largest id would be too many
    if mask is not None:
        check_mask(mask, instances.shape)
        left_out = mostly_ignored(dense, mask).astype(np.int64)
    ids = np.unique(instances)[-count:]  # of none there is no box, either
    return {
        int(ids[number - 1]): roundness(dense[box] == number, edges)
        for number, box in enumerate(find_objects(dense), 1)
        if box is not None and number not in left_out
    }
