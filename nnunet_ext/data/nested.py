"""Cells with nuclei, as in bright-field microscopy: nested classes that a network may well contradict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects, map_coordinates

from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.data.nested_light import Blob, light_through, smooth_noise

LABELS = {"background": 0, "cell": 1, "nucleus": 2}
RIM = 2.0  # voxels of cell around each nucleus, so that not even a corner of it touches the background
_SLOTS_PER_CELL = 1.5  # places for cells; the empty ones leave room for debris between groups of cells
_SLOT_EDGE = 12  # voxels that a cell and its nucleus need along each axis


def _check(shape: Sequence[int], cells: int, debris: int | None, noise: float, **shares: float) -> None:
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"We expect two or three positive edges in voxels as shape. Got: {tuple(shape)}")
    room = int(np.prod(shape) / _SLOT_EDGE ** len(shape) / _SLOTS_PER_CELL)
    if not 0 <= cells <= room:
        raise ValueError(f"{tuple(shape)} has room for 0 to {room} cells. Got: {cells}")
    if (debris is not None and debris < 0) or not noise >= 0:
        raise ValueError(f"We expect debris and noise of 0 or more. Got: {debris} and {noise}")
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(f"We expect a share from 0 to 1 as {name}. Got: {share}")


def _cells(shape: Sequence[int], cells: int, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Groups of touching cells 1, 2, …, with empty places between them and uneven outlines."""
    places = int(cells * _SLOTS_PER_CELL)
    instances = crowded_cells(shape, places, int(rng.integers(2**31)))[1]
    number = np.zeros(places + 1, np.uint16)
    number[rng.permutation(places)[:cells] + 1] = np.arange(1, cells + 1)
    size = (np.prod(shape) / max(places, 1)) ** (1 / len(shape))
    warped = [
        axis + 0.06 * size * smooth_noise(shape, 0.2 * size, rng)
        for axis in np.indices(shape, np.float32, sparse=True)
    ]
    return map_coordinates(number[instances], warped, order=0, mode="nearest")


def _nuclei(
    instances: NDArray[np.uint16], depth: NDArray[Any], near_border: float, rng: np.random.Generator
) -> list[Blob]:
    """Draw a nucleus for each cell; `depth` is the distance from each voxel to the end of its cell."""
    blobs = []
    for number, window in enumerate(find_objects(instances), 1):
        if window is None:
            continue
        voxels = np.argwhere(instances[window] == number) + [edge.start for edge in window]
        depths = depth[tuple(voxels.T)]
        share = rng.uniform(0.08, 0.18)  # of the largest ball in the cell
        radius = max(share ** (1 / instances.ndim) * depths.max(), 2.0)
        at_border = rng.random() < near_border
        # beside the border: between a little cut off by the rim and a little room left
        good = (depths - RIM > 0.8 * radius) & ((depths - RIM < 1.1 * radius) == at_border)
        choice = np.flatnonzero(good if good.any() else depths == depths.max())
        blobs.append(Blob.random(voxels[rng.choice(choice)], radius, rng))
    return blobs


def _debris(
    outside: NDArray[Any], count: int, radius: float, near_border: float, rng: np.random.Generator
) -> list[Blob]:
    """Draw dark spots where there is room, some against a cell; `outside` is the distance to the nearest."""
    blobs = []
    for _ in range(count):
        size = radius * rng.uniform(0.8, 1.2)
        against = rng.random() < near_border
        room = outside > size + 1
        good = room & ((outside < size + 3) == against)
        places = np.flatnonzero(good if good.any() else room)
        if len(places):
            centre = np.array(np.unravel_index(rng.choice(places), outside.shape))
            blobs.append(Blob.random(centre, size, rng))
    return blobs


def nested_cells(
    shape: Sequence[int] = (256, 256),
    cells: int = 14,
    seed: int = 0,
    *,
    near_border: float = 0.5,
    out_of_focus: float = 0.3,
    debris: int | None = None,
    noise: float = 0.03,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Draw one bright-field-like image of cells with nuclei, and its nested labels.

    Pale cells of uneven outline lie in groups on a bright, unevenly lit background. Many nuclei lie right
    beside the border of their cell, some are out of focus; granules and folds in the cells are as dark as
    nuclei; and dark debris outside the cells looks like nuclei, but is background. A network that knows
    nothing of the nesting finds nuclei that stick out of their cell or lie in none.

    Parameters
    ----------
    shape : sequence of int
        Two or three edges in voxels, (y, x) or (z, y, x).
    cells : int
        Number of cells, each with one nucleus (unless it is too thin for any, which hardly occurs).
    seed : int
        The same seed draws the same image.
    near_border : float
        Share of the nuclei that lie beside the border of their cell, and of debris that lies against a cell.
    out_of_focus : float
        Share of nuclei and debris that are blurred and weak.
    debris : int, optional
        Number of dark spots in the background, as far as there is room. Default: two for three cells.
    noise : float
        Standard deviation of the pixel noise; the background is about 1.

    Returns
    -------
    image : ndarray of float32
        Light that passes, from about 0 (none) to about 1 (background).
    labels : ndarray of uint8
        0 background, 1 cell, 2 nucleus. All neighbours of a nucleus, diagonal ones too, are nucleus or cell.

    Raises
    ------
    ValueError
        If there is no room for so many cells, or a parameter is not as above.

    Examples
    --------
    >>> image, labels = nested_cells((96, 96), cells=4)
    >>> image.dtype, labels.dtype, np.unique(labels).tolist()
    (dtype('float32'), dtype('uint8'), [0, 1, 2])
    """
    _check(shape, cells, debris, noise, near_border=near_border, out_of_focus=out_of_focus)
    rng = np.random.default_rng(seed)
    instances = _cells(shape, cells, rng)
    depth = np.minimum(edt.edt(instances), max(shape) / 2)  # a cell that fills the image ends nowhere
    nuclei = _nuclei(instances, depth, near_border, rng)
    radius = float(np.mean([nucleus.radius for nucleus in nuclei])) if nuclei else 5.0
    outside = distance_transform_edt(instances == 0) if cells else np.full(shape, radius + 2.0)
    count = round(2 * cells / 3) if debris is None else debris
    spots = _debris(outside, count, radius, near_border, rng)

    labels = (instances > 0).astype(np.uint8)
    for nucleus in nuclei:
        window, level = nucleus.level(shape)
        own = instances[window] == instances[tuple(nucleus.centre)]
        labels[window][(level >= 0) & own & (depth[window] >= RIM)] = 2
    blurred = [blob.out_of_focus(rng) if rng.random() < out_of_focus else blob for blob in (*nuclei, *spots)]
    image = light_through(instances, depth, outside, blurred, rng)
    image += noise * rng.standard_normal(shape, np.float32)
    return image.clip(0), labels
