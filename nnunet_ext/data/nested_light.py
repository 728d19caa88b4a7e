"""What a bright-field microscope makes of cells: how much light every place lets through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom
from scipy.special import expit

SHARP = 0.5  # voxels over which an outline in focus fades


@dataclass(frozen=True)
class Blob:
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
    softness: float = SHARP

    @classmethod
    def random(cls, centre: NDArray[np.integer[Any]], radius: float, rng: np.random.Generator) -> Blob:
        """Draw one of any orientation, at most about twice as long as wide."""
        stretch = np.exp(rng.uniform(-0.3, 0.3, len(centre)))
        lengths = radius * stretch / np.prod(stretch) ** (1 / len(centre))
        directions = np.linalg.qr(rng.standard_normal((len(centre), len(centre))))[0]
        return cls(centre, directions / lengths[:, None], radius, rng.uniform(0.2, 0.4))

    def out_of_focus(self, rng: np.random.Generator) -> Blob:
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


def smooth_noise(shape: Sequence[int], scale: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian noise blurred to structures of about `scale` voxels; mean 0, standard deviation 1."""
    noise = gaussian_filter(rng.standard_normal(shape, np.float32), scale, mode="wrap")
    noise -= noise.mean()
    return noise / max(float(noise.std()), 1e-6)


def light_through(
    instances: NDArray[np.uint16],
    depth: NDArray[Any],
    outside: NDArray[Any],
    blobs: Sequence[Blob],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return the light that passes cells and blobs, about 1 where there is nothing.

    Parameters
    ----------
    instances : ndarray of uint16
        0 background, 1 to n the cells.
    depth, outside : ndarray
        Distance of each voxel of a cell to where that cell ends; of each voxel outside to the nearest cell.
    blobs : sequence of Blob
        Nuclei and debris.
    rng : numpy.random.Generator
        Draws textures and illumination.
    """
    shape = instances.shape
    absorbed = np.where(instances > 0, _cytoplasm(instances, depth, rng), 0)
    grain = smooth_noise(shape, 1.2, rng)
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
    cloudy = own * (1 - np.exp(-depth / 2)) * (1 + 0.25 * smooth_noise(shape, 4, rng))
    outline = 0.15 * np.exp(-((depth - 1) ** 2)) * expit(2 * smooth_noise(shape, 8, rng))
    folds = 0.2 * np.exp(-((smooth_noise(shape, 6, rng) / 0.08) ** 2)) * (smooth_noise(shape, 8, rng) > 0.8)
    granules = gaussian_filter((rng.random(shape) < 0.004).astype(np.float32), 1.0)
    return cloudy + outline + folds + 0.3 * granules / max(float(granules.max()), 1e-6)
