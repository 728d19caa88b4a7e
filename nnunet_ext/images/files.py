"""Reading an image or its header from a file of any known format, chosen by the ending of the name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from nnunet_ext.errors import UserError
from nnunet_ext.images.image import Header, Hints, Image

_MODULES = {
    **dict.fromkeys((".tif", ".tiff", ".ome.tif", ".ome.tiff"), "tif"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp"), "png_jpg"),
    **dict.fromkeys((".nii", ".nii.gz"), "nifti"),
    **dict.fromkeys((".h5", ".hdf5"), "hdf5"),
}
# what only nnU-Net's SimpleITK reader reads
_ITK = dict.fromkeys((".mha", ".nrrd", ".gipl"), "itk")
#: what an image may be; the longest ending that fits counts
IMAGE_ENDINGS = frozenset(_MODULES)
#: what labels may be: formats that give back every value
LABEL_ENDINGS = IMAGE_ENDINGS - {".jpg", ".jpeg", ".bmp"}
NIFTI_ENDINGS = frozenset({".nii", ".nii.gz"})
HDF5_ENDINGS = frozenset({".h5", ".hdf5"})


def ending_of(path: Path) -> str:
    """Return the ending by which the format is known, in lower case, or "" if there is none."""
    name = path.name.lower()
    return max((ending for ending in IMAGE_ENDINGS if name.endswith(ending)), key=len, default="")


def stem_of(path: Path) -> str:
    """Return the name without that ending.

    Examples
    --------
    >>> stem_of(Path("cells/a.b.OME.tif"))
    'a.b'
    """
    return path.name[: len(path.name) - len(ending_of(path))]


def read_header(path: Path, hints: Hints = Hints()) -> Header:  # noqa: B008 - it is frozen
    """Read what a file says about its image, without the pixels.

    Parameters
    ----------
    path : Path
        The file.
    hints : Hints
        Key, dimension and purpose, where the file leaves them open.

    Raises
    ------
    UserError
        If the file cannot be read, holds no voxels, or not one 2D or 3D image.
    """
    header: Header = _module(path).header(path, hints)
    return header


def read_image(path: Path, hints: Hints = Hints()) -> Image:  # noqa: B008 - it is frozen
    """Read an image as (channels, y, x) or (channels, z, y, x), with the spacing the file states.

    Parameters and errors are those of `read_header`. An alpha channel is dropped.
    """
    image: Image = _module(path).read(path, hints)
    return image


def check_whole(path: Path, labels: bool = False) -> None:
    """Raise a `UserError` if an image file is cut off or damaged, whatever a library would make of it.

    To be called before a library that fills up what is missing, as nnU-Net's readers do. Of formats with a
    checksum any damage is noticed, of others what is missing. A file of an unknown ending is left to its
    reader.

    Parameters
    ----------
    path : Path
        The file.
    labels : bool
        Whether it holds labels: then also refuse several values per voxel (colours, channels, time points),
        and NaN and infinity where the library reads them as 0.
    """
    name = path.name.lower()
    module = _MODULES.get(ending_of(path)) or next((_ITK[end] for end in _ITK if name.endswith(end)), None)
    check = getattr(import_module(f"nnunet_ext.images.{module}"), "check_whole", None) if module else None
    if check:
        check(path, labels)


def _module(path: Path) -> Any:
    ending = ending_of(path)
    if not ending:
        raise UserError(f"{path}: not an image file. Known endings: {', '.join(sorted(IMAGE_ENDINGS))}.")
    return import_module(f"nnunet_ext.images.{_MODULES[ending]}")
