"""Whether an image can fit into the memory of this machine at all, told before it is read."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from nnunet_ext.errors import UserError

_GIB = 2**30


def check_memory(path: Path, shape: Sequence[int], dtype: DTypeLike) -> None:
    """Raise `UserError` if an array is larger than all of this machine's memory, where that is known.

    A damaged header may promise any size, and where the system lends more memory than there is, an array of
    that size is not refused but ends the process.
    """
    size, memory = math.prod(shape) * np.dtype(dtype).itemsize, _memory()
    if size > memory:
        array = f"{' x '.join(map(str, shape))} {np.dtype(dtype)}, {size / _GIB:.1f} GiB"
        raise UserError(
            f"{path}: does not fit into memory: {array}, but this machine has {memory / _GIB:.1f} GiB. "
            "Crop it, or use a machine with more memory; or the file is damaged."
        )


def _memory() -> float:
    """Return the bytes of memory of this machine; infinity where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return math.inf
