"""NumPy's own files, .npy, and the arrays of .npz."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.images.image import unreadable


def header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of the array of an .npy file, whose numbers are not read.

    Raises
    ------
    UserError
        If the file cannot be read, is cut off, or holds objects.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array.shape, array.dtype
    except Exception as error:  # as below; an .npz has no shape
        raise unreadable(path, "a NumPy file", error) from error


def read(path: Path, key: str = "") -> NDArray[Any]:
    """Read the array of an .npy file, or the one called `key` of an .npz; never pickled objects.

    Raises
    ------
    UserError
        If the file cannot be read, is cut off, holds objects, or has no such array.
    """
    try:
        content = np.load(path, allow_pickle=False)
    except Exception as error:  # ValueError, EOFError, BadZipFile, ...
        raise unreadable(path, "a NumPy file", error) from error
    if isinstance(content, np.ndarray):
        return content
    with content:
        if key not in content.files:
            raise UserError(
                f"{path}: has no array '{key}'. Arrays there: {', '.join(content.files) or 'none'}."
            )
        try:
            return np.asarray(content[key])
        except Exception as error:  # zlib.error, BadZipFile, ValueError
            raise UserError(f"{path}: the array '{key}' is damaged: {error}") from error
