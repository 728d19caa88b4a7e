"""Png, jpg and bmp files: 2D, grey or colour, without spacing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nnunet_ext.errors import UserError
from nnunet_ext.images.image import Grid, Header, Hints, Image, unreadable
from nnunet_ext.images.png_integrity import SIGNATURE, check_png

if TYPE_CHECKING:
    import PIL.Image

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
#: colour type of a png of 16 bits and several channels -> channels, alpha channel
_DEEP = {2: (3, False), 4: (1, True), 6: (3, True)}


def header(path: Path, hints: Hints) -> Header:
    """Read what the file says about its image; see `files.read_header`."""
    with _opened(path) as picture:
        images = getattr(picture, "n_frames", 1)
        if images > 1 and picture.format != "MPO":  # a jpg with its preview
            raise UserError(f"{path}: holds {images} images. Save one image per file.")
        if hints.label and picture.format == "JPEG" and path.suffix.lower() == ".png":
            raise UserError(
                f"{path}: is a jpg inside, which changes the numbers of labels. Save them as png."
            )
        channels, dtype, alpha = _kind(picture, hints)
        if deep := _deep_colour(path):
            (channels, alpha), dtype = deep, "uint16"
        return Header((picture.height, picture.width), channels, np.dtype(dtype), Grid(), alpha)


def read(path: Path, hints: Hints) -> Image:
    """Read the image; see `files.read_image`."""
    about = header(path, hints)
    check_whole(path)
    with _opened(path) as picture:
        if _deep_colour(path):
            import imagecodecs

            pixels = imagecodecs.png_decode(path.read_bytes())
        else:
            as_it_is = picture.mode in _MODES or (picture.mode == "P" and hints.label)
            pixels = np.array(picture if as_it_is else picture.convert("RGB"))
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return Image(pixels[: about.channels], about.grid)


def check_whole(path: Path, labels: bool = False) -> None:
    """Check that no row of a png is missing; see `files.check_whole`. Of a jpg or bmp Pillow notices it."""
    with _opened(path):
        check_png(path)


def _kind(picture: PIL.Image.Image, hints: Hints) -> tuple[int, str, bool]:
    if picture.mode == "P" and hints.label:
        return 1, "uint8", False
    return _MODES.get(picture.mode, (3, "uint8", False))


def _deep_colour(path: Path) -> tuple[int, bool] | None:
    """Return channels and alpha of a png of 16 bits and several channels, of which Pillow keeps 8 bits."""
    with path.open("rb") as file:
        start = file.read(26)
    is_deep = start.startswith(SIGNATURE) and start[24:25] == b"\x10"
    return _DEEP.get(start[25]) if is_deep and len(start) > 25 else None


@contextmanager
def _opened(path: Path) -> Iterator[PIL.Image.Image]:
    import PIL.Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)  # half of what is refused
            with PIL.Image.open(path) as picture:
                yield picture
    except PIL.Image.DecompressionBombError as error:
        raise UserError(
            f"{path}: too large for a png or jpg reader, nnU-Net's too. Save it as tif."
        ) from error
    except UserError:
        raise
    except Exception as error:  # the decoders raise OSError, SyntaxError, ValueError, ...
        raise unreadable(path, "an image") from error
