"""Bringing the channels of a case onto the voxels of its label."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nnunet_ext.dataset_conversion.case import RESIZED, Case, Note
from nnunet_ext.dataset_conversion.volumes import Volume, read_filled, read_volume
from nnunet_ext.images.geometry import difference
from nnunet_ext.images.image import Grid, Image

if TYPE_CHECKING:
    import SimpleITK as sitk


def read_resampled(case: Case) -> tuple[Volume, tuple[Note, ...]]:
    """Read a labelled case; channels on other voxels than the label are resampled, which is noted.

    Raises
    ------
    UserError
        If a file cannot be read, is not whole, or holds several channels.
    """
    label = read_volume(replace(case, images=case.labels, labels=()))
    (values,), channels, notes = label.channels, [], list[Note]()
    for file in case.images:
        found, filled = read_filled(replace(case, images=(file,), labels=()))
        pixels = found.channels[0]
        notes += filled
        if words := difference(found.grid, label.grid, pixels.shape, values.shape):
            pixels = onto(Image(pixels[None], found.grid), label.grid, values.shape).pixels[0]
            notes.append(Note(RESIZED, f"{file}: resampled onto the voxels of the label: {words}"))
        channels.append(pixels)
    return Volume(tuple(channels), values, label.grid), tuple(notes)


def onto(image: Image, grid: Grid, shape: tuple[int, ...]) -> Image:
    """Resample an image linearly onto other voxels.

    Parameters
    ----------
    image : Image
        One channel, 3D, whose grid states spacing, origin and direction.
    grid : Grid
        Where the voxels shall lie, likewise.
    shape : tuple of int
        Their number, (z, y, x).

    Returns
    -------
    Image
        float32; where the image does not reach, its smallest value (air in CT, nothing in a map).
    """
    import numpy as np
    import SimpleITK as sitk

    pixels = image.pixels[0].astype(np.float32)
    moving = sitk.GetImageFromArray(pixels)
    reference = sitk.Image([int(edge) for edge in shape[::-1]], sitk.sitkUInt8)
    for target, where in ((reference, grid), (moving, image.grid)):
        _place(target, where)
    moved = sitk.Resample(moving, reference, sitk.Transform(), sitk.sitkLinear, float(pixels.min()))
    return Image(sitk.GetArrayFromImage(moved)[None], grid)


def _place(image: sitk.Image, grid: Grid) -> None:
    if grid.spacing is None or grid.origin is None or grid.direction is None:
        raise ValueError(f"We expect a grid with spacing, origin and direction. Got: {grid}")
    image.SetSpacing(grid.spacing[::-1])
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
