"""From instance labels to the classes a network can learn: background, cell, touching, gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.blocks import for_each_slab, widened
from nnunet_ext.arrays.checks import check_radius, check_spacing, unsigned_instances
from nnunet_ext.arrays.semantic_classes import CELL, GAP
from nnunet_ext.targets.keep_cores import restore_cores
from nnunet_ext.targets.touching import half_widths, touching_band

_LARGEST_TABLE = 2**24
_TOLERANCE = 1e-5  # of a squared distance: edt computes them in float32


def semantic_from_instances(
    instances: NDArray[Any],
    touching_radius: float = 2,
    gap_radius: float = 7,
    classes: int = 4,
    spacing: Sequence[float] | None = None,
    keep_cores: bool = True,
) -> NDArray[np.uint8]:
    """Turn instance labels into background, cell, touching and gap.

    Touching are the voxels of an instance with another instance in the window of `touching_radius` around
    them, gap the background that a closing of all instances with a ball of `gap_radius` fills, cell the
    rest of the instances.

    Parameters
    ----------
    instances : ndarray
        Integer ids (y, x) or (z, y, x), 0 background.
    touching_radius : float
        Half width of the cubic window, in voxels, or in the unit of `spacing` if that is given.
    gap_radius : float
        Radius of the ball, likewise.
    classes : int
        4; 3 leaves the gap to the background; 2 is plain foreground (1 wherever there is an instance).
    spacing : sequence of float, optional
        Edges of a voxel, in the order of the axes.
    keep_cores : bool
        Change the classes of instances that the touching band would erase, split, or leave too little of to
        be recovered (`instances.from_semantic`) with an intersection over union of .97: thin the band at all
        their borders, and where the thinnest band is not enough, move single core voxels. False is the
        paper's rule alone. See Notes.

    Returns
    -------
    ndarray of uint8
        0 background, 1 cell, 2 touching, 3 gap.

    Raises
    ------
    TypeError, ValueError
        If ids are no integers or negative, or a parameter is out of its range.

    Notes
    -----
    With `keep_cores`, voxels of the class cell that belong to different instances are never adjacent, corners
    included, and those of the largest piece of an instance are connected, so that they are recovered as one
    instance at most. Smaller pieces of an instance follow the paper's rule.

    An instance with a voxel that has no other instance beside it, corners included, always has a core. One of
    a few voxels amid others may find no place: `without_core` tells which. The choice of places is nearly
    the best one, not always (see `keep_cores.seeds`). Of 3998 random cells of 10 pixels on average that fill
    an image 18 have none, of 1999 of 20 pixels none. To be recovered well, small instances come first, and
    no more than 22 moves for each instance (at least 100 000, in 3D 45 000) are tried; the rest keeps the
    core it has by then.

    References
    ----------
    Guerrero-Peña, Marrero Fernandez, Ren, Cunha. J regularization improves imbalanced multiclass
    segmentation. ISBI 2020, arXiv:1910.09783, Sec. 2 (which prints "for all" where "there is" is meant).

    Examples
    --------
    >>> rows = np.array([[1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 3, 3, 0, 0]] * 3)
    >>> semantic_from_instances(rows, touching_radius=1, gap_radius=1)[1]
    array([1, 1, 1, 2, 2, 1, 1, 1, 3, 3, 1, 1, 0, 0], dtype=uint8)
    """
    ids = unsigned_instances(instances)
    edges = check_spacing(spacing, ids.ndim)
    radius = check_radius(touching_radius, "touching_radius")
    closing = check_radius(gap_radius, "gap_radius")
    if classes not in (2, 3, 4):
        raise ValueError(f"classes is 2, 3 or 4; got {classes!r}")
    if classes == 2 or not ids.size:
        return (ids != 0).astype(np.uint8)
    half = half_widths(radius, edges)
    semantic = (ids != 0).view(np.uint8)

    def add_touching(slab: slice) -> None:
        # 2: as far as the thinnest band looks. A cell voxel, 1, becomes touching, 2.
        wide, inner = widened(slab, max(2, half[0]), len(ids))
        semantic[slab] += touching_band(ids[wide], half, separate=keep_cores)[inner]

    def add_gap(slab: slice) -> None:
        semantic[slab][_gap(ids, closing, edges, slab)] = GAP

    for_each_slab(add_touching, ids.shape)
    if keep_cores:
        restore_cores(ids, semantic, half, edges)
    if classes == 4:
        for_each_slab(add_gap, ids.shape, size=4)  # or most of the work would be in its wide halo
    return semantic


def without_core(instances: NDArray[Any], semantic: NDArray[Any]) -> NDArray[Any]:
    """Return the ids, in ascending order, that have no voxel of the class cell and so cannot come back.

    Parameters
    ----------
    instances : ndarray
        Integer ids, 0 background.
    semantic : ndarray of integers
        Their classes, from `semantic_from_instances` or read from a file.

    Examples
    --------
    >>> without_core(np.array([[1, 1, 7, 4]]), np.array([[1, 2, 2, 1]], np.uint8))
    array([7])
    """
    if (
        instances.size and instances.min() >= 0 and instances.max() <= _LARGEST_TABLE
    ):  # far faster than sorting
        here, core = np.zeros((2, int(instances.max()) + 1), bool)
        here[instances] = core[instances[semantic == CELL]] = True
        here[0] = False
        return np.flatnonzero(here & ~core).astype(instances.dtype)
    present, core = np.unique(instances), np.unique(instances[semantic == CELL])
    return np.setdiff1d(present[present != 0], core, assume_unique=True)


def _gap(instances: NDArray[Any], radius: float, spacing: Sequence[float], slab: slice) -> NDArray[np.bool_]:
    """Where the foreground's black-top-hat is > 0, in the rows `slab`, as if the image had no border.

    The structuring element is the ball {|x| ≤ radius} in the units of `spacing`.
    """
    reach = half_widths(radius, spacing)
    wide, inner = widened(slab, 2 * reach[0], len(instances))
    # Zeros around the image: a dilation reaches so far beyond it, and no erosion inside sees farther.
    margin = [(reach[0] if wide.start == 0 else 0, reach[0] if wide.stop == len(instances) else 0)]
    margin += [(width, width) for width in reach[1:]]
    background = np.pad(instances[wide] == 0, margin, constant_values=True)
    limit = radius**2 * (1 + _TOLERANCE)
    dilated = edt.edtsq(background, anisotropy=spacing, parallel=1) <= limit
    closed = edt.edtsq(dilated, anisotropy=spacing, parallel=1) > limit
    closed &= background
    rows = slice(margin[0][0] + inner.start, margin[0][0] + inner.stop)
    inside = (rows, *(slice(width, -width or None) for width in reach[1:]))
    return closed[inside]
