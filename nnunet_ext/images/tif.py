"""Tif files: plain, ImageJ and OME, 2D and 3D, with one or several channels and the spacing they state."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.files import replacing
from nnunet_ext.images.image import Grid, Header, Hints, Image, unreadable
from nnunet_ext.images.tif_integrity import damage_raised, only_series
from nnunet_ext.images.tif_layout import TifLayout, check_channel, check_slices, layout_of

if TYPE_CHECKING:
    import tifffile

_AXES = {2: "YX", 3: "ZYX"}
_BIGTIFF_BYTES = 2**32 - 2**25
#: length of a unit in µm; in any other unit, such as ImageJ's "pixel", nothing is known
_MICROMETRES = {
    **dict.fromkeys(("um", "µm", "μm", "\\u00b5m", "micron", "microns", "micrometer", "micrometre"), 1.0),
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "inch": 25400.0,
}


def header(path: Path, hints: Hints) -> Header:
    """Read what the file says about its image; see `files.read_header`."""
    with opened(path) as tif:
        return _header(tif, path, hints)[0]


def read(path: Path, hints: Hints) -> Image:
    """Read the image; see `files.read_image`."""
    with opened(path) as tif:
        about, layout = _header(tif, path, hints)
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


def tif_spacing(tif: tifffile.TiffFile, path: Path, ndim: int) -> tuple[float, ...] | None:
    """Return the spacing in the order of the axes, or None if it is not stated for all of them.

    Sources in this order: nnU-Net's spacing file (``CASE.json`` beside ``CASE.tif`` or ``CASE_0000.tif``),
    the description that `write` makes, OME and ImageJ metadata. The resolution of a plain tif is ignored: it
    is that of a screen or a printer. Known units are turned into µm.
    """
    return (
        _checked(_spacing_file(path), ndim)
        or _checked((tif.shaped_metadata or ({},))[0].get("spacing"), ndim)
        or _checked(_ome(tif, ndim), ndim)
        or _checked(_imagej(tif, ndim), ndim)
    )


def spacing_files(path: Path) -> list[Path]:
    """Return where nnU-Net's spacing file of a tif may lie."""
    stems = (path.stem, re.sub(r"_\d{4}$", "", path.stem))
    return [path.with_name(f"{stem}.json") for stem in dict.fromkeys(stems)]


def _header(tif: tifffile.TiffFile, path: Path, hints: Hints) -> tuple[Header, TifLayout]:
    series = only_series(tif, path)
    layout = layout_of(tif, series, path, hints)
    grid = Grid(tif_spacing(tif, path, len(layout.shape)))
    dtype = np.dtype(series.dtype)
    return Header(layout.shape, len(layout.channels), dtype, grid, layout.alpha), layout


def _spacing_file(path: Path) -> Any:
    for file in spacing_files(path):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # a json file of that name may be anything
        if isinstance(content, dict) and "spacing" in content:
            return content["spacing"]
    return None


def _ome(tif: tifffile.TiffFile, ndim: int) -> list[float] | None:
    import tifffile

    if not tif.is_ome or not tif.ome_metadata:
        return None
    images = tifffile.xml2dict(tif.ome_metadata)["OME"].get("Image", {})
    pixels = (images[0] if isinstance(images, list) else images).get("Pixels", {})
    steps = []
    for axis in "ZYX"[-ndim:]:
        unit = _MICROMETRES.get(str(pixels.get(f"PhysicalSize{axis}Unit", "µm")).lower(), math.nan)
        steps.append(float(pixels.get(f"PhysicalSize{axis}", math.nan)) * unit)
    return steps


def _imagej(tif: tifffile.TiffFile, ndim: int) -> list[float] | None:
    about = tif.imagej_metadata
    if not about:
        return None
    tags = tif.pages.first.tags
    in_plane = []
    for tag in ("YResolution", "XResolution"):
        pixels, length = tags[tag].value if tag in tags else (0, 1)
        in_plane.append(length / pixels if pixels else math.nan)
    unit = _MICROMETRES.get(str(about.get("unit", "pixel")).lower(), math.nan)
    return [step * unit for step in (float(about.get("spacing", math.nan)), *in_plane)[-ndim:]]


def _checked(spacing: Sequence[Any] | None, ndim: int) -> tuple[float, ...] | None:
    try:
        steps = tuple(map(float, spacing or ()))
    except (TypeError, ValueError):
        return None
    return steps if len(steps) == ndim and all(0 < step < math.inf for step in steps) else None
