"""Tif files: plain, ImageJ and OME, 2D and 3D, with one or several channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.files import replacing
from nnunet_ext.images.axes import channels_first, name_axes, spatial
from nnunet_ext.images.image import Grid, Header, Hints, Image
from nnunet_ext.images.tif_spacing import tif_spacing

if TYPE_CHECKING:
    import tifffile

_AXES = {2: "YX", 3: "ZYX"}
_BIGTIFF_BYTES = 2**32 - 2**25


def header(path: Path, hints: Hints) -> Header:
    """Read what the file says about its image; see `files.read_header`."""
    with _opened(path) as tif:
        return _header(tif, path, hints)[0]


def read(path: Path, hints: Hints) -> Image:
    """Read the image; see `files.read_image`."""
    with _opened(path) as tif:
        about, names = _header(tif, path, hints)
        pixels = channels_first(tif.series[0].asarray(), names)
    return Image(pixels[: about.channels], about.grid)


def write(
    path: Path, data: NDArray[Any], spacing: Sequence[float] | None = None, compression: str = "zlib"
) -> None:
    """Write one 2D or 3D channel, whole or not at all, with its spacing in the description.

    Parameters
    ----------
    path : Path
        Target; an existing file is replaced.
    data : ndarray
        (y, x) or (z, y, x).
    spacing : sequence of float, optional
        In the order of the axes.
    compression : str
        As tifffile has it.
    """
    import tifffile

    metadata: dict[str, Any] = {"axes": _AXES[data.ndim]}
    if spacing is not None:
        metadata["spacing"] = [float(step) for step in spacing]
    with replacing(path) as temporary:
        tifffile.imwrite(
            temporary,
            data,
            compression=compression,
            metadata=metadata,
            photometric="minisblack",
            bigtiff=data.nbytes > _BIGTIFF_BYTES,
        )


@contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            yield tif
    except UserError:
        raise
    except Exception as error:  # tifffile and its codecs raise many kinds
        raise UserError(f"{path}: cannot be read as a tif: {error}") from error


def _header(tif: tifffile.TiffFile, path: Path, hints: Hints) -> tuple[Header, str]:
    series = tif.series[0]
    further = len(tif.series) - 1 or len(tif.pages) - len(series.pages)  # ImageJ may store one page for all
    if further > 0:
        raise UserError(f"{path}: holds {further + 1} images. Save one image or stack per file.")
    shape = tuple(map(int, series.shape))
    if 0 in shape:
        raise UserError(f"{path}: the image is empty, its shape is {shape}.")
    try:
        names = name_axes(series.axes, shape, hints.dimension)
    except ValueError as error:
        raise UserError(f"{path}: {error}.") from error
    sizes = dict(zip(names, shape, strict=True))
    channels = sizes.get("C", 1)
    alpha = channels == 4 and series.axes.endswith("S") and series.keyframe.photometric == 2  # RGB
    space = spatial(names)
    grid = Grid(tif_spacing(tif, path, len(space)))
    about = Header(tuple(shape[i] for i in space), channels - alpha, np.dtype(series.dtype), grid, alpha)
    return about, names
