"""NIfTI files, with spacing, origin and direction; a fourth axis or a vector holds the channels.

Headers are read and written by nibabel, the values by `nifti_content`, which notices damage.

Values, types and geometry are those that SimpleITK 2.5 (ITK 5.4) reads; the tests compare them over random
headers. Where a file states two geometries, ITK's rule decides: the sform wins if its axes are at right
angles and it is the scanner's own (code 1), the only one, or equal to the qform; otherwise the qform wins.
The spacing is always pixdim's. A file that states neither has its origin at 0 and axes as LPS has them, which
`Grid` marks as assumed. (Of two geometries with the same axes in other directions, neither of them the
scanner's, ITK may take either; the qform is taken here.)

This replaced SimpleITK with a second pass over the bytes that looked for what SimpleITK hides. Of their time
it takes, for .nii.gz of 128 x 256 x 256 voxels: .6 (int16) and .5 (float32) for reading, .1 for a header,
.9 (int16), 1.2 (float32) and .3 (labels) for writing; written labels are 1.8 times larger, images the same.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.images.image import Grid, Header, Hints, Image
from nnunet_ext.images.nifti_content import VERSIONS, Layout, check_whole, layout, opened, values

__all__ = ["check_whole", "header", "is_placed", "read", "write"]

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

_SCANNER = 1  # code of a geometry: the scanner's own
_LENGTHS = {1: 1e3, 3: 1e-3}  # unit of lengths -> mm; anything else is mm
_LPS = np.array([-1.0, -1.0, 1.0])  # NIfTI's x and y run the other way


def header(path: Path, hints: Hints) -> Header:
    """Read what the file says about its image; see `files.read_header`."""
    with opened(path) as (_, stored):
        return _about(path, stored, layout(path, stored))


def read(path: Path, hints: Hints) -> Image:
    """Read the image; see `files.read_image`. NaN and infinite values are kept.

    Integers that the header scales become float32.

    Raises
    ------
    UserError
        As `files.read_header`; and if the file is damaged, or shorter or longer than its header promises.
    """
    with opened(path) as (file, stored):
        content = layout(path, stored)
        about = _about(path, stored, content)
        found = values(path, file, stored, content)
    # the components of a colour follow each other, those of a vector and a fourth axis are planes
    pixels = np.moveaxis(found.reshape(*about.shape, -1), -1, 0) if content.stored.names else found
    pixels = pixels.reshape(about.channels, *about.shape)
    slope, intercept = _scale(stored)
    pixels = pixels.astype(about.dtype, copy=False)
    if (slope, intercept) != (1, 0):
        for plane in pixels.reshape(-1, *about.shape[-2:]):  # in float64, without a copy of the whole
            plane[...] = plane.astype(np.float64) * slope + intercept
    return Image(pixels, about.grid)


def write(path: Path, data: NDArray[Any], grid: Grid) -> None:
    """Write one 2D or 3D channel with its geometry, as qform and sform.

    Parameters
    ----------
    path : Path
        Target; an existing file is replaced.
    data : ndarray
        (y, x) or (z, y, x).
    grid : Grid
        Where the voxels lie; a spacing of 1, an origin of 0 and axes as LPS has them where it is silent.
    """
    import nibabel

    ndim = data.ndim
    spacing = grid.spacing or (1.0,) * ndim
    whole = Grid(spacing, grid.origin or (0.0,) * ndim, grid.direction or tuple(np.eye(ndim).ravel()))
    affine = np.eye(4)
    affine[:ndim, :ndim] = whole.affine()[:-1, -2::-1]
    affine[:ndim, 3] = whole.affine()[:-1, -1]
    affine[:3] *= _LPS[:, None]
    image = nibabel.Nifti1Image(data.T, affine, dtype=data.dtype)
    image.set_qform(affine, code=_SCANNER)
    image.set_sform(affine, code=_SCANNER)
    image.header.set_zooms(spacing[::-1])
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(path)


def _about(path: Path, stored: Nifti1Header, content: Layout) -> Header:
    dtype = np.dtype(np.uint8) if content.stored.names else content.stored
    if dtype.kind in "ui" and _scale(stored) != (1, 0):
        dtype = np.dtype(np.float32)
    grid = _grid(path, stored, len(content.space))
    return Header(content.space[::-1], content.components, dtype.newbyteorder("="), grid)


def _scale(stored: Nifti1Header) -> tuple[float, float]:
    """Return what values are multiplied by and what is added; (1, 0) where the header says nothing."""
    slope, intercept = float(stored["scl_slope"]), float(stored["scl_inter"])
    return (slope if math.isfinite(slope) and slope else 1.0), (
        intercept if math.isfinite(intercept) else 0.0
    )


def _grid(path: Path, stored: Nifti1Header, ndim: int) -> Grid:
    if (stored["pixdim"][1 : 1 + ndim] < 0).any():
        raise UserError(f"{path}: the distance between its voxels is negative (pixdim): save it anew.")
    unit = _LENGTHS.get(int(stored["xyzt_units"]) & 7, 1.0)
    affine = _affine(stored)
    axes = affine[:3, :3] * _LPS[:, None]
    axes = (axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-30))[:ndim, :ndim]
    if abs(np.linalg.det(axes)) < 1e-6:
        raise UserError(f"{path}: its axes are not at right angles, which nnU-Net does not read either.")
    axes = axes / np.linalg.norm(axes, axis=0)
    origin = (affine[:3, 3] * _LPS * unit)[:ndim]
    return Grid(
        tuple((unit * _steps(stored)[:ndim])[::-1].tolist()),
        tuple(origin.tolist()),
        tuple(axes.ravel().tolist()),
        assumed=not _is_placed(stored),
    )


def is_placed(path: Path) -> bool:
    """Tell whether a file has an sform or a qform, which say where its voxels lie.

    Raises
    ------
    UserError
        If its header cannot be read.
    """
    with opened(path, VERSIONS) as (_, stored):
        return _is_placed(stored)


def _is_placed(stored: Nifti1Header) -> bool:
    return int(stored["sform_code"]) > 0 or int(stored["qform_code"]) > 0


def _steps(stored: Nifti1Header) -> NDArray[np.float64]:
    """Return the distances between voxels along x, y and z; 1 where the header has none."""
    steps = np.abs(stored["pixdim"][1:4].astype(np.float64))
    return np.where(np.isfinite(steps) & (steps > 0), steps, 1.0)


def _affine(stored: Nifti1Header) -> NDArray[np.float64]:
    """Return the geometry that ITK takes, (4, 4) in NIfTI's own axes; all 0 if there is no sound one."""
    sform, qform = stored.get_sform(), _qform(stored)
    has_sform, has_qform = int(stored["sform_code"]) > 0, int(stored["qform_code"]) > 0
    if not _is_placed(stored):
        return np.diag([*_LPS, 1.0])
    sound = has_sform and _is_right_angled(sform)
    same = np.allclose(sform, qform, rtol=0, atol=1e-4)
    if sound and (int(stored["sform_code"]) == _SCANNER or not has_qform or same):
        return sform
    return qform if has_qform else np.zeros((4, 4))


def _is_right_angled(affine: NDArray[np.float64]) -> bool:
    axes = affine[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    if not np.isfinite(affine).all() or not lengths.all():
        return False
    axes = axes / lengths
    return np.allclose(axes @ axes.T, np.eye(3), rtol=0, atol=1e-4)


def _qform(stored: Nifti1Header) -> NDArray[np.float64]:
    """Return the qform; nibabel's own refuses quaternions that are a little too long."""
    from nibabel.quaternions import fillpositive, quat2mat

    part = np.array([float(stored[f"quatern_{letter}"]) for letter in "bcd"])
    part /= max(1.0, np.linalg.norm(part))
    steps = _steps(stored)
    steps[2] *= -1 if stored["pixdim"][0] < 0 else 1
    affine = np.eye(4)
    affine[:3, :3] = quat2mat(fillpositive(part)) * steps
    affine[:3, 3] = [float(stored[f"qoffset_{letter}"]) for letter in "xyz"]
    return affine
