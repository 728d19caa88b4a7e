"""Png, jpg and bmp files: 2D, grey or colour, without spacing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nnunet_ext.errors import UserError
from nnunet_ext.images.image import Grid, Header, Hints, Image, unreadable

if TYPE_CHECKING:
    import PIL.Image

_PNG = b"\x89PNG\r\n\x1a\n"
#: Pillow's mode -> channels, type, alpha channel; every other mode is read as RGB
_MODES = {
    "1": (1, "bool", False),
    "L": (1, "uint8", False),
    "LA": (1, "uint8", True),
    "I": (1, "int32", False),
    "F": (1, "float32", False),
    "RGBA": (3, "uint8", True),
    **dict.fromkeys(("I;16", "I;16B", "I;16L"), (1, "uint16", False)),
}


def header(path: Path, hints: Hints) -> Header:
    """Read what the file says about its image; see `files.read_header`."""
    with _opened(path) as picture:
        channels, dtype, alpha = _kind(picture, hints)
        if _is_deep_colour(path):
            dtype = "uint16"
        return Header((picture.height, picture.width), channels, np.dtype(dtype), Grid(), alpha)


def read(path: Path, hints: Hints) -> Image:
    """Read the image; see `files.read_image`."""
    about = header(path, hints)
    with _opened(path) as picture:
        if _is_deep_colour(path):
            import imagecodecs

            pixels = imagecodecs.png_decode(path.read_bytes())
        else:
            as_it_is = picture.mode in _MODES or (picture.mode == "P" and hints.label)
            pixels = np.array(picture if as_it_is else picture.convert("RGB"))
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return Image(pixels[: about.channels], about.grid)


def _kind(picture: PIL.Image.Image, hints: Hints) -> tuple[int, str, bool]:
    if picture.mode == "P" and hints.label:
        return 1, "uint8", False
    return _MODES.get(picture.mode, (3, "uint8", False))


def _is_deep_colour(path: Path) -> bool:
    """Tell whether this is a png of 16 bits per channel and several channels, of which Pillow keeps 8."""
    with path.open("rb") as file:
        start = file.read(26)
    depth, colour_type = start[24:25], start[25:26]
    return start.startswith(_PNG) and depth == b"\x10" and colour_type in (b"\x02", b"\x04", b"\x06")


@contextmanager
def _opened(path: Path) -> Iterator[PIL.Image.Image]:
    import PIL.Image

    try:
        with PIL.Image.open(path) as picture:
            yield picture
    except PIL.Image.DecompressionBombError as error:
        raise UserError(
            f"{path}: too large for a png or jpg reader, nnU-Net's too. Save it as tif."
        ) from error
    except Exception as error:  # the decoders raise OSError, SyntaxError, ValueError, ...
        raise unreadable(path, "an image") from error
