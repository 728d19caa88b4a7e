"""Instances the obvious way: label, then every touching voxel against every voxel of every core."""

import numpy as np
from scipy import ndimage


def slow_instances(labels, connectivity=None, min_size=0, spacing=None, max_distance=np.inf):
    spacing = np.ones(labels.ndim) if spacing is None else np.asarray(spacing, float)
    structure = ndimage.generate_binary_structure(labels.ndim, connectivity or labels.ndim)
    components, _ = ndimage.label(labels == 1, structure)
    cores = [
        component
        for component in dict.fromkeys(components[components > 0].tolist())  # in raster order
        if np.count_nonzero(components == component) >= min_size
    ]
    result = np.zeros(labels.shape, int)
    for number, component in enumerate(cores, start=1):
        result[components == component] = number
    points, owners = np.argwhere(result), result[result > 0]
    if len(cores):
        for voxel in np.argwhere(labels == 2):
            squared = (((points - voxel) * spacing) ** 2).sum(1)
            if squared.min() > max_distance**2:
                continue
            result[tuple(voxel)] = owners[squared <= squared.min() * (1 + 1e-9)].min()
    return in_raster_order(result)


def in_raster_order(ids):
    found = dict.fromkeys(ids[ids > 0].tolist())
    new = np.zeros(int(ids.max(initial=0)) + 1, int)
    new[list(found)] = np.arange(1, len(found) + 1)
    return new[ids]
