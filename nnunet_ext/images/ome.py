"""The OME description of a tif: how many planes its image has, their distances, and the files they are in."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from nnunet_ext.errors import UserError

if TYPE_CHECKING:
    import tifffile

_RESAVE = "Open it in Fiji (Bio-Formats) and save the image as one tif."
_WIDE = "O\0M\0E"  # OME in UTF-16
_START = 2000  # characters in which an OME description says that it is one


@dataclass(frozen=True)
class Ome:
    """What the description says about the first image.

    Attributes
    ----------
    planes : int
        How many (y, x) planes it has: slices times channels times time points. A plane of several samples
        per pixel counts once.
    files : tuple of str
        Names of the files that hold them; empty if they are all in the file itself.
    steps : dict
        X, Y or Z to the step along it and the unit of that, as they are written; without what is missing.
    """

    planes: int
    files: tuple[str, ...]
    steps: dict[str, tuple[str, str]]


def read_ome(tif: tifffile.TiffFile, path: Path) -> Ome | None:
    """Read the OME description; None if there is none.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The open file.
    path : Path
        Its path, for messages.

    Raises
    ------
    UserError
        If the description cannot be read, names files in other folders, or says that it is in another file.
    """
    _check_text(tif, path)
    if not tif.is_ome or not tif.ome_metadata:
        return None
    try:
        root = ElementTree.fromstring(tif.ome_metadata)
        for element in _children(root, "BinaryOnly"):
            whole = element.get("MetadataFile", "another file")
            raise UserError(
                f"{path}: is part of an image in several files, which {whole} describes. {_RESAVE}"
            )
        pixels = [pixels for image in _children(root, "Image") for pixels in _children(image, "Pixels")]
        return _first_image(pixels[0]) if pixels else None
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(f"{path}: its OME description (XML) is damaged: {error}. {_RESAVE}") from error


def missing_files(ome: Ome, path: Path) -> list[str]:
    """Return the names of the files with further planes that are not beside `path`.

    Raises
    ------
    UserError
        If a name leads to another folder: no image takes in files from elsewhere.
    """
    folder = path.resolve().parent
    for name in ome.files:
        if (folder / name).parent != folder or "\\" in name:
            raise UserError(f"{path}: its OME description names a file in another folder, {name}. {_RESAVE}")
    return [name for name in ome.files if not (folder / name).is_file()]


def _check_text(tif: tifffile.TiffFile, path: Path) -> None:
    """Raise `UserError` for an OME description that tifffile does not know for one, and would leave out."""
    text = tif.pages.first.tags.valueof(270)  # ImageDescription; bytes where no encoding fits
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    if not isinstance(text, str) or tif.is_ome:
        return
    if _WIDE in text:
        raise UserError(f"{path}: its OME description is in UTF-16, which cannot be read. {_RESAVE}")
    if re.search(r"<(\w+:)?OME[\s>]", text[:_START]):
        raise UserError(f"{path}: its OME description (XML) is damaged: it does not end in </OME>. {_RESAVE}")


def _first_image(pixels: ElementTree.Element) -> Ome:
    sizes = [int(pixels.attrib[f"Size{axis}"]) for axis in "ZCT"]
    samples = [int(channel.get("SamplesPerPixel", 1)) for channel in _children(pixels, "Channel")]
    names = (
        uuid.get("FileName", "") for data in _children(pixels, "TiffData") for uuid in _children(data, "UUID")
    )
    steps = {
        axis: (pixels.attrib[f"PhysicalSize{axis}"], pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "XYZ"
        if f"PhysicalSize{axis}" in pixels.attrib
    }
    planes = math.prod(sizes) // max([1, *samples])
    return Ome(max(1, planes), tuple(dict.fromkeys(name for name in names if name)), steps)


def _children(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (child for child in element if child.tag.rpartition("}")[2] == name)
