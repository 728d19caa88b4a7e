"""The formats that are written, and how a file that is copied instead is read for the checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.base.description import DatasetDescription
from nnunet_ext.images import files, nifti, tif
from nnunet_ext.images.image import Grid, unreadable


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
        Path, array, `Grid` -> None.
    reader : str
        nnU-Net's class for it, where nnU-Net would try another one first.
    spacing_file : bool
        Whether nnU-Net takes the spacing from a file ``CASE.json`` beside image and label.
    """

    spatial_axes: int
    dtypes: tuple[str, ...]
    read: Callable[[Path], NDArray[Any]]
    write: Callable[[Path, NDArray[Any], Grid], None]
    reader: str = ""
    spacing_file: bool = False

    def spatial_shape(self, pixels: NDArray[Any]) -> tuple[int, ...]:
        """Return the shape of `pixels` without its channel axis."""
        return pixels.shape[: self.spatial_axes]

    def channels(self, pixels: NDArray[Any]) -> int:
        """Return the number of channels of `pixels`."""
        return int(np.prod(pixels.shape[self.spatial_axes :], dtype=int))

    def spacing(self, grid: Grid) -> list[float]:
        """Return what ``CASE.json`` holds: without it nnU-Net takes 1 as well, and complains."""
        return list(grid.spacing or (1.0,) * self.spatial_axes)


def _read_png(path: Path) -> NDArray[Any]:
    """Read a 2D image as (y, x) or (y, x, channels).

    Done by scikit-image, as nnU-Net does it, and not by `nnunet_ext.images`, which leaves out an alpha
    channel: in a file that is copied, nnU-Net would take it for a channel, and the checks have to see it.

    Raises
    ------
    UserError
        If the file is damaged or cannot be decoded.
    """
    from skimage import io

    files.check_whole(path)
    try:
        return np.asarray(io.imread(path))
    except Exception as error:  # the decoders raise OSError, SyntaxError, ValueError, ...
        memory = error if isinstance(error, MemoryError) else None
        # The last decoder that was tried may not be the one that fits: its words would mislead.
        raise unreadable(path, "an image", memory) from error


def _write_png(path: Path, pixels: NDArray[Any], grid: Grid) -> None:
    from skimage import io

    io.imsave(path, pixels, check_contrast=False)


def _write_tif(path: Path, pixels: NDArray[Any], grid: Grid) -> None:
    tif.write(path, pixels, grid.spacing)


def _read(path: Path) -> NDArray[Any]:
    """Read a tif or NIfTI file with the channels last."""
    pixels = files.read_image(path).pixels
    return pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)


_INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
_NUMBERS = (*_INTEGERS, "float32", "float64")
#: file ending and number of spatial axes -> format
FORMATS: dict[tuple[str, int], ImageFormat] = {
    (".png", 2): ImageFormat(2, ("uint8",), _read_png, _write_png),
    (".tif", 2): ImageFormat(2, _NUMBERS, _read, _write_tif, reader="NaturalImage2DIO"),
    (".tif", 3): ImageFormat(3, _NUMBERS, _read, _write_tif, reader="Tiff3DIO", spacing_file=True),
    (".nii.gz", 2): ImageFormat(2, _NUMBERS, _read, nifti.write),
    (".nii.gz", 3): ImageFormat(3, _NUMBERS, _read, nifti.write),
}


def format_of(description: DatasetDescription) -> ImageFormat:
    """Return the format of a dataset's images and labels."""
    return FORMATS[description.file_ending, description.dimension]
