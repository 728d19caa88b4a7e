"""The voxel spacing of a tif in µm, from wherever it is stated."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_ext.errors import UserError
from nnunet_ext.images.ome import read_ome
from nnunet_ext.images.units import micrometres, number

if TYPE_CHECKING:
    import tifffile

Spacing = tuple[float, ...]
_REMEDY = (
    "Correct it (in Fiji: Image > Properties), convert with --spacing, or give the spacing in µm in a json "
    'file of the same name beside it: {"spacing": [z, y, x]}.'
)


def tif_spacing(tif: tifffile.TiffFile, path: Path, ndim: int) -> Spacing | None:
    """Return the spacing in the order of the axes, or None if it is not stated for all of them.

    Sources in this order: nnU-Net's spacing file (``CASE.json`` beside ``CASE.tif`` or ``CASE_0000.tif``),
    the description that `tif.write` makes, OME and ImageJ metadata, each axis in its own unit. All units of
    length are turned into µm; "pixel" and a step of 0 state nothing. The resolution of a plain tif, in inches
    or centimetres, is ignored: it is that of a screen or a printer.

    Raises
    ------
    UserError
        If a unit is not known, or a step is negative, infinite or no number.
    """
    return (
        _spacing_file(path, ndim)
        or _description(tif, ndim)
        or _ome(tif, path, ndim)
        or _imagej(tif, path, ndim)
    )


def spacing_files(path: Path) -> list[Path]:
    """Return where nnU-Net's spacing file of a tif may lie."""
    stems = (path.stem, re.sub(r"_\d{4}$", "", path.stem))
    return [path.with_name(f"{stem}.json") for stem in dict.fromkeys(stems)]


def _spacing_file(path: Path, ndim: int) -> Spacing | None:
    for file in spacing_files(path):
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            if '"spacing"' not in text:
                continue  # a json file of that name may be anything
            raise UserError(
                f'{file} is no valid JSON ({error}). It should be like {{"spacing": [0.3, 0.2, 0.2]}}, z y x.'
            ) from error
        spacing = content.get("spacing") if isinstance(content, dict) else None
        if not isinstance(spacing, list):
            continue
        if not _is_spacing(spacing, ndim):
            needed = f"{path.name} needs {ndim} numbers above 0"
            raise UserError(f"{file}: the spacing {spacing} is not possible: {needed}.")
        return tuple(map(float, spacing))
    return None


def _description(tif: tifffile.TiffFile, ndim: int) -> Spacing | None:
    """Return what tifffile's own description states; a single number there says nothing of the axes."""
    spacing = (tif.shaped_metadata or ({},))[0].get("spacing")
    return tuple(map(float, spacing)) if isinstance(spacing, list) and _is_spacing(spacing, ndim) else None


def _is_spacing(spacing: list[Any], ndim: int) -> bool:
    numbers = [step for step in spacing if isinstance(step, (int, float)) and not isinstance(step, bool)]
    return len(numbers) == len(spacing) == ndim and all(0 < step < math.inf for step in numbers)


def _ome(tif: tifffile.TiffFile, path: Path, ndim: int) -> Spacing | None:
    ome = read_ome(tif, path)
    if ome is None:
        return None
    return _in_micrometres(((axis, *ome.steps.get(axis, (0, ""))) for axis in "ZYX"[-ndim:]), path)


def _imagej(tif: tifffile.TiffFile, path: Path, ndim: int) -> Spacing | None:
    about = tif.imagej_metadata
    if not about:
        return None
    tags = tif.pages.first.tags
    steps = {"Z": abs(number(about.get("spacing", 0)))}  # negative where slices were taken downwards
    for axis in "YX":
        pixels, length = tags.valueof(f"{axis}Resolution", (0, 1))
        steps[axis] = length / pixels if pixels else 0.0
    unit = about.get("unit", "pixel")  # Fiji writes zunit and yunit only where they differ from it
    return _in_micrometres(
        ((axis, steps[axis], str(about.get(f"{axis.lower()}unit", unit))) for axis in "ZYX"[-ndim:]), path
    )


def _in_micrometres(steps: Iterable[tuple[str, Any, str]], path: Path) -> Spacing | None:
    """Return steps of (axis, length, unit) in µm; None if one of them is not stated."""
    lengths = []
    for axis, written, unit in steps:
        step = number(written)
        if not 0 <= step < math.inf:
            raise UserError(f"{path}: a spacing of {written} along {axis.lower()} is not possible. {_REMEDY}")
        try:
            lengths.append(step * (micrometres(unit) or 0))
        except ValueError as error:
            if step == 0:
                return None
            stated = f"the spacing along {axis.lower()} is {step:g} in an unknown unit, {unit!r}"
            raise UserError(f"{path}: {stated}. {_REMEDY}") from error
    return tuple(lengths) if all(length > 0 for length in lengths) else None
