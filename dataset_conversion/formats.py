"""The file formats that are written, and how they are read back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.converter import CaseError


@dataclass(frozen=True)
class ImageFormat:
    """A format nnU-Net reads.

    Attributes
    ----------
    spatial_axes : int
        Number of leading axes that are space; an axis after them holds the channels.
    dtypes : tuple of str
        Names of the NumPy types an image may have.
    read : callable
        Path -> array.
    write : callable
        Path, array -> None.
    """

    spatial_axes: int
    dtypes: tuple[str, ...]
    read: Callable[[Path], NDArray[Any]]
    write: Callable[[Path, NDArray[Any]], None]

    def spatial_shape(self, pixels: NDArray[Any]) -> tuple[int, ...]:
        """Return the shape of `pixels` without its channel axis."""
        return pixels.shape[: self.spatial_axes]

    def channels(self, pixels: NDArray[Any]) -> int:
        """Return the number of channels of `pixels`."""
        return int(np.prod(pixels.shape[self.spatial_axes :], dtype=int))


def read_image(path: Path) -> NDArray[Any]:
    """Read a 2D image as (y, x) or (y, x, channels) with scikit-image, as nnU-Net does.

    Raises
    ------
    CaseError
        If the file cannot be decoded.
    """
    from skimage import io

    try:
        return np.asarray(io.imread(path))
    except Exception as error:  # the decoders raise OSError, SyntaxError, ValueError, ...
        # The last decoder that was tried may not be the one that fits: its words would mislead.
        state = "empty file" if not path.stat().st_size else "damaged, or another format"
        raise CaseError(f"{path}: cannot be read as an image ({state})") from error


def _write_image(path: Path, pixels: NDArray[Any]) -> None:
    from skimage import io

    io.imsave(path, pixels, check_contrast=False)


#: file ending -> format
FORMATS: dict[str, ImageFormat] = {
    ".png": ImageFormat(spatial_axes=2, dtypes=("uint8",), read=read_image, write=_write_image),
}
