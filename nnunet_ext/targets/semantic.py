"""From instance labels to the classes a network can learn: background, cell, touching, gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.targets._checks import check_radius, check_spacing, unsigned_instances
from nnunet_ext.targets._cores import keep_cores as keep
from nnunet_ext.targets._gap import gap
from nnunet_ext.targets._slabs import for_each_slab, widened
from nnunet_ext.targets._touching import half_widths, touching_band
from nnunet_ext.targets.classes import GAP


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
        Thin the touching band, and that of the neighbours, of an instance that it would erase, split, or
        leave too little of for the instance to come back from its classes (`instances.from_semantic`) with
        an intersection over union of .97; where the thinnest band is not enough, single core voxels are
        moved (for at most 500 instances of an image, small ones first). Every instance keeps one connected
        core (in its largest component; full connectivity), and cores of different instances are never
        adjacent. False is the paper to the letter.

    Returns
    -------
    ndarray of uint8
        0 background, 1 cell, 2 touching, 3 gap.

    Raises
    ------
    TypeError, ValueError
        If ids are no integers or negative, or a parameter is out of its range.

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
        wide, inner = widened(slab, max(2, half[0]), len(ids))  # 2: as far as the thinnest band looks
        semantic[slab] += touching_band(ids[wide], half, separate=keep_cores)[inner]

    def add_gap(slab: slice) -> None:
        semantic[slab][gap(ids, closing, edges, slab)] = GAP

    for_each_slab(add_touching, ids.shape)
    if keep_cores:
        keep(ids, semantic, half, edges)
    if classes == 4:
        for_each_slab(add_gap, ids.shape, size=4)  # or most of the work would be in its wide halo
    return semantic
