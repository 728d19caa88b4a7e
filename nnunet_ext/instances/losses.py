"""What does not become an instance, counted; and how far from a core a touching voxel may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

from nnunet_ext.arrays.checks import check_spacing

DEFAULT_RADIUS = 2.0  # voxels, that of `nnunet_ext convert`
_TIMES = 4


@dataclass
class Losses:
    """What was left out, to be reported.

    Attributes
    ----------
    small_cores : int
        Cores, or seeds, with fewer than `min_size` voxels.
    voxels_without_core : int
        Touching voxels, of the watershed all foreground voxels, with no core near enough; background.
    opened_voxels, opened_cells : int
        Voxels of cells that an opening made background, and connected parts of which it left none.
    """

    small_cores: int = 0
    voxels_without_core: int = 0
    opened_voxels: int = 0
    opened_cells: int = 0


def default_distance(
    spacing: Sequence[float] | None, ndim: int, radius: float = DEFAULT_RADIUS, in_voxels: bool = True
) -> float:
    """How far a touching voxel may be from a core: four times as far as the corner of the touching window.

    The corner is as far as a voxel of a band is from the inside of its cell. Where a small cell is predicted
    as touching altogether, its voxels are farther from the next core, but not several bands away.

    Parameters
    ----------
    spacing : sequence of float, optional
        Edges of a voxel.
    ndim : int
        2 or 3.
    radius : float
        Half width of the window, `touching_radius` of `nnunet_ext.targets.semantic_from_instances`. At least
        a voxel is taken.
    in_voxels : bool
        Whether that is in voxels, or in the unit of the spacing.

    Returns
    -------
    float
        In the unit of the spacing.

    Examples
    --------
    >>> round(default_distance(None, 2), 2), round(default_distance((1, 0.5), 2, 1), 2)
    (11.31, 4.47)
    """
    edges = check_spacing(spacing, ndim)
    return _TIMES * hypot(*(max(edge, radius * edge if in_voxels else radius) for edge in edges))
