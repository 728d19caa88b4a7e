"""MetaImage (.mha), NRRD and GIPL files, which only nnU-Net's SimpleITK reader reads: whether they are whole.

ITK compares no checksum of compressed values, fills a short .gipl up, and follows a header that names another
file for the values to anywhere.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nnunet_ext.errors import UserError
from nnunet_ext.images.image import unreadable
from nnunet_ext.images.memory import sized

_BLOCK = 1 << 20
_LONGEST = 1 << 16  # bytes of a header
_MHA_TYPES = {
    f"MET_{unsigned}{name}": f"{'u' if unsigned else 'i'}{size}"
    for unsigned in ("", "U")
    for name, size in (("CHAR", 1), ("SHORT", 2), ("INT", 4), ("LONG", 4), ("LONG_LONG", 8))
} | {"MET_FLOAT": "f4", "MET_DOUBLE": "f8"}
_NRRD_TYPES = {
    "signed char": "i1",
    **dict.fromkeys(("uchar", "unsigned char"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int"), "u2"),
    **dict.fromkeys(("int", "signed int"), "i4"),
    **dict.fromkeys(("uint", "unsigned int"), "u4"),
    **dict.fromkeys(
        ("longlong", "long long", "long long int", "signed long long", "signed long long int"), "i8"
    ),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int"), "u8"),
    **{
        f"{sign}int{8 * n}{t}": f"{sign or 'i'}{n}"
        for sign in ("", "u")
        for n in (1, 2, 4, 8)
        for t in ("", "_t")
    },
    "float": "f4",
    "double": "f8",
}
_GIPL_TYPES = {7: "i1", 8: "u1", 15: "i2", 16: "u2", 31: "u4", 32: "i4", 64: "f4", 65: "f8"}
_GIPL_HEADER, _GIPL_MAGIC = 256, (0x2AE389B8, 0xEFFFE9B0)


@dataclass(frozen=True)
class _Content:
    """What a header says of the values behind it.

    Attributes
    ----------
    shape : tuple of int
        Lengths of all axes, those of channels among them.
    dtype : numpy.dtype
        Of the values.
    components : int
        Values per voxel.
    window : int or None
        How the values are compressed, as zlib knows it; None if they are not.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    components: int = 1
    window: int | None = None


def check_whole(path: Path, labels: bool = False) -> None:
    """Raise a `UserError` if the file is not whole; see `files.check_whole`.

    Values written as text are left to the reader.
    """
    read_header = {".mha": _mha, ".nrrd": _nrrd, ".gipl": _gipl}[path.suffix.lower()]
    try:
        with path.open("rb") as file:
            content = read_header(path, file)
            if content is not None:
                _check(path, file, content, labels)
    except UserError:
        raise
    except zlib.error as error:
        raise UserError(f"{path}: the file is damaged or cut off: {error}") from error
    except Exception as error:  # a header of any content: ValueError, KeyError, IndexError, OSError
        raise unreadable(path, f"a {path.suffix} file", error) from error


def _check(path: Path, file: BinaryIO, content: _Content, labels: bool) -> None:
    if labels and content.components > 1:
        raise UserError(
            f"{path}: labels are one number per voxel, but here each has {content.components}: colours or "
            "channels. Save one channel of labels."
        )
    promised = math.prod(content.shape) * content.dtype.itemsize
    count = (_stored if content.window is None else _inflated)(file, promised, content)
    if count < promised:
        raise UserError(f"{path}: the file is cut off: {count} of {promised} bytes of values")
    if count > promised:
        raise UserError(
            f"{path}: the file is damaged: it goes on after the {sized(content.shape, content.dtype)} "
            "that its header promises"
        )


def _stored(file: BinaryIO, promised: int, content: _Content) -> int:
    first = file.tell()
    return file.seek(0, 2) - first


def _inflated(file: BinaryIO, promised: int, content: _Content) -> int:
    """Count the bytes, up to one more than promised; at the end of the stream zlib compares its checksum."""
    stream, count = zlib.decompressobj(content.window or 0), 0
    while count <= promised and not stream.eof and (block := file.read(_BLOCK)):
        while block and count <= promised and not stream.eof:
            count += len(stream.decompress(block, _BLOCK))
            block = stream.unconsumed_tail
    if count == promised and not stream.eof:
        return promised - 1  # without its checksum
    return count + len(stream.unused_data)


def _lines(file: BinaryIO, is_last: Callable[[str], bool]) -> list[str]:
    lines: list[str] = []
    while not lines or not is_last(lines[-1]):
        line = file.readline(_LONGEST)
        if not line.endswith(b"\n") or len(lines) > _LONGEST:
            raise ValueError("its header does not end")
        lines.append(line.decode("latin-1").strip())
    return lines


def _mha(path: Path, file: BinaryIO) -> _Content | None:
    lines = _lines(file, lambda line: line.replace(" ", "").startswith("ElementDataFile="))
    fields = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    _check_own_values(path, fields["ElementDataFile"], "LOCAL")
    if fields.get("BinaryData", "False").lower() != "true" or int(fields.get("HeaderSize", 0)):
        return None
    components = int(fields.get("ElementNumberOfChannels", 1))
    shape = (*map(int, fields["DimSize"].split()), components)
    compressed = fields.get("CompressedData", "False").lower() == "true"
    dtype = np.dtype(_MHA_TYPES[fields["ElementType"].removesuffix("_ARRAY")])
    return _Content(shape, dtype, components, zlib.MAX_WBITS if compressed else None)


def _nrrd(path: Path, file: BinaryIO) -> _Content | None:
    lines = _lines(file, lambda line: not line)
    if not lines[0].startswith("NRRD"):
        raise ValueError("it does not begin with NRRD")
    pairs = (line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
    fields = {key.strip().lower(): value.strip() for key, value in pairs}
    _check_own_values(path, fields.get("data file", fields.get("datafile", "")), "")
    encoding = fields["encoding"].lower()
    if encoding not in ("raw", "gz", "gzip") or {"byte skip", "line skip", "byteskip", "lineskip"} & set(
        fields
    ):
        return None
    shape, kinds = tuple(map(int, fields["sizes"].split())), fields.get("kinds", "").lower().split()
    inner = [
        n for n, kind in zip(shape, kinds, strict=False) if kind not in ("domain", "space", "???", "none")
    ]
    window = None if encoding == "raw" else zlib.MAX_WBITS + 16
    return _Content(shape, np.dtype(_NRRD_TYPES[fields["type"].lower()]), math.prod(inner), window)


def _gipl(path: Path, file: BinaryIO) -> _Content:
    header = file.read(_GIPL_HEADER)
    if len(header) < _GIPL_HEADER or int.from_bytes(header[252:256], "big") not in _GIPL_MAGIC:
        raise ValueError("not the start of a GIPL file")
    numbers = [int.from_bytes(header[i : i + 2], "big") for i in range(0, 10, 2)]
    return _Content(tuple(max(1, edge) for edge in numbers[:4]), np.dtype(_GIPL_TYPES[numbers[4]]))


def _check_own_values(path: Path, named: str, own: str) -> None:
    """Refuse a header whose values lie in another file."""
    if named.upper() != own:
        raise UserError(
            f"{path}: its values lie in another file, {named}. Save image and values as one file."
        )
