"""Cases of one file per channel and one label file, all on the same voxels, as NIfTI has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.base.case import FILLED, RESIZED, Case, Note, Sample
from nnunet_ext.dataset_conversion.base.converter import Converter
from nnunet_ext.dataset_conversion.base.description import DatasetDescription
from nnunet_ext.dataset_conversion.base.label_maps import as_labels
from nnunet_ext.errors import UnusableCase
from nnunet_ext.images.files import read_header, read_image
from nnunet_ext.images.image import Grid, Hints, Image, grid_difference

BEYOND = "labels beyond the image"
UNPLACED = "files without a position"
_ROUNDING = 1e-6  # of a voxel: what computing with positions may be off by


@dataclass(frozen=True)
class Volume:
    """The files of a case as read.

    Attributes
    ----------
    channels : tuple of ndarray
        One (z, y, x) array per channel, for `Sample.images`.
    label : ndarray or None
        The values of the label file as stored; see `as_labels`.
    grid : Grid
        That of the first file that says where its voxels lie, for `Sample.grid`.
    notes : tuple of Note
        Files that do not say it, beside such as do.
    """

    channels: tuple[NDArray[Any], ...]
    label: NDArray[Any] | None
    grid: Grid
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class VolumeConverter(Converter):
    """Base of the converters whose cases are one NIfTI file per channel and one of labels.

    All files of a case must lie on the same voxels. Labels stored as almost whole numbers are rounded and
    values of an image that are not finite set to 0, which is noted; labels that are not finite are refused.
    """

    def read_case(self, case: Case, description: DatasetDescription) -> Sample:
        """Read channels and label."""
        volume, notes = self.read_files(case)
        if volume.label is None:
            return Sample(volume.channels, None, notes, grid=volume.grid)
        label, more = as_labels(volume.label, case.labels[0])
        return Sample(volume.channels, label, (*notes, *more), grid=volume.grid)

    def read_files(self, case: Case) -> tuple[Volume, tuple[Note, ...]]:
        """Read the files of a case, with notes on what was done to bring them together."""
        return read_filled(case)


def read_volume(case: Case, hints: Hints = Hints(dimension=3)) -> Volume:  # noqa: B008 - it is frozen
    """Read all channels and the label of a case.

    Shape, spacing, origin and direction of all of them must agree, to a tenth of a voxel. What a file does
    not state cannot differ.

    Raises
    ------
    UnusableCase
        If they do not, or a file holds several channels.
    UserError
        If a file cannot be read or is not whole.
    """
    channels = [_one_channel(file, read_image(file, hints)) for file in case.images]
    label = [_one_channel(file, read_image(file, hints)) for file in case.labels]
    if len(label) > 1:
        raise ValueError(f"We expect one label file. Got: {len(label)}")
    files, images = [*case.images, *case.labels], [*channels, *label]
    check_grids(files, images)
    pixels, grids = tuple(image.pixels[0] for image in channels), [image.grid for image in images]
    grid = next((grid for grid in grids if not grid.assumed), grids[0])
    return Volume(pixels, label[0].pixels[0] if label else None, grid, _unplaced_notes(files, grids))


def read_filled(case: Case) -> tuple[Volume, tuple[Note, ...]]:
    """Read a case as `read_volume` does; values of channels that are not finite become 0, which is noted.

    That is how nnU-Net would read them; labels are left as they are.
    """
    volume = read_volume(case)
    filled = [fill(pixels, file) for pixels, file in zip(volume.channels, case.images, strict=True)]
    channels = tuple(pixels for pixels, _ in filled)
    return replace(volume, channels=channels), tuple(chain(volume.notes, *(notes for _, notes in filled)))


def _unplaced_notes(files: Sequence[Path], grids: Sequence[Grid]) -> tuple[Note, ...]:
    """Note each file that does not say where its voxels lie, beside one that does."""
    if all(grid.assumed for grid in grids):
        return ()
    text = "neither sform nor qform; taken to lie on the voxels of the other files"
    unplaced = (file for file, grid in zip(files, grids, strict=True) if grid.assumed)
    return tuple(Note(UNPLACED, f"{file}: {text}") for file in unplaced)


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
        notes += _unplaced_notes((file, case.labels[0]), (found.grid, label.grid))
        if words := grid_difference(found.grid, label.grid, pixels.shape, values.shape):
            if found.grid.assumed or label.grid.assumed:
                raise UnusableCase(
                    f"{file}: {words} in {case.labels[0]}, and one of the two has neither sform nor qform, "
                    "which say where its voxels lie: it cannot be resampled. Save it with one"
                )
            image, marked = Image(pixels[None], found.grid), np.asarray(values > 0)
            if missed := int(np.count_nonzero(marked & ~_reached(image, label.grid, values.shape))):
                text = f"{missed} of {np.count_nonzero(marked)} labelled voxels, where it does not reach"
                notes.append(Note(BEYOND, f"{file}: {text}"))
            pixels = resample(image, label.grid, values.shape).pixels[0]
            notes.append(Note(RESIZED, f"{file}: resampled onto the voxels of the label: {words}"))
        channels.append(pixels)
    return Volume(tuple(channels), values, label.grid), tuple(notes)


def check_grids(files: Sequence[Path], images: Sequence[Image]) -> None:
    """Raise `UnusableCase` unless all images lie on the voxels of the first."""
    first = images[0]
    for file, image in zip(files[1:], images[1:], strict=True):
        found = grid_difference(image.grid, first.grid, image.pixels.shape[1:], first.pixels.shape[1:])
        if found:
            raise UnusableCase(f"{file}: does not lie on the voxels of {files[0]}: {found}")


def grid_problem(file: Path, reference: Path) -> str:
    """Say from the headers alone how a file differs in its grid from another, or return ""; for surveys."""
    one, other = read_header(file), read_header(reference)
    found = grid_difference(one.grid, other.grid, one.shape, other.shape)
    return f"{file}: does not lie on the voxels of {reference}: {found}" if found else ""


def fill(pixels: NDArray[Any], file: Path, value: float = 0) -> tuple[NDArray[Any], tuple[Note, ...]]:
    """Replace NaN and infinity by `value`, and note how many; nnU-Net takes neither."""
    if pixels.dtype.kind != "f" or (finite := np.isfinite(pixels)).all():
        return pixels, ()
    number = pixels.size - np.count_nonzero(finite)
    return np.where(finite, pixels, pixels.dtype.type(value)), (
        Note(FILLED, f"{file}: {number} voxels that are not finite, set to {value:g}"),
    )


def resample(image: Image, grid: Grid, shape: tuple[int, ...]) -> Image:
    """Resample an image linearly onto other voxels.

    Parameters
    ----------
    image : Image
        One channel, 3D, whose grid states spacing, origin and direction.
    grid : Grid
        Where the voxels are to lie, likewise.
    shape : tuple of int
        Their number, (z, y, x).

    Returns
    -------
    Image
        float32; where the image does not reach, its smallest value, which is air in CT.

    Raises
    ------
    ValueError
        If a grid does not state where its voxels lie.

    Notes
    -----
    The image reaches half a voxel beyond the centres of its outermost voxels, as in SimpleITK's ``Resample``
    with ``sitkLinear``: the results are equal, at 4 to 10 times the time (1 s for 8 million voxels).
    """
    from scipy.ndimage import affine_transform

    pixels = image.pixels[0].astype(np.float32)
    matrix = np.linalg.inv(image.grid.affine()) @ grid.affine()  # from voxels of the target to the image's
    moved = affine_transform(pixels, matrix, output_shape=shape, order=1, mode="nearest")
    moved[~_reached(image, grid, shape)] = pixels.min()
    return Image(moved[None], grid)


def _reached(image: Image, grid: Grid, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which voxels of a grid, of this shape, lie in an image."""
    matrix = np.linalg.inv(image.grid.affine()) @ grid.affine()
    indices = (*np.indices(shape, sparse=True), 1)
    reached = np.ones(shape, bool)
    for row, size in zip(matrix, image.pixels.shape[1:], strict=False):
        place = sum(step * index for step, index in zip(row, indices, strict=True)) + _ROUNDING
        reached &= (place >= -0.5) & (place < size - 0.5)
    return reached


def _one_channel(file: Path, image: Image) -> Image:
    if len(image.pixels) != 1:
        raise UnusableCase(f"{file}: one channel is expected, found {len(image.pixels)}")
    return image
