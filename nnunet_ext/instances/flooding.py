"""Seeds of confident cell voxels, grown over the foreground by watershed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from nnunet_ext.instances.cores import first_and_size
from nnunet_ext.instances.labels import from_semantic
from nnunet_ext.instances.semantic import Channels, Decision, comparable, sum_without_gap


def flood(p: Channels, gap: str, threshold: float, connectivity: int, min_size: int) -> NDArray[Any]:
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
        (contrast > threshold) & foreground, touching=None, connectivity=connectivity, min_size=min_size
    )
    if not seeds.any():
        return instances
    grown = watershed(-contrast, seeds.astype(np.int32), connectivity, mask=foreground)
    instances = instances.astype(seeds.dtype)
    instances[box] = _raster_order(grown).astype(seeds.dtype)
    return instances


def _raster_order(ids: NDArray[Any]) -> NDArray[Any]:
    # Seeds keep their voxels, so every id up to the largest is there.
    count = int(ids.max())
    first, _ = first_and_size(np.ascontiguousarray(ids), count)
    new_ids = np.zeros(count + 1, ids.dtype)
    new_ids[1 + np.argsort(first[1:])] = np.arange(1, count + 1)
    return new_ids[ids]
