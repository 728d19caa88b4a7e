"""NumPy's own files, .npy, and the arrays of .npz.

Never pickled objects, and never more than the header of the array declares: a small file may inflate to any
size.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.images.image import unreadable
from nnunet_ext.images.memory import check_memory, sized, too_large

_BLOCK = 1 << 22  # bytes
_DENSEST = 1032  # times that zip's usual method can make a file smaller
_FORMAT = "a NumPy file"


@dataclass(frozen=True)
class _Stream:
    """An array in a file: what its header says, and the bytes behind that."""

    file: IO[bytes]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    where: str
    bytes: int


def header(path: Path, key: str = "") -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of an array whose numbers are not read; arguments and errors as in `read`."""
    with _opened(path, key) as stream:
        return stream.shape, stream.dtype


def read(path: Path, key: str = "") -> NDArray[Any]:
    """Read the array of an .npy file, or the one called `key` of an .npz; never pickled objects.

    Raises
    ------
    UserError
        If the file cannot be read, is damaged, has no such array, does not hold numbers, holds fewer or more
        bytes than its header says, or does not fit into memory.
    """
    with _opened(path, key) as stream:
        check_memory(path, stream.shape, stream.dtype)
        try:
            array = np.empty(stream.shape, stream.dtype, order="F" if stream.fortran else "C")
        except MemoryError as error:
            raise too_large(path, stream.shape, stream.dtype) from error
        _fill(stream, array)
        return array


def unpack(path: Path, key: str, target: Path) -> NDArray[Any]:
    """Write the array to `target`, an .npy file, and return it mapped into memory; else as `read`."""
    with _opened(path, key) as stream:
        array = np.lib.format.open_memmap(target, "w+", stream.dtype, stream.shape, stream.fortran)
        _fill(stream, array)
        array.flush()
    return np.load(target, mmap_mode="r", allow_pickle=False)


@contextmanager
def _opened(path: Path, key: str) -> Iterator[_Stream]:
    """Open an array and read its header; whatever fails meanwhile becomes a `UserError`."""
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                file.seek(0)
                yield _stream(file, path, f"{path}: the file", path.stat().st_size)
                return
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if key not in names:
                there = ", ".join(f"{name!a:.80}" for name in names) or "none"
                raise UserError(f"{path}: has no array '{key}'. Arrays there: {there}.")
            about = archive.infolist()[names.index(key)]
            dense = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: _DENSEST}.get(about.compress_type)
            most = about.compress_size * dense if dense else about.file_size
            with archive.open(about) as member:
                yield _stream(member, path, f"{path}: the array '{key}'", most)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # ValueError, EOFError, OSError, BadZipFile, zlib.error, ...
        raise unreadable(path, _FORMAT, error) from error


def _stream(file: IO[bytes], path: Path, where: str, most: int) -> _Stream:
    """Read the header; `most` is the number of bytes that the file can hold."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format")
    read_header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are pickled and never loaded")
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise UserError(f"{where} holds {dtype}, but numbers are expected.")
    if any(edge < 0 for edge in shape):
        raise ValueError(f"shape {shape}")
    size = int(np.prod([*shape, dtype.itemsize], dtype=object))
    if file.tell() + size > most:
        raise UserError(f"{path}: the file is cut off: its header promises {sized(shape, dtype)}")
    return _Stream(file, tuple(map(int, shape)), dtype, bool(fortran), where, size)


def _fill(stream: _Stream, array: NDArray[Any]) -> None:
    """Read the numbers, and nothing beyond; at its end an .npz compares a checksum."""
    flat = (array.T if stream.fortran else array).reshape(-1).view(np.uint8)
    filled = 0
    while filled < stream.bytes and (block := stream.file.read(min(_BLOCK, stream.bytes - filled))):
        flat[filled : filled + len(block)] = np.frombuffer(block, np.uint8)
        filled += len(block)
    if filled < stream.bytes:
        raise UserError(f"{stream.where} is cut off: {filled} of {stream.bytes} bytes of numbers")
    if stream.file.read(1):
        raise UserError(
            f"{stream.where} is damaged: it goes on after the {sized(stream.shape, stream.dtype)} that its "
            "header promises"
        )
