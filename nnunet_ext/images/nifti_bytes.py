"""The bytes of a NIfTI file, which SimpleITK does not tell everything about.

It reads a file that is cut off, or damaged in its middle, and fills up with zeros; it reads values that are
not finite as zero; both without a word.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError

_HEADER, _BLOCK = 348, 2**22  # bytes
_FLOATS = {16: "f4", 64: "f8"}  # by the header's code


@dataclass(frozen=True)
class _Layout:
    """Where the values lie, by the header: first byte, number of bytes, and their type if it is a float."""

    first: int
    length: int
    floats: str = ""


def check(path: Path) -> NDArray[np.int64]:
    """Read a NIfTI-1 file to its end; one of another format passes.

    Returns
    -------
    ndarray
        The values that are not finite, by their number in the file.

    Raises
    ------
    UserError
        If the file is damaged, or shorter than its header promises.
    """
    try:
        with path.open("rb") as raw:
            is_gzip = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_gzip else path.open("rb") as file:
            start = file.read(_HEADER)
            layout = _layout(start)
            skipped = len(start) + len(file.read(max(0, layout.first - len(start))))
            size, odd = _scan(file, layout)
    except (EOFError, OSError, zlib.error) as error:
        raise UserError(f"{path}: the file is damaged or cut off: {error}") from error
    if skipped + size < (expected := layout.first + layout.length):
        raise UserError(f"{path}: the file is cut off: {skipped + size} of {expected} bytes")
    return odd


def _scan(file: Any, layout: _Layout) -> tuple[int, NDArray[np.int64]]:
    """Read all that is left; return the number of bytes, and which values are not finite."""
    size, odd = 0, [np.zeros(0, np.int64)]
    while block := file.read(_BLOCK):
        if layout.floats:
            width = np.dtype(layout.floats).itemsize
            whole = max(0, min(len(block), layout.length - size)) // width
            values = np.frombuffer(block, layout.floats, whole)
            odd.append(np.flatnonzero(~np.isfinite(values)) + size // width)
        size += len(block)
    return size, np.concatenate(odd)


def _layout(start: bytes) -> _Layout:
    """Return the layout by the header of a NIfTI-1 file, an empty one for other formats."""
    for order in "<>":
        if len(start) == _HEADER and struct.unpack_from(f"{order}i", start)[0] == _HEADER:
            ndim, *edges = struct.unpack_from(f"{order}8h", start, 40)
            voxels = math.prod(max(1, edge) for edge in edges[: max(0, ndim)])
            kind, bits = struct.unpack_from(f"{order}2h", start, 70)
            (first,) = struct.unpack_from(f"{order}f", start, 108)
            floats = order + _FLOATS[kind] if kind in _FLOATS else ""
            return _Layout(int(first), voxels * bits // 8, floats)
    return _Layout(0, 0)
