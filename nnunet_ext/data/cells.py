"""Crowded, roundish cells: many touch, some leave a narrow gap, in 2D and 3D."""

from __future__ import annotations

from collections.abc import Sequence

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from nnunet_ext.arrays.checks import check_spacing

GAP_VOXELS = 1.5  # width of a gap; wide enough that cells beside it do not touch at a corner either


def _centres(edges: NDArray, n_cells: int, rng: np.random.Generator) -> NDArray:
    """Evenly spread points (n_cells, d) in a box of these `edges`: random ones after a few Lloyd steps."""
    centres = rng.random((n_cells, len(edges))) * edges
    for _ in range(8):
        points = rng.random((30 * n_cells, len(edges))) * edges
        owner = cKDTree(centres).query(points)[1]
        count = np.bincount(owner, minlength=n_cells)
        for axis in range(len(edges)):
            total = np.bincount(owner, points[:, axis], n_cells)
            np.divide(total, count, out=centres[:, axis], where=count > 0)
    return centres


def _largest_pieces(instances: NDArray[np.uint16], n_cells: int) -> NDArray[np.uint16]:
    """Without the crumbs that voxels cut off at sharp corners."""
    pieces = cc3d.connected_components(instances, connectivity=8 if instances.ndim == 2 else 26)
    size = np.bincount(pieces.ravel())
    owner = np.zeros(len(size), int)
    owner[pieces.ravel()] = instances.ravel()
    order = np.argsort(size)  # the last one written is the largest
    largest = np.zeros(n_cells + 1, int)
    largest[owner[order]] = order
    keep = largest[owner] == np.arange(len(size))
    return np.where(keep[pieces], instances, 0).astype(np.uint16)


def _check(shape: Sequence[int], n_cells: int) -> None:
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"shape is two or three positive edges in voxels; got {tuple(shape)}")
    room = int(np.prod(shape)) // 6 ** len(shape)
    if not 0 <= n_cells <= min(room, 65535):
        raise ValueError(f"{tuple(shape)} has room for 0 to {min(room, 65535)} cells; got n_cells={n_cells}")


def crowded_cells(
    shape: Sequence[int] = (256, 256),
    n_cells: int = 60,
    seed: int = 0,
    spacing: Sequence[float] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Draw one image of crowded cells and its instance labels.

    A cell is the part of a ball that is nearer to its own centre than to any other. Radii vary, so that
    most cells touch several neighbours; about a third keep a gap of one or two voxels around them.

    Parameters
    ----------
    shape : sequence of int
        Two or three edges in voxels, (y, x) or (z, y, x).
    n_cells : int
        Number of cells.
    seed : int
        The same seed draws the same image.
    spacing : sequence of float, optional
        Edges of a voxel in the order of `shape`; cells are round in these units. Default: 1 everywhere.

    Returns
    -------
    image : ndarray of uint8
        Bright cells with a darker rim on a dark, noisy background.
    instances : ndarray of uint16
        0 background, 1 to `n_cells` the cells, each of them present and connected.

    Raises
    ------
    ValueError
        If there is no room for so many cells, or shape or spacing are not as above.

    Examples
    --------
    >>> image, instances = crowded_cells((64, 64), n_cells=12)
    >>> image.dtype, instances.dtype, int(instances.max())
    (dtype('uint8'), dtype('uint16'), 12)
    """
    _check(shape, n_cells)
    voxel = np.asarray(check_spacing(spacing, len(shape)))
    rng = np.random.default_rng(seed)
    instances = np.zeros(shape, np.uint16)
    signal = np.zeros(shape, np.float32)
    if n_cells:
        size = np.prod(np.array(shape) * voxel) ** (1 / len(shape)) / n_cells ** (1 / len(shape))
        centres = _centres(np.array(shape) * voxel, n_cells, rng)
        radius = size * rng.uniform(0.45, 0.75, n_cells)
        margin = np.where(rng.random(n_cells) < 0.35, GAP_VOXELS * voxel.min(), 0.0)
        places = (np.indices(shape).reshape(len(shape), -1).T + 0.5) * voxel
        distance, owner = cKDTree(centres).query(places, k=[1, 2])
        near, far = np.minimum(owner, n_cells - 1).T  # a lone cell has no second one: distance inf
        to_outline = radius[near] - distance[:, 0]
        to_neighbour = distance[:, 1] - distance[:, 0]  # twice the way to the border with it
        inside = (to_outline > 0) & (to_neighbour >= np.maximum(margin[near], margin[far]))
        instances.ravel()[inside] = near[inside] + 1
        rim = np.minimum(to_outline, to_neighbour / 2) / (0.25 * size)
        brightness = rng.uniform(110, 200, n_cells)[near] * (0.45 + 0.55 * rim.clip(0, 1))
        signal.ravel()[inside] = brightness[inside]
        instances = _largest_pieces(instances, n_cells)
    grey = 25 + gaussian_filter(signal, 0.7) + rng.normal(0, 8, shape)
    return grey.clip(0, 255).astype(np.uint8), instances
