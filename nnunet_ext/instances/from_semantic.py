"""Instances from a semantic label map."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.blocks import Box, block_edges, workplace
from nnunet_ext.arrays.checks import check_axes
from nnunet_ext.arrays.components import check_connectivity
from nnunet_ext.arrays.semantic_classes import CELL, TOUCHING
from nnunet_ext.instances.cores import assemble
from nnunet_ext.instances.losses import Losses


def from_semantic(
    labels: NDArray[Any],
    *,
    cell: int = 1,
    touching: int | None = 2,
    connectivity: int | None = None,
    min_size: int = 0,
    spacing: Sequence[float] | None = None,
    max_distance: float | None = None,
    losses: Losses | None = None,
    tile: int | Sequence[int] | None = None,
    threads: int | None = None,
    scratch: str | os.PathLike[str] | None = None,
) -> NDArray[Any]:
    """Instances from a semantic map: components of the cells, plus the touching voxels nearest to each.

    The connected components of `cell`, the cores, are the instances; the touching class keeps them apart.
    Every touching voxel goes to its nearest core (Euclidean); of equally near cores to the one that comes
    first in raster order. One without a core within `max_distance` is background: a speck far from all cells
    is a mistake rather than a cell, which has an inside. All other voxels, the gap class among them, are
    background. So is everything where there is no cell.

    Parameters
    ----------
    labels : (M, N[, P]) ndarray of bool or integers
        The semantic map, for instance what nnU-Net predicted. A `numpy.memmap` is read block by block.
    cell, touching : int
        The labels of the two classes. Without touching voxels, or with ``touching=None``, the result
        is the components of `cell`.
    connectivity : int, optional
        Largest number of orthogonal steps between neighbours in a core, as in scikit-image: 1 is the
        4- or 6-neighbourhood. Default: full, the 8- or 26-neighbourhood.
    min_size : int
        Cores with fewer voxels become background before the touching voxels are given out, so that a
        speck takes none from the cell beside it. Every instance returned has at least this many voxels.
    spacing : sequence of float, optional
        Voxel spacing in the order of the axes, for the nearest core. Default: equal.
    max_distance : float, optional
        Touching voxels farther than this from every core, in the unit of `spacing`, become background.
        Default: four times as far as the corner of a touching window of 2 voxels, in 2D with equal spacing
        11.3 voxels. ``inf``: the nearest core, however far.
    losses : Losses, optional
        Its counts are set: what was left out.
    tile : int or sequence of int, optional
        Edge of the blocks that are worked on one by one. The result does not depend on it; smaller
        blocks need less memory.
    threads : int, optional
        Blocks in work at a time. Default: one per core of the machine.
    scratch : path, optional
        An existing folder for memory-mapped working files, for volumes beyond memory. The result is
        then a `numpy.memmap` in it; removing the folder is up to the caller.

    Returns
    -------
    ndarray of uint16, or of uint32 beyond 65 535 instances
        0 background, 1 … n the instances in raster order of their first voxels.

    Raises
    ------
    ValueError
        If an argument is not as above.

    References
    ----------
    Guerrero-Peña et al. Multiclass Weighted Loss for Instance Segmentation of Cluttered Cells. ICIP
    (2018), Algorithm 2. Guerrero-Peña et al. J Regularization Improves Imbalanced Multiclass
    Segmentation. ISBI (2020).

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.array([[0, 1, 1, 2, 2, 1, 1], [0, 1, 2, 2, 2, 1, 3]])
    >>> from_semantic(labels)
    array([[0, 1, 1, 1, 2, 2, 2],
           [0, 1, 1, 1, 2, 2, 0]], dtype=uint16)
    """
    if labels.dtype.kind not in "bui":
        raise ValueError(f"labels: expected integers, got {labels.dtype}")
    check_axes(labels, "labels")
    if cell == touching:
        raise ValueError(f"cell and touching: expected two labels, got {cell} for both")

    def read(box: Box) -> NDArray[Any]:
        block = labels[box]
        if (cell, touching) == (CELL, TOUCHING):
            return block
        semantic = np.zeros(block.shape, np.uint8)
        semantic[block == cell] = CELL
        if touching is not None:
            semantic[block == touching] = TOUCHING
        return semantic

    return assemble(
        read,
        labels.shape,
        block_edges(tile, labels.ndim),
        connectivity=check_connectivity(connectivity, labels.ndim),
        min_size=min_size,
        spacing=spacing,
        max_distance=max_distance,
        losses=losses,
        place=workplace(threads, scratch),
    )
