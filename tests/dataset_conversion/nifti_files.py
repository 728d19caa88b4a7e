"""Small NIfTI files for the miniatures of datasets."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import SimpleITK as sitk

SHAPE = (12, 24, 20)
BLOB = np.zeros(SHAPE, np.uint8)
BLOB[3:8, 6:15, 5:13] = 1
LAS = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)  # x and y of SimpleITK's directions turned
_SLOPE = 112  # place of scl_slope in a NIfTI-1 header


def noise(mean: float = 100, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(int(mean)).normal(mean, mean / 20, shape).astype(np.float32)


def write_volume(
    path: Path,
    pixels: np.ndarray,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    direction: tuple[float, ...] = LAS,
    origin: tuple[float, float, float] = (3.0, -4.0, 7.5),
) -> None:
    """Write (z, y, x) pixels; spacing, origin and direction in the order (x, y, z)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(pixels)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    sitk.WriteImage(image, str(path))


def set_slope(path: Path, slope: float) -> None:
    """Let a file say that its values are to be multiplied by `slope`."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<f", content, _SLOPE, slope)
    path.write_bytes(gzip.compress(bytes(content)))


def cut(path: Path) -> None:
    """Cut a file off in its middle."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def read_volume(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
