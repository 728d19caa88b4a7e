"""NIfTI files, with spacing, origin and direction; a fourth axis or a vector holds the channels."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.images import nifti_bytes
from nnunet_ext.images.image import Grid, Header, Hints, Image

if TYPE_CHECKING:
    import SimpleITK as sitk


def header(path: Path, hints: Hints) -> Header:
    """Read what the file says about its image; see `files.read_header`."""
    return _read(path)[0]


def read(path: Path, hints: Hints) -> Image:
    """Read the image; see `files.read_image`. Infinite values become NaN."""
    import SimpleITK as sitk

    about, reader = _read(path)
    odd = nifti_bytes.check(path)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise UserError(f"{path}: cannot be read as NIfTI: {_reason(error)}") from error
    pixels = sitk.GetArrayFromImage(image)
    if odd.size and image.GetNumberOfComponentsPerPixel() > 1:  # in another order than SimpleITK's
        raise UserError(f"{path}: holds {odd.size} values that are not finite (NaN or infinity)")
    if odd.size:
        pixels.reshape(-1)[odd] = math.nan
    if image.GetNumberOfComponentsPerPixel() > 1:
        pixels = np.moveaxis(pixels, -1, 0)
    return Image(pixels.reshape(about.channels, *about.shape), about.grid)


def write(path: Path, data: NDArray[Any], grid: Grid) -> None:
    """Write one 2D or 3D channel with its geometry."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(data)
    if grid.spacing is not None:
        image.SetSpacing(grid.spacing[::-1])
    if grid.origin is not None:
        image.SetOrigin(grid.origin)
    if grid.direction is not None:
        image.SetDirection(grid.direction)
    sitk.WriteImage(image, str(path), useCompression=True)


def _read(path: Path) -> tuple[Header, sitk.ImageFileReader]:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise UserError(f"{path}: cannot be read as NIfTI: {_reason(error)}") from error
    size, ndim = reader.GetSize(), reader.GetDimension()
    space = min(ndim, 3)
    channels = int(np.prod(size[3:], dtype=int)) * reader.GetNumberOfComponents()
    if ndim > 4 or (ndim == 4 and reader.GetNumberOfComponents() > 1):
        raise UserError(f"{path}: has the axes {size}, but one 2D or 3D image per file is expected.")
    if 0 in size:
        raise UserError(f"{path}: the image is empty, its size is {size}.")
    direction = np.reshape(reader.GetDirection(), (ndim, ndim))[:space, :space]
    grid = Grid(
        tuple(reader.GetSpacing()[:space][::-1]),
        tuple(reader.GetOrigin()[:space]),
        tuple(direction.ravel().tolist()),
    )
    return Header(tuple(size[:space][::-1]), channels, _dtype(path, reader), grid), reader


def _dtype(path: Path, reader: sitk.ImageFileReader) -> np.dtype[Any]:
    import SimpleITK as sitk

    words = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    found = re.fullmatch(r"(?:vector of )?(\d+)-bit (unsigned integer|signed integer|float)", words)
    if not found:
        raise UserError(f"{path}: pixels are {words}, but real numbers are expected.")
    return np.dtype({"u": "u", "s": "i", "f": "f"}[found[2][0]] + str(int(found[1]) // 8))


def _reason(error: RuntimeError) -> str:
    """Return the last line of what SimpleITK says, which holds the reason."""
    return str(error).strip().splitlines()[-1].strip()
