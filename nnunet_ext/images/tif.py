"""Tif files: plain, ImageJ and OME, 2D and 3D, with one or several channels and the spacing they state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.files import replacing
from nnunet_ext.images.image import Grid, Header, Hints, Image, unreadable
from nnunet_ext.images.memory import check_memory
from nnunet_ext.images.tif_integrity import damage_raised, only_series
from nnunet_ext.images.tif_layout import TifLayout, check_channel, check_slices, layout_of
from nnunet_ext.images.tif_spacing import tif_spacing

if TYPE_CHECKING:
    import tifffile

_AXES = {2: "YX", 3: "ZYX"}
_BIGTIFF_BYTES = 2**32 - 2**25


def header(path: Path, hints: Hints) -> Header:
    """Read what the file says about its image; see `files.read_header`."""
    with opened(path) as tif:
        return _header(tif, path, hints)[0]


def read(path: Path, hints: Hints) -> Image:
    """Read the image; see `files.read_image`."""
    with opened(path) as tif:
        about, layout = _header(tif, path, hints)
        check_memory(path, tif.series[0].shape, about.dtype)
        pixels = layout.pixels(tif.series[0].asarray())
    if hints.label:
        check_slices(layout, pixels[0], path)
    return Image(pixels, about.grid)


def check_whole(path: Path, labels: bool = False) -> None:
    """Check that no part of the image is missing; see `files.check_whole`."""
    with opened(path) as tif:
        series = only_series(tif, path)
        if labels:
            check_channel(len(layout_of(tif, series, path, Hints(label=True)).channels), path)


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
def opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a tif; whatever fails while it is open becomes a `UserError` that names the file."""
    import tifffile

    try:
        with damage_raised(path), tifffile.TiffFile(path) as tif:
            yield tif
    except UserError:
        raise
    except Exception as error:  # tifffile and its codecs raise many kinds
        raise unreadable(path, "a tif", error) from error


def _header(tif: tifffile.TiffFile, path: Path, hints: Hints) -> tuple[Header, TifLayout]:
    series = only_series(tif, path)
    layout = layout_of(tif, series, path, hints)
    try:
        grid = Grid(tif_spacing(tif, path, len(layout.shape)))
    except UserError:
        if not hints.spacing_given:
            raise
        grid = Grid()
    dtype = np.dtype(series.dtype)
    return Header(layout.shape, len(layout.channels), dtype, grid, layout.alpha), layout
