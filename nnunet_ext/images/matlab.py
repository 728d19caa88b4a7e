"""MATLAB files: v5 (SciPy) and v7.3, which is HDF5 (h5py), read alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.images import hdf5
from nnunet_ext.images.image import unreadable


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the numeric arrays of a file by name, without reading them.

    Shapes are MATLAB's own, ``size(variable)``, whatever the version of the file: of an image stored by
    Python as (z, y, x) this is often (x, y, z).

    Raises
    ------
    UserError
        If the file cannot be read.
    """
    if _is_hdf5(path):
        return {
            key: shape[::-1]
            for key, shape in hdf5.datasets(path).items()
            if not key.startswith("#") and len(shape) > 1
        }
    import scipy.io

    numbers = {
        "double",
        "single",
        "logical",
        *(f"{u}int{bits}" for u in ("u", "") for bits in (8, 16, 32, 64)),
    }
    try:
        found = scipy.io.whosmat(path)
    except Exception as error:  # SciPy raises ValueError, TypeError, zlib.error, its own, ...
        raise unreadable(path, "a MATLAB file", error) from error
    return {name: tuple(shape) for name, shape, kind in found if kind in numbers}


def read(path: Path, name: str = "", ndim: int = 3) -> NDArray[Any]:
    """Read one array, in MATLAB's order of the axes (see `shapes`).

    Parameters
    ----------
    path : Path
        The file.
    name : str
        The variable; without it the only one with `ndim` axes is taken.
    ndim : int
        Number of axes of the array that is looked for.

    Raises
    ------
    UserError
        If the file cannot be read, or has no such array, or several.
    """
    there = shapes(path)
    names = [name] if name else [key for key, shape in there.items() if len(shape) == ndim]
    if len(names) != 1 or names[0] not in there:
        wanted = f"no variable '{name}'" if name else f"{len(names)} arrays with {ndim} axes, one is expected"
        listed = ", ".join(f"'{key}' {shape}" for key, shape in there.items()) or "none"
        raise UserError(f"{path}: has {wanted}. Arrays there: {listed}.")
    try:
        return _read(path, names[0])
    except UserError:
        raise
    except Exception as error:  # as above; a file that is cut off fails here
        raise unreadable(path, "a MATLAB file", error) from error


def _read(path: Path, name: str) -> NDArray[Any]:
    if _is_hdf5(path):
        with hdf5.library().File(path, "r") as file:
            return np.asarray(file[name][()]).T
    import scipy.io

    return np.asarray(scipy.io.loadmat(path, variable_names=[name])[name])


def _is_hdf5(path: Path) -> bool:
    """Tell a v7.3 file by its signature, which follows MATLAB's own header of 512 bytes."""
    with path.open("rb") as file:
        start = file.read(520)
    signature = b"\x89HDF\r\n\x1a\n"
    return start.startswith(signature) or start[512:] == signature
