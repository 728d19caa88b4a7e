"""Instances from class probabilities."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from nnunet_ext.arrays.blocks import Box, Workplace, block_edges, whole, workplace
from nnunet_ext.arrays.components import check_connectivity, first_and_size
from nnunet_ext.instances.cores import assemble, raster_order
from nnunet_ext.instances.from_semantic import from_semantic
from nnunet_ext.instances.losses import Losses
from nnunet_ext.instances.semantic import (
    GAPS,
    Channels,
    Decision,
    check_choice,
    check_probabilities,
    comparable,
    decision,
    gamma,
    sum_without_gap,
)

_METHODS = ("map", "threshold", "watershed")
NO_TILES = (
    "method 'watershed' grows seeds through the whole volume and cannot be computed by tiles; "
    "'map' and 'threshold' can"
)


def from_probabilities(
    p: NDArray[Any] | Channels,
    method: Literal["map", "threshold", "watershed"] = "map",
    *,
    gap: Literal["background", "second", "uniform"] = "background",
    gamma_touching: float | None = None,
    gamma_cell: float | None = None,
    connectivity: int | None = None,
    min_size: int = 0,
    spacing: Sequence[float] | None = None,
    max_distance: float | None = None,
    losses: Losses | None = None,
    tile: int | Sequence[int] | None = None,
    threads: int | None = None,
    scratch: str | os.PathLike[str] | None = None,
) -> NDArray[Any]:
    """Instances from the probabilities of background, cell, touching and gap.

    * ``"map"`` and ``"threshold"`` decide as `semantic_from_probabilities` does; then follows
      `from_semantic`: components of the cell class, each touching voxel to the nearest.
    * ``"watershed"`` grows seeds over the foreground, which is where ``"map"`` sees cell or touching.
      Seeds are the components of the foreground with p_cell − p_touching > `gamma_cell`, and voxels with
      a high p_cell − p_touching are reached first. Foreground without a seed is background.

    Parameters
    ----------
    p : (C, M, N[, P]) ndarray of float16, float32 or float64, or sequence of C arrays
        Probabilities of background, cell, touching, gap in this order. C = 3: no gap. C = 2: no
        touching either.
    method : str
        As above. ``"map"`` has no parameters.
    gap : str
        What becomes of voxels where the gap is the most probable class: ``"background"``; the
        ``"second"`` most probable class; or ``"uniform"``, the other classes renormalised everywhere.
        See `semantic_from_probabilities`. Without a gap class it changes nothing.
    gamma_touching : float, optional
        Threshold on p_touching, for ``"threshold"``. Default: 0.5.
    gamma_cell : float, optional
        Threshold on p_cell for ``"threshold"``, on p_cell − p_touching for ``"watershed"``. Default: 0.5.
        The papers choose thresholds on their data and print no values.
    connectivity : int, optional
        Of cores, or of seeds and their growth; see `from_semantic`. Default: full.
    min_size : int
        Cores, or seeds, with fewer voxels are dropped before touching voxels are given out, or seeds grow.
    spacing : sequence of float, optional
        Voxel spacing in the order of the axes, for the nearest core; ``"watershed"`` does not use it.
    max_distance : float, optional
        Touching voxels farther than this from every core become background, see `from_semantic`; not for
        ``"watershed"``, which reaches only what is connected to a seed.
    losses : Losses, optional
        Its counts are set: what was left out.
    tile, threads, scratch
        As in `from_semantic`. The result does not depend on them. Not for ``"watershed"``, whose growth
        may go through the whole volume.

    Returns
    -------
    ndarray of uint16, or of uint32 beyond 65 535 instances
        0 background, 1 … n the instances in raster order of their first voxels.

    Raises
    ------
    ValueError
        If an argument is not as above, or is not for this method.

    Examples
    --------
    >>> import numpy as np
    >>> p = np.zeros((4, 1, 6))
    >>> p[[1, 1, 2, 1, 3, 1], 0, range(6)] = 1
    >>> from_probabilities(p)
    array([[1, 1, 1, 2, 0, 3]], dtype=uint16)
    """
    channels = check_probabilities(p)
    shape = channels[0].shape
    connectivity = check_connectivity(connectivity, len(shape))
    decide = check_method(method, gap, gamma_touching, gamma_cell)
    if not isinstance(decide, Decision):
        if tile is not None or scratch is not None:
            raise ValueError(f"tile and scratch: {NO_TILES}")
        if max_distance is not None:
            raise ValueError("max_distance: method 'watershed' grows seeds as far as they are connected")
        return _flood(channels, gap, decide, connectivity, min_size, Losses() if losses is None else losses)

    def read(box: Box) -> NDArray[np.uint8]:
        return decide([channel[box] for channel in channels])

    return assemble(
        read,
        shape,
        block_edges(tile, len(shape)),
        connectivity=connectivity,
        min_size=min_size,
        spacing=spacing,
        max_distance=max_distance,
        losses=losses,
        place=workplace(threads, scratch),
    )


def check_method(
    method: str, gap: str, gamma_touching: float | None, gamma_cell: float | None
) -> Decision | float:
    """Check these arguments of `from_probabilities`; return the decision, or the threshold of the seeds."""
    check_choice("method", method, _METHODS)
    if method != "watershed":
        return decision(method, gap, gamma_touching, gamma_cell)
    check_choice("gap", gap, GAPS)
    if gamma_touching is not None:
        raise ValueError("gamma_touching: method 'watershed' has gamma_cell only")
    return gamma("cell", gamma_cell)


def _flood(
    p: Channels, gap: str, threshold: float, connectivity: int, min_size: int, losses: Losses
) -> NDArray[Any]:
    """Watershed on p_cell − p_touching; the arguments are those of `from_probabilities`, checked."""
    from skimage.segmentation import watershed

    foreground = Decision(gap, None)(p) > 0
    instances = np.zeros(foreground.shape, np.uint16)
    boxes = find_objects(foreground.view(np.uint8))
    if not boxes:
        return instances
    (box,) = boxes  # nothing grows beyond it
    p, foreground = [channel[box] for channel in p], foreground[box]
    contrast = comparable(p[1])
    if len(p) > 2:
        contrast = contrast - p[2]
    if gap == "uniform" and len(p) == 4:
        total = sum_without_gap(p)
        contrast = np.divide(contrast, total, out=np.zeros_like(contrast), where=total > 0)
    seeds = from_semantic(
        (contrast > threshold) & foreground,
        touching=None,
        connectivity=connectivity,
        min_size=min_size,
        losses=losses,
    )
    if not seeds.any():
        losses.voxels_without_core = int(np.count_nonzero(foreground))
        return instances
    grown = watershed(-contrast, seeds.astype(np.int32), connectivity, mask=foreground)
    losses.voxels_without_core = int(np.count_nonzero(foreground & (grown == 0)))
    grown = np.ascontiguousarray(grown, seeds.dtype)
    first, _ = first_and_size(grown, int(seeds.max()))  # seeds keep their voxels: every id is there
    raster_order(grown, first[1:], [whole(grown.shape)], Workplace())
    instances = instances.astype(seeds.dtype)
    instances[box] = grown
    return instances
