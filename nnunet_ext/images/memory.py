"""How large an array is, and whether it can fit into the memory of this machine, told before it is read."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from nnunet_ext.errors import UserError

MORE_MEMORY = "Use fewer workers (-np 1), or a machine with more memory."


def sized(shape: Sequence[int], dtype: DTypeLike) -> str:
    """Say in words how large an array is.

    Examples
    --------
    >>> sized((2000, 2000, 1000), "uint16")
    '2000 x 2000 x 1000 voxels of uint16 (8 GB)'
    """
    size = _readable(_bytes(shape, dtype))
    return f"{' x '.join(map(str, shape))} voxels of {np.dtype(dtype).name} ({size})"


def too_large(path: Path, shape: Sequence[int], dtype: DTypeLike) -> UserError:
    """Return the error for an array for which there was not enough memory."""
    return UserError(f"{path}: {sized(shape, dtype)} do not fit into memory. {MORE_MEMORY}")


def check_memory(path: Path, shape: Sequence[int], dtype: DTypeLike) -> None:
    """Raise `UserError` if an array is larger than all of this machine's memory, where that is known.

    A damaged header may promise any size, and where the system lends more memory than there is, an array of
    that size is not refused but ends the process.
    """
    memory = _memory()
    if _bytes(shape, dtype) > memory:
        raise UserError(
            f"{path}: {sized(shape, dtype)} do not fit into memory, of which this machine has "
            f"{_readable(memory)}. Crop it, or use a machine with more memory; or the file is damaged."
        )


def _bytes(shape: Sequence[int], dtype: DTypeLike) -> int:
    return math.prod(map(int, shape)) * np.dtype(dtype).itemsize


def _readable(size: float) -> str:
    units = iter(("bytes", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while size >= 1000 and unit != "TB":
        size, unit = size / 1000, next(units)
    return f"{size:.3g} {unit}"


def _memory() -> float:
    """Return the bytes of memory of this machine; infinity where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return math.inf
