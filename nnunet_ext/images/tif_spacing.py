"""The voxel spacing that a tif file, or nnU-Net's spacing file beside it, states."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tifffile

#: length of a unit in µm; in any other unit, such as ImageJ's "pixel", nothing is known
_MICROMETRES = {
    **dict.fromkeys(("um", "µm", "μm", "\\u00b5m", "micron", "microns", "micrometer", "micrometre"), 1.0),
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "inch": 25400.0,
}


def tif_spacing(tif: tifffile.TiffFile, path: Path, ndim: int) -> tuple[float, ...] | None:
    """Return the spacing in the order of the axes, or None if it is not stated for all of them.

    Looked for in nnU-Net's spacing file (``CASE.json`` beside ``CASE.tif`` or ``CASE_0000.tif``), our own
    description, OME and ImageJ metadata, in this order. The resolution of a plain tif is ignored: it is
    that of a screen or a printer. Known units are turned into µm.
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
