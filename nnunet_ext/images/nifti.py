"""NIfTI files, with spacing, origin and direction; a fourth axis or a vector holds the channels."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.images.image import Grid, Header, Hints, Image

if TYPE_CHECKING:
    import SimpleITK as sitk


_HEADER, _BLOCK = 348, 2**22  # bytes


def header(path: Path, hints: Hints) -> Header:
    """Read what the file says about its image; see `files.read_header`."""
    return _read(path)[0]


def read(path: Path, hints: Hints) -> Image:
    """Read the image; see `files.read_image`."""
    import SimpleITK as sitk

    about, reader = _read(path)
    check_whole(path)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise UserError(f"{path}: cannot be read as NIfTI: {_reason(error)}") from error
    pixels = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        pixels = np.moveaxis(pixels, -1, 0)
    return Image(pixels.reshape(about.channels, *about.shape), about.grid)


def check_whole(path: Path) -> None:
    """Raise `UserError` unless a file holds all the voxels its header promises.

    SimpleITK reads a file that is cut off, or damaged in its middle, and fills up with zeros without a word.
    """
    try:
        with path.open("rb") as raw:
            is_gzip = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_gzip else path.open("rb") as file:
            start = file.read(_HEADER)
            size = len(start)
            while block := file.read(_BLOCK):
                size += len(block)
    except (EOFError, OSError, zlib.error) as error:
        raise UserError(f"{path}: the file is damaged or cut off: {error}") from error
    if size < (expected := _bytes_promised(start)):
        raise UserError(f"{path}: the file is cut off: {size} of {expected} bytes")


def _bytes_promised(start: bytes) -> int:
    """Return the length of a NIfTI-1 file by its header, or 0 if it is another format."""
    for order in "<>":
        if len(start) == _HEADER and struct.unpack_from(f"{order}i", start)[0] == _HEADER:
            ndim, *edges = struct.unpack_from(f"{order}8h", start, 40)
            voxels = math.prod(max(1, edge) for edge in edges[: max(0, ndim)])
            (bits,) = struct.unpack_from(f"{order}h", start, 72)
            (first,) = struct.unpack_from(f"{order}f", start, 108)
            return int(first + voxels * bits / 8)
    return 0


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
