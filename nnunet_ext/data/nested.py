"""Cells with nuclei as in bright-field microscopy: nested classes that a network may well contradict.

Labels first: cells, a nucleus in each, debris outside. Then the light that passes them, which is the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects, gaussian_filter, map_coordinates, zoom
from scipy.special import expit

from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.data.raw_format import Sample, write_dataset

LABELS = {"background": 0, "cell": 1, "nucleus": 2}
_RIM = 2.0  # voxels of cell around each nucleus, so that not even a corner of it touches the background
_SLOTS_PER_CELL = 1.5  # places for cells; the empty ones leave room for debris between groups of cells
_SLOT_EDGE = 12  # voxels that a cell and its nucleus need along each axis
_SHARP = 0.5  # voxels over which an outline in focus fades
_NESTING: dict[str, Any] = {"cell": {"nucleus": {}}}
_REGIONS = {"background": 0, "cell": [1, 2], "nucleus": [2]}


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
        labels[window][(level >= 0) & own & (depth[window] >= _RIM)] = 2
    blurred = [blob.out_of_focus(rng) if rng.random() < out_of_focus else blob for blob in (*nuclei, *spots)]
    image = _light_through(instances, depth, outside, blurred, rng)
    image += noise * rng.standard_normal(shape, np.float32)
    return image.clip(0), labels


def write_nested_dataset(
    folder: str | Path,
    training: int = 24,
    test: int = 12,
    shape: Sequence[int] = (256, 256),
    cells: int = 14,
    seed: int = 0,
    regions: bool = False,
) -> None:
    """Write a dataset of `nested_cells` in nnU-Net's raw format.

    Parameters
    ----------
    folder : path
        ``DatasetXXX_Name`` inside ``nnUNet_raw``; made if missing.
    training, test : int
        Number of cases in ``imagesTr``/``labelsTr`` and ``imagesTs``/``labelsTs``.
    shape : sequence of int
        Two edges make PNG files, three make NIfTI files; images are 8 bit.
    cells : int
        Cells per image.
    seed : int
        Seed of the first case; each further case adds one.
    regions : bool
        Whether ``dataset.json`` describes nnU-Net's regions, "cell" including its nucleus, instead of labels
        with a "nesting". The files of images and labels are the same.

    Raises
    ------
    ValueError
        If an image has no room for so many cells.
    """

    def draw(number: int) -> Sample:
        image, labels = nested_cells(shape, cells, seed + number)
        return (255 * (image / 1.25).clip(0, 1)).round().astype(np.uint8), labels

    described = (
        {"labels": _REGIONS, "regions_class_order": [1, 2]}
        if regions
        else {"labels": LABELS, "nesting": _NESTING}
    )
    write_dataset(Path(folder), "nested", draw, training, test, len(shape), described)


@dataclass(frozen=True)
class _Blob:
    """An ellipsoid that absorbs light: a nucleus, or debris that looks like one.

    Attributes
    ----------
    centre : ndarray of int, (d,)
    axes : ndarray, (d, d)
        Rows are the directions of the semi-axes, each divided by its length in voxels.
    radius : float
        Geometric mean of the semi-axes.
    absorbance : float
        Natural logarithm of how much darker its middle is.
    softness : float
        Voxels over which its outline fades.
    """

    centre: NDArray[np.integer[Any]]
    axes: NDArray[np.float64]
    radius: float
    absorbance: float
    softness: float = _SHARP

    @classmethod
    def random(cls, centre: NDArray[np.integer[Any]], radius: float, rng: np.random.Generator) -> _Blob:
        """Draw one of any orientation, at most about twice as long as wide."""
        stretch = np.exp(rng.uniform(-0.3, 0.3, len(centre)))
        lengths = radius * stretch / np.prod(stretch) ** (1 / len(centre))
        directions = np.linalg.qr(rng.standard_normal((len(centre), len(centre))))[0]
        return cls(centre, directions / lengths[:, None], radius, rng.uniform(0.2, 0.4))

    def out_of_focus(self, rng: np.random.Generator) -> _Blob:
        """The same one as seen from another focal plane: blurred and weak."""
        weaker = self.absorbance * rng.uniform(0.45, 0.75)
        return replace(self, absorbance=weaker, softness=self.radius * rng.uniform(0.15, 0.3))

    def level(self, shape: Sequence[int]) -> tuple[tuple[slice, ...], NDArray[np.float64]]:
        """Return the part of the image it lies in, and there its level: 0 or more inside, about in voxels."""
        reach = 2 * self.radius + 6 * self.softness
        low = np.maximum(np.floor(self.centre - reach), 0).astype(int)
        high = np.minimum(np.ceil(self.centre + reach) + 1, shape).astype(int)
        window = tuple(map(slice, low, high))
        offset = np.moveaxis(np.mgrid[window], 0, -1) - self.centre
        return window, self.radius * (1 - np.linalg.norm(offset @ self.axes.T, axis=-1))


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
        axis + 0.06 * size * _smooth_noise(shape, 0.2 * size, rng)
        for axis in np.indices(shape, np.float32, sparse=True)
    ]
    return map_coordinates(number[instances], warped, order=0, mode="nearest")


def _nuclei(
    instances: NDArray[np.uint16], depth: NDArray[Any], near_border: float, rng: np.random.Generator
) -> list[_Blob]:
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
        good = (depths - _RIM > 0.8 * radius) & ((depths - _RIM < 1.1 * radius) == at_border)
        choice = np.flatnonzero(good if good.any() else depths == depths.max())
        blobs.append(_Blob.random(voxels[rng.choice(choice)], radius, rng))
    return blobs


def _debris(
    outside: NDArray[Any], count: int, radius: float, near_border: float, rng: np.random.Generator
) -> list[_Blob]:
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
            blobs.append(_Blob.random(centre, size, rng))
    return blobs


def _smooth_noise(shape: Sequence[int], scale: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian noise blurred to structures of about `scale` voxels; mean 0, standard deviation 1."""
    noise = gaussian_filter(rng.standard_normal(shape, np.float32), scale, mode="wrap")
    noise -= noise.mean()
    return noise / max(float(noise.std()), 1e-6)


