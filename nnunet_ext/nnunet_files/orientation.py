"""How nnU-Net's reader has turned an image against its file, so that results can be written as the file lies.

Two of nnU-Net's readers, named in the ``overwrite_image_reader_writer`` of dataset.json, turn every image to
RAS as they read it, and back as they write a segmentation. Files beside a dataset that know no orientation,
such as the tifs of instances, have the axes of the image file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UnusableCase
from nnunet_ext.images.image import Grid
from nnunet_ext.nnunet_files.reader_grid import lps_axes


@dataclass(frozen=True)
class Turn:
    """What brings the axes of a reader's array, (z, y, x), back to those of the file.

    Attributes
    ----------
    axes : tuple of int
        For each axis of the file, the one of the array that lies along it.
    flipped : tuple of bool
        Whether it runs the other way.
    """

    axes: tuple[int, int, int] = (0, 1, 2)
    flipped: tuple[bool, bool, bool] = (False, False, False)

    def array(self, data: NDArray[Any]) -> NDArray[Any]:
        """Return a view of (y, x) or (z, y, x) data with the axes of the file; of one slice, (y, x)."""
        if self == Turn():
            return data
        volume = data[None] if data.ndim == 2 else data
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)
        turned = volume.transpose(self.axes)[steps]
        return turned[0] if turned.shape[0] == 1 else turned

    def steps(self, spacing: tuple[float, ...]) -> tuple[float, ...]:
        """Return a spacing in the order of three axes in that of the file's."""
        return tuple(spacing[axis] for axis in self.axes)


def turn_to_file(reader: Any, file: Path, grid: Grid) -> Turn:
    """Return how to turn what a reader returned back.

    Parameters
    ----------
    reader : nnunetv2.imageio.base_reader_writer.BaseReaderWriter
        The reader.
    file : Path
        What it read.
    grid : Grid
        Of what it returned, as `reading.read_labels` gives it.

    Raises
    ------
    UnusableCase
        If the file states axes that are no turned ones of these.
    """
    kind = type(reader).__name__
    if not kind.endswith("WithReorient") or grid.direction is None:
        return Turn()
    there = _nibabels_axes(file) if "Nibabel" in kind else _simpleitks_axes(file)
    turned = np.linalg.solve(there, _three_axes(grid))  # file axis by array axis, both in the order x, y, z
    whole = np.round(turned)
    if not np.allclose(turned, whole, atol=1e-3) or not (np.abs(whole).sum(0) == 1).all():
        raise UnusableCase(f"{file}: the axes in its header do not fit those that {kind} returned.")
    along = np.abs(whole)[::-1, ::-1].argmax(1)  # z, y, x
    flipped = whole[::-1, ::-1].sum(1) < 0
    return Turn(tuple(along.tolist()), tuple(flipped.tolist()))


def _three_axes(grid: Grid) -> NDArray[np.float64]:
    """Return directions as columns x, y, z; a slice's third is at right angles, its sign of no account."""
    axes = np.reshape(grid.direction or (), (3, -1))
    return axes if axes.shape[1] == 3 else np.column_stack([axes, np.cross(axes[:, 0], axes[:, 1])])


def _nibabels_axes(file: Path) -> NDArray[np.float64]:
    import nibabel

    return lps_axes(nibabel.load(file).affine)  # type: ignore[attr-defined]


def _simpleitks_axes(file: Path) -> NDArray[np.float64]:
    import SimpleITK as sitk

    header = sitk.ImageFileReader()
    header.SetFileName(str(file))
    header.ReadImageInformation()
    return np.reshape(header.GetDirection(), (header.GetDimension(), -1))[:3, :3]
