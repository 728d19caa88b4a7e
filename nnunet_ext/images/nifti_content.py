"""What a NIfTI file holds, read to its very end, so that a file that is cut off or damaged is noticed.

nibabel stops before the checksum, and SimpleITK, with which nnU-Net reads NIfTI, fills such files up with
zeros and turns NaN and infinity into 0 without a word. How many bytes there are is known from the header, so
a file that inflates to more than that is not read any further.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.images.image import unreadable
from nnunet_ext.images.memory import check_memory, sized, too_large

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

_BLOCK = 2**22  # bytes
_VECTOR = 1007  # intent code: the fifth axis holds the components
_DENSEST = 1032  # times that gzip can make a file smaller
_MAGIC = {348: b"n+1", 540: b"n+2"}  # size of the header -> how its last field begins
VERSIONS = tuple(_MAGIC)  # all that nnU-Net's readers know; `nifti.read` knows the first one


@dataclass(frozen=True)
class Layout:
    """How the values of a file are arranged.

    Attributes
    ----------
    space : tuple of int
        Lengths of the axes x, y and z, or x and y.
    components : int
        Values per voxel: colours, components of a vector, or a fourth axis.
    stored : numpy.dtype
        Of the values in the file, in its byte order.
    """

    space: tuple[int, ...]
    components: int
    stored: np.dtype[Any]

    @property
    def values(self) -> int:
        """How many values of type `stored` there are."""
        return math.prod(self.space) * (1 if self.stored.names else self.components)

    @property
    def bytes(self) -> int:
        """How many bytes the values take."""
        return self.values * self.stored.itemsize


@contextmanager
def opened(path: Path, versions: tuple[int, ...] = (348,)) -> Iterator[tuple[BinaryIO, Nifti1Header]]:
    """Open a file, compressed or not, and read its header; `versions` are the sizes of known headers."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    try:
        with path.open("rb") as raw:
            is_gzip = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_gzip else path.open("rb") as file:
            start = file.read(4)
            sizes = [int.from_bytes(start, "little"), int.from_bytes(start, "big")]
            size = next((version for version in versions if version in sizes), 348)
            kind = Nifti2Header if size == 540 else Nifti1Header
            stored = kind(start + file.read(size - 4), check=False)  # a check prints what it dislikes
            if stored["sizeof_hdr"] != size or bytes(stored["magic"])[:3] != _MAGIC[size]:
                raise WrapStructError("not the start of a NIfTI-1 file")
            yield cast(BinaryIO, file), stored
    except (HeaderDataError, WrapStructError) as error:
        raise unreadable(path, "NIfTI", error) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: the file is damaged or cut off: {error}") from error
    except OSError as error:
        raise unreadable(path, "NIfTI", error) from error


def layout(path: Path, stored: Nifti1Header) -> Layout:
    """Return how the values are arranged; a `UserError` if they are not one image of real numbers."""
    shape, code = _shape(stored), int(stored["datatype"])
    try:
        dtype = stored.get_data_dtype()
    except KeyError:
        raise UserError(f"{path}: pixels are of a type that NIfTI does not know (code {code}).") from None
    vector = int(stored["intent_code"]) == _VECTOR and len(shape) == 5 and shape[3] == 1
    if not (2 <= len(shape) <= (3 if dtype.names else 4) or vector):
        raise UserError(f"{path}: has the axes {shape}, but one 2D or 3D image per file is expected.")
    if min(shape) < 1:
        raise UserError(f"{path}: the image is empty, its size is {shape}.")
    if not dtype.names and (dtype.kind not in "uif" or dtype.itemsize > 8):
        raise UserError(f"{path}: pixels are {dtype}, but real numbers are expected.")
    components = len(dtype.names) if dtype.names else math.prod(shape[3:])
    return Layout(shape[:3], components, dtype)


def values(path: Path, file: BinaryIO, stored: Nifti1Header, about: Layout) -> NDArray[Any]:
    """Read the values in the order of the file, and its end, where a checksum is compared."""
    first = _skip_to_values(path, file, stored, about)
    check_memory(path, about.space[::-1], about.stored)
    try:
        found = np.empty(about.values, about.stored)
    except MemoryError as error:
        raise too_large(path, about.space[::-1], about.stored) from error
    room, filled = found.view(np.uint8).data, 0
    while filled < len(room) and (count := file.readinto(room[filled : filled + _BLOCK])):  # type: ignore[attr-defined]
        filled += count
    _check_end(path, file, first, filled, about)
    return found.view(np.uint8) if about.stored.names else found


def check_whole(path: Path, labels: bool = False) -> None:
    """Raise a `UserError` if the file is not whole; see `files.check_whole`. Takes the memory of a block."""
    with opened(path, VERSIONS) as (file, stored):
        about = layout(path, stored)
        if labels and about.components > 1:
            raise UserError(
                f"{path}: labels are one number per voxel, but here each has {about.components}: "
                "colours, channels or time points. Save one channel of labels."
            )
        first = _skip_to_values(path, file, stored, about)
        block, filled, finite = np.empty(_BLOCK, np.uint8), 0, True
        while filled < about.bytes:
            wanted = block[: min(_BLOCK, about.bytes - filled)].data
            count = _fill(file, wanted)
            filled += count
            if count < len(wanted):
                break
            if labels and about.stored.kind == "f":
                finite = finite and bool(np.isfinite(block[:count].view(about.stored)).all())
        _check_end(path, file, first, filled, about)
        if not finite:
            raise UserError(f"{path}: contains NaN or infinity, which nnU-Net would read as 0.")


def _shape(stored: Nifti1Header) -> tuple[int, ...]:
    """Return the lengths of the axes x, y, z, ...; those beyond the third that end it with 1 left out."""
    shape = [int(edge) for edge in stored["dim"][1 : 1 + max(0, int(stored["dim"][0]))]]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    return tuple(shape)


def _skip_to_values(path: Path, file: BinaryIO, stored: Nifti1Header, about: Layout) -> int:
    """Go to the first value and return its place; refuse what the file is too small to hold."""
    header = int(stored["sizeof_hdr"])
    offset = float(stored["vox_offset"])
    first = max(header, int(offset)) if math.isfinite(offset) else header
    there, wanted = path.stat().st_size, first + about.bytes
    if not isinstance(file, gzip.GzipFile) and wanted > there:
        raise UserError(f"{path}: the file is cut off: {there} of {wanted} bytes")
    if wanted > there * _DENSEST:
        raise UserError(
            f"{path}: the file is cut off: its header promises {sized(about.space[::-1], about.stored)}, "
            f"more than can be in {there} bytes"
        )
    start, left = header, first - header
    while left and (count := len(file.read(min(left, _BLOCK)))):
        start, left = start + count, left - count
    if left:
        raise UserError(f"{path}: the file is cut off: {start} of {wanted} bytes")
    return first


def _fill(file: BinaryIO, room: memoryview) -> int:
    filled = 0
    while filled < len(room) and (count := file.readinto(room[filled:])):  # type: ignore[attr-defined]
        filled += count
    return filled


def _check_end(path: Path, file: BinaryIO, first: int, filled: int, about: Layout) -> None:
    """Compare where the file ends with what its header promises; gzip compares its checksum there."""
    if filled < about.bytes:
        raise UserError(f"{path}: the file is cut off: {first + filled} of {first + about.bytes} bytes")
    if file.read(1):
        raise UserError(
            f"{path}: the file is damaged: it goes on after the {sized(about.space[::-1], about.stored)} "
            "that its header promises"
        )
