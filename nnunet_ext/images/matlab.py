"""MATLAB files: v5 (SciPy) and v7.3, which is HDF5 (h5py), read alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.images import hdf5
from nnunet_ext.images.image import unreadable

_NUMBERS = {
    "double",
    "single",
    "logical",
    *(f"{u}int{bits}" for u in ("u", "") for bits in (8, 16, 32, 64)),
}


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the numeric arrays of a file by name, without reading them.

    Shapes are MATLAB's own, ``size(variable)``, whatever the version of the file: of an image stored by
    Python as (z, y, x) this is often (x, y, z).

    Raises
    ------
    UserError
        If the file cannot be read.
    """
    return {name: shape for name, (shape, kind) in _variables(path).items() if kind in _NUMBERS}


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
        If the file cannot be read or is damaged, or has no such array, or several.
    """
    there = shapes(path)
    names = [name] if name else [key for key, shape in there.items() if len(shape) == ndim]
    if len(names) != 1 or names[0] not in there:
        wanted = f"no variable '{name}'" if name else f"{len(names)} arrays with {ndim} axes, one is expected"
        listed = ", ".join(f"{key!a:.80} {shape}" for key, shape in there.items()) or "none"
        raise UserError(f"{path}: has {wanted}. Arrays there: {listed}.{_others(path)}")
    if _is_hdf5(path):
        return hdf5.array(path, names[0]).T
    import scipy.io

    try:
        array = np.asarray(scipy.io.loadmat(path, variable_names=[names[0]])[names[0]])
    except Exception as error:  # as in `_variables`; a file that is cut off fails here
        raise unreadable(path, "a MATLAB file", error) from error
    if array.dtype.kind not in "buif":
        raise UserError(f"{path}: '{names[0]}' holds {array.dtype}, but real numbers are expected.")
    return array


def _variables(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape and class, as MATLAB calls it, of every variable."""
    if _is_hdf5(path):
        # without a class Python wrote it; MATLAB's own arrays have two axes at least
        return {
            key: (shape[::-1], kind or "double")
            for key, (shape, kind) in hdf5.kinds(path).items()
            if not key.startswith("#") and len(shape) > 1
        }
    import scipy.io

    try:
        return {name: (tuple(shape), kind) for name, shape, kind in scipy.io.whosmat(path)}
    except Exception as error:  # SciPy raises ValueError, TypeError, zlib.error, its own, ...
        raise unreadable(path, "a MATLAB file", error) from error


def _others(path: Path) -> str:
    """Say what there is beside arrays of numbers."""
    others = [
        f"{name!a:.80} ({kind})" for name, (_, kind) in _variables(path).items() if kind not in _NUMBERS
    ]
    return f" Not arrays of numbers: {', '.join(others)}." if others else ""


def _is_hdf5(path: Path) -> bool:
    """Tell a v7.3 file by its signature, which follows MATLAB's own header of 512 bytes."""
    try:
        with path.open("rb") as file:
            start = file.read(520)
    except OSError as error:
        raise unreadable(path, "a MATLAB file", error) from error
    signature = b"\x89HDF\r\n\x1a\n"
    return start.startswith(signature) or start[512:] == signature
