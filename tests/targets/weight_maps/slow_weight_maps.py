"""The weight maps the obvious way: voxel by voxel, in float64."""

from itertools import product
from math import exp, inf

import numpy as np
from scipy import ndimage
from scipy.optimize import linprog
from skimage.morphology import skeletonize


def distance_to(voxel, points, spacing):
    """Smallest distance from a voxel to `points` (n, d); infinite if there are none."""
    offsets = (np.asarray(points).reshape(-1, len(voxel)) - voxel) * spacing
    return float(np.sqrt((offsets**2).sum(1)).min(initial=inf))


def slow_class_balance(labels, counts=None):
    weight = np.zeros(labels.shape)
    for voxel in np.ndindex(labels.shape):
        label = labels[voxel]
        weight[voxel] = 1 / (np.count_nonzero(labels == label) if counts is None else counts[label])
    return weight


def slow_distance(labels, beta, counts=None, spacing=(1, 1, 1)):
    weight, foreground = slow_class_balance(labels, counts), np.argwhere(labels)
    for voxel in np.ndindex(labels.shape):
        phi = distance_to(voxel, foreground, spacing[: labels.ndim])
        weight[voxel] *= 1 - min(phi / beta, 1)
    return weight


def slow_unet(instances, w0, sigma, base=1.0, spacing=(1, 1, 1)):
    cells = [np.argwhere(instances == number) for number in np.unique(instances) if number]
    weight = np.zeros(instances.shape) + base
    for voxel in np.argwhere(instances == 0):
        near = sorted(distance_to(voxel, cell, spacing[: instances.ndim]) for cell in cells)
        if len(near) > 1:
            weight[tuple(voxel)] += w0 * exp(-((near[0] + near[1]) ** 2) / (2 * sigma**2))
    return weight


def slow_contour(part):
    """Voxels of a mask with a voxel of the image outside of it one step along an axis."""
    contour = np.zeros(part.shape, bool)
    for voxel in np.argwhere(part):
        for axis, step in product(range(part.ndim), (-1, 1)):
            other = voxel.copy()
            other[axis] += step
            if 0 <= other[axis] < part.shape[axis] and not part[tuple(other)]:
                contour[tuple(voxel)] = True
    return contour


def slow_hull(part):
    """Voxels that are a convex combination of those of a mask."""
    points = np.argwhere(part)
    hull = part.copy()
    if len(points) > 1:
        for voxel in np.argwhere(~part):
            if np.all(points.min(0) <= voxel) and np.all(voxel <= points.max(0)):
                equations = np.vstack([points.T, np.ones(len(points))])
                found = linprog(np.zeros(len(points)), A_eq=equations, b_eq=[*voxel, 1])
                hull[tuple(voxel)] = found.status == 0
    return hull


def slow_skeleton(part):
    """scikit-image's, in the plane if the part has but one; what it deletes is there as a whole."""
    for axis in range(part.ndim):
        places = np.unique(np.argwhere(part)[:, axis])
        if part.ndim == 3 and len(places) == 1:
            skeleton = np.zeros_like(part)
            plane = (slice(None),) * axis + (places[0],)
            skeleton[plane] = slow_skeleton(part[plane])
            return skeleton
    skeleton = skeletonize(np.pad(part, 1))[(slice(1, -1),) * part.ndim] > 0
    components, count = ndimage.label(part, np.ones((3,) * part.ndim))
    for number in range(1, count + 1):
        if not skeleton[components == number].any():
            skeleton[components == number] = True
    return skeleton


def slow_outline_weight(instances, tau=None, spacing=(1, 1, 1)):
    contours, skeletons = np.zeros((2, *instances.shape), bool)
    for number in np.unique(instances):
        if number:
            cell = instances == number
            for part in (cell, slow_hull(cell) & ~cell):
                contours |= slow_contour(part)
                skeletons |= slow_skeleton(part)
    phi = np.zeros(instances.shape)
    points = np.argwhere(skeletons)
    for voxel in np.argwhere(contours):
        phi[tuple(voxel)] = distance_to(voxel, points, spacing[: instances.ndim])
    tau = phi[contours].max(initial=0) if tau is None else tau
    return np.where(contours, np.maximum(0, 1 - phi / (tau or 1)), 0)


def slow_gaussian(values, sigma, spacing=(1, 1, 1)):
    """Weighted mean over a window that is cut at four σ and sees copies of the border."""
    for axis in range(values.ndim):
        width = sigma / spacing[axis]
        reach = int(4 * width + 0.5)
        kernel = [exp(-0.5 * (step / width) ** 2) for step in range(-reach, reach + 1)]
        length = values.shape[axis]
        blurred = np.zeros(values.shape)
        for step, factor in zip(range(-reach, reach + 1), kernel, strict=True):
            places = [min(max(place + step, 0), length - 1) for place in range(length)]
            blurred += factor / sum(kernel) * np.take(values, places, axis)
        values = blurred
    return values


def slow_shape_aware(instances, sigma, tau=None, labels=None, counts=None, spacing=(1, 1, 1)):
    labels = (instances != 0).astype(int) if labels is None else labels
    complexity = slow_outline_weight(instances, tau, spacing)
    return slow_class_balance(labels, counts) + slow_gaussian(complexity, sigma, spacing)


def random_instances(shape, n_cells, seed, radius=3.0):
    """Roundish cells at random places; those drawn later cover parts of the earlier ones."""
    rng = np.random.default_rng(seed)
    instances = np.zeros(shape, np.uint8)
    places = np.indices(shape).reshape(len(shape), -1).T
    for number in rng.permutation(n_cells) + 1:
        scale = rng.uniform(0.3, 1.0, len(shape)) * radius
        inside = (((places - rng.random(len(shape)) * shape) / scale) ** 2).sum(1) <= 1
        instances.reshape(-1)[inside] = number
    return instances
