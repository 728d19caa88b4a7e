"""Whether a png holds all rows of its image: Pillow reads black where its data end early."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from nnunet_ext.errors import UserError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type
#: (first x, first y, step in x, step in y) of the seven passes of an interlaced file
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_BLOCK = 1 << 20


def check_png(path: Path) -> None:
    """Raise `UserError` if a png is damaged, cut short, or holds fewer rows than it says.

    A file that is no png by its first bytes passes.
    """
    content = path.read_bytes()
    if not content.startswith(SIGNATURE):
        return
    inflate, expected, length, ended = zlib.decompressobj(), 0, 0, False
    try:
        for kind, data in _chunks(content):
            if kind == b"IHDR":
                expected = _bytes_of_rows(*struct.unpack(">IIBBxxB", data))
            elif kind == b"IDAT":
                while data and length <= expected:
                    length += len(inflate.decompress(data, _BLOCK))
                    data = inflate.unconsumed_tail
            ended = ended or kind == b"IEND"
    except struct.error:
        ended = False
    except (zlib.error, KeyError, ValueError) as error:
        raise UserError(f"{path}: is damaged or cut short ({error}). Copy or export it again.") from error
    length += len(inflate.flush()) if length < expected else 0
    if length < expected or not ended:
        found = f"{min(length, expected)} of {expected} bytes of its pixels"
        raise UserError(f"{path}: is cut short: {found} are there. Copy or export it again.")


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Go through the kind and the data of every chunk; `ValueError` if one is not as it was written."""
    position = len(SIGNATURE)
    while position < len(content):
        size, kind = struct.unpack_from(">I4s", content, position)
        data = content[position + 8 : position + 8 + size]
        (checksum,) = struct.unpack_from(">I", content, position + 8 + size)
        if zlib.crc32(kind + data) != checksum:
            raise ValueError(f"wrong checksum of a part, {kind.decode('latin-1')!r}")
        yield kind, data
        if kind == b"IEND":
            return
        position += 12 + size


def _bytes_of_rows(width: int, height: int, depth: int, colour_type: int, interlaced: int) -> int:
    """Return the length of the unpacked data: every row is whole bytes, and one for its filter."""
    bits = depth * _SAMPLES[colour_type]
    if not interlaced:
        return height * (1 + math.ceil(width * bits / 8))
    total = 0
    for x, y, step_x, step_y in _PASSES:
        columns, rows = math.ceil((width - x) / step_x), math.ceil((height - y) / step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + math.ceil(columns * bits / 8))
    return total
