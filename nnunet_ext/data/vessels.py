"""Curved vessels over textured noise, with stretches of low contrast where a segmentation breaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.ndimage import distance_transform_edt, gaussian_filter

from nnunet_ext.data.raw_format import write_dataset

LABELS = {"background": 0, "vessel": 1}


def _centre_line(shape: Sequence[int], rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Points (N, d) of a smooth curve through the image, and the contrast (N,) at each, 0 to 1."""
    ndim = len(shape)
    knots = 4
    points = rng.uniform(0.1, 0.9, (knots, ndim))
    axis = rng.integers(ndim)
    points[:, axis] = np.linspace(0, 1, knots)  # crosses the image from face to face
    position = np.linspace(0, 1, 8 * max(shape))
    curve = make_interp_spline(np.linspace(0, 1, knots), points * (np.array(shape) - 1))(position)
    contrast = np.ones_like(position)
    for centre in rng.uniform(0.05, 0.95, 2):
        contrast -= rng.uniform(0.6, 0.9) * np.exp(-(((position - centre) / 0.025) ** 2))
    return curve, contrast.clip(0.1)


def vessels(
    shape: Sequence[int] = (256, 256), count: int = 5, radius: float = 2.0, noise: float = 0.3, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one image and its label.

    Parameters
    ----------
    shape : sequence of int
        Two or three edges in voxels.
    count : int
        Number of vessels.
    radius : float
        Mean radius in voxels; each vessel has its own, within 30 %.
    noise : float
        Standard deviation of the pixel noise, relative to the contrast of a vessel.
    seed : int
        The same seed draws the same image.

    Returns
    -------
    image : ndarray of uint8
        Grey values.
    label : ndarray of uint8
        1 inside a vessel.

    Examples
    --------
    >>> image, label = vessels((64, 64), count=2)
    >>> image.shape, image.dtype, sorted(set(label.ravel().tolist()))
    ((64, 64), dtype('uint8'), [0, 1])
    """
    rng = np.random.default_rng(seed)
    label = np.zeros(shape, bool)
    signal = np.zeros(shape)
    for _ in range(count):
        curve, contrast = _centre_line(shape, rng)
        index = tuple(np.round(curve).astype(int).clip(0, np.array(shape) - 1).T)
        on_curve = np.zeros(shape, bool)
        on_curve[index] = True
        contrast_map = np.zeros(shape)
        contrast_map[index] = contrast
        distance, nearest = distance_transform_edt(~on_curve, return_indices=True)
        thickness = radius * rng.uniform(0.7, 1.3)
        profile = np.clip(thickness + 0.5 - distance, 0, 1) * contrast_map[tuple(nearest)]
        signal = np.maximum(signal, profile)
        label |= distance <= thickness
    texture = gaussian_filter(rng.standard_normal(shape), 6)
    texture *= 0.3 / texture.std()
    image = signal + texture + noise * rng.standard_normal(shape)
    grey = 255 * (image - image.min()) / np.ptp(image)
    return grey.astype(np.uint8), label.astype(np.uint8)


def write_vessel_dataset(
    folder: str | Path, training: int, test: int, shape: Sequence[int] = (256, 256), seed: int = 0
) -> None:
    """Write a dataset of `vessels` in nnU-Net's raw format.

    Parameters
    ----------
    folder : path
        ``DatasetXXX_Name`` inside ``nnUNet_raw``; made if missing.
    training, test : int
        Number of cases in ``imagesTr``/``labelsTr`` and ``imagesTs``/``labelsTs``.
    shape : sequence of int
        Two edges make PNG files, three make NIfTI files.
    seed : int
        Seed of the first case; each further case adds one.
    """
    write_dataset(
        Path(folder),
        "vessels",
        lambda number: vessels(shape, seed=seed + number),
        training,
        test,
        len(shape),
        {"labels": LABELS},
    )