def _light_through(
    instances: NDArray[np.uint16],
    depth: NDArray[Any],
    outside: NDArray[Any],
    blobs: Sequence[_Blob],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return the light that passes cells and blobs, about 1 where there is nothing.

    Parameters
    ----------
    instances : ndarray of uint16
        0 background, 1 to n the cells.
    depth, outside : ndarray
        Distance of each voxel of a cell to where that cell ends; of each voxel outside to the nearest cell.
    blobs : sequence of _Blob
        Nuclei and debris.
    rng : numpy.random.Generator
        Draws textures and illumination.
    """
    shape = instances.shape
    absorbed = np.where(instances > 0, _cytoplasm(instances, depth, rng), 0)
    grain = _smooth_noise(shape, 1.2, rng)
    for blob in blobs:
        window, level = blob.level(shape)
        absorbed[window] += blob.absorbance * expit(level / blob.softness) * (1 + 0.2 * grain[window])
    halo = np.where(instances > 0, 0, 0.05 * np.exp(-((outside / 2) ** 2)))
    light = gaussian_filter(np.exp(halo - absorbed), 0.6)
    lamp = zoom(rng.uniform(0.75, 1.05, (3,) * len(shape)), np.array(shape) / 3, order=3, mode="nearest")
    return (light * lamp).astype(np.float32)


def _cytoplasm(instances: NDArray[np.uint16], depth: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Absorbance of cells: cloudy, with an outline that fades here and there, folds and granules."""
    shape = instances.shape
    own = rng.uniform(0.06, 0.2, int(instances.max(initial=0)) + 1)[instances]
    cloudy = own * (1 - np.exp(-depth / 2)) * (1 + 0.25 * _smooth_noise(shape, 4, rng))
    outline = 0.15 * np.exp(-((depth - 1) ** 2)) * expit(2 * _smooth_noise(shape, 8, rng))
    folds = 0.2 * np.exp(-((_smooth_noise(shape, 6, rng) / 0.08) ** 2)) * (_smooth_noise(shape, 8, rng) > 0.8)
    granules = gaussian_filter((rng.random(shape) < 0.004).astype(np.float32), 1.0)
    return cloudy + outline + folds + 0.3 * granules / max(float(granules.max()), 1e-6)
