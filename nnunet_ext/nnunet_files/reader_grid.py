"""Where the voxels lie that one of nnU-Net's readers returned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UnusableCase
from nnunet_ext.images.files import NIFTI_ENDINGS, ending_of
from nnunet_ext.images.image import Grid
from nnunet_ext.images.nifti import is_placed

_LPS = np.array([-1.0, -1.0, 1.0])  # nibabel's x and y run the other way


def grid_of(reader: Any, file: Path, properties: Mapping[str, Any], channel: bool = False) -> Grid:
    """Return the grid of an array as a reader of nnU-Net returned it, with axes in the order of that array.

    Parameters
    ----------
    reader : nnunetv2.imageio.base_reader_writer.BaseReaderWriter
        The reader.
    file : Path
        What it read.
    properties : mapping
        What it returned beside the array.
    channel : bool
        Whether the file is one of an image, ``CASE_0000.tif``, whose spacing is in ``CASE.json``.

    Returns
    -------
    Grid
        Of two axes for files that know but two, else of three. Readers that turn the array have stated it for
        the turned one. The spacing is None where the reader makes it up: for png and bmp, and for a tif
        without the file of its spacing. The place is marked as assumed for NIfTI without one, unless the
        reader has turned the array by what it took for it.

    Raises
    ------
    UnusableCase
        If the spacing is not three positive numbers.
    """
    kind, stuff = type(reader).__name__, properties.get("nibabel_stuff")
    if "sitk_stuff" in properties or stuff:
        if stuff:
            affine = stuff.get("reoriented_affine", stuff["original_affine"])
            grid = _of_affine(_checked(file, properties["spacing"]), affine)
        else:
            grid = _of_simpleitk(properties["sitk_stuff"])
        is_nifti = ending_of(file) in NIFTI_ENDINGS
        return replace(grid, assumed=is_nifti and not kind.endswith("WithReorient") and not is_placed(file))
    spacing = _checked(file, properties["spacing"])
    if kind == "NaturalImage2DIO" or (kind == "Tiff3DIO" and not _spacing_file(file, channel).is_file()):
        return Grid()
    return Grid(spacing)


def _of_simpleitk(stuff: Mapping[str, Any]) -> Grid:
    """Of an axis beyond the third, which holds channels, nothing is kept."""
    axes = len(stuff["spacing"])
    ndim = min(axes, 3)
    direction = np.reshape(stuff["direction"], (axes, axes))[:ndim, :ndim]
    return Grid(
        tuple(float(abs(step)) for step in stuff["spacing"][:ndim][::-1]),
        tuple(map(float, stuff["origin"][:ndim])),
        tuple(direction.ravel().tolist()),
    )


def _of_affine(spacing: tuple[float, ...], affine: Any) -> Grid:
    """From nibabel's matrix of indices (x, y, z) to positions in RAS."""
    origin = np.asarray(affine, np.float64)[:3, 3] * _LPS
    return Grid(spacing, tuple(origin.tolist()), tuple(lps_axes(affine).ravel().tolist()))


def lps_axes(affine: Any) -> NDArray[np.float64]:
    """Return the directions of the axes as columns x, y, z, in LPS, from nibabel's matrix."""
    axes = np.asarray(affine, np.float64)[:3, :3] * _LPS[:, None]
    return axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-30)


def _checked(file: Path, spacing: Any) -> tuple[float, ...]:
    try:
        steps = tuple(float(step) for step in spacing)
    except (TypeError, ValueError):
        steps = ()
    if len(steps) != 3 or not all(0 < step < math.inf for step in steps):
        raise UnusableCase(f"{file}: its spacing is {spacing}, but three positive numbers are expected.")
    return steps


def _spacing_file(file: Path, channel: bool) -> Path:
    """Return where nnU-Net looks for the spacing of a tif."""
    stem = file.name[: -len(file.suffix)]
    return file.with_name(f"{stem[: -len('_0000')] if channel else stem}.json")
