"""Whether a tif holds all of the image it describes: where it does not, tifffile may read zeros, or less."""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_ext.errors import UserError
from nnunet_ext.images.ome import Ome, missing_files, read_ome

if TYPE_CHECKING:
    import tifffile

_AGAIN = "Copy or export it again."
#: what tifffile only logs, and then returns fewer planes: the list of pages is broken
_BROKEN_LIST = (
    "invalid page offset|corrupted tag list|invalid offset to page|invalid next page|circular reference"
)
#: or zeros, or another shape
_DAMAGE = f"{_BROKEN_LIST}|zeroed|out of range|missing data offset|failed to reshape"
#: most bytes that one byte can become: LZW, deflate (three numbers for it), PackBits
_EXPANSION = {5: 2731, 8: 1032, 32946: 1032, 50013: 1032, 32773: 64}
_SLACK = 64  # bytes that tables take


@contextmanager
def damage_raised(path: Path) -> Iterator[None]:
    """Keep tifffile's log from the screen, and raise `UserError` for damage that it tells of.

    A broken list of pages goes before the errors it leads to: a stack cut short looks like several images.
    """
    records = _Records()
    logger = logging.getLogger("tifffile")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(records)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*reading array from closed file")  # of several
            yield
    except _Incomplete:
        raise
    except UserError as error:
        raise records.damage(path, _BROKEN_LIST) or error from None
    finally:
        logger.removeHandler(records)
        logger.propagate = propagate
    if damage := records.damage(path, _DAMAGE):
        raise damage


def only_series(tif: tifffile.TiffFile, path: Path) -> tifffile.TiffPageSeries:
    """Return the one image of a file of which every part is there; a pyramid counts as one.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The open file.
    path : Path
        Its path, for messages.

    Raises
    ------
    UserError
        If there are several images, or planes, strips or tiles are missing.
    """
    ome = read_ome(tif, path)
    missing = missing_files(ome, path) if ome else []
    series = tif.series[0]
    _check_planes(tif, series, path, ome, missing)
    further = len(tif.series) - 1 or len(tif.pages) - _own_pages(series)
    if further > 0:
        raise UserError(f"{path}: holds {further + 1} images. Save one image or stack per file.")
    if 0 in series.shape:
        raise UserError(f"{path}: the image is empty, its shape is {tuple(series.shape)}.")
    _check_data(series, path)
    return series


def _check_planes(
    tif: tifffile.TiffFile,
    series: tifffile.TiffPageSeries,
    path: Path,
    ome: Ome | None,
    missing: list[str],
) -> None:
    """Raise `UserError` if the description of the file promises more planes than there are."""
    promised = held = len(series.pages)
    if series.dataoffset is None:
        held = sum(page is not None for page in _pages(tif, series))
    if ome is not None and series.kind in ("generic", "uniform"):  # tifffile gave up on the description
        promised, held = ome.planes, len(tif.pages)
    elif tif.is_imagej:
        promised, held = max(promised, _imagej_planes(tif)), _planes_in(series, held)
    if held < promised:
        where = f"; the others are in {', '.join(missing)}, which is not beside it" if missing else ""
        if not missing and ome and len(ome.files) > 1:
            where = f"; they are in {', '.join(ome.files)}"
        raise _Incomplete(f"{path}: holds {held} of {promised} slices or channels{where}. {_AGAIN}")


def _own_pages(series: tifffile.TiffPageSeries) -> int:
    """Return how many pages of the file a series takes: those it stands for, and smaller versions of them."""
    smaller = () if series.keyframe.subifds else series.levels[1:]  # else they are no pages of the file
    return len(series.pages) + sum(len(level.pages) for level in smaller if level.keyframe.is_reduced)


def _pages(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> list[Any]:
    """Return the pages of a series; those that its description promises and nobody has are left out."""
    try:
        return list(series.pages)
    except IndexError:  # one page stands for all, and not all are there
        return list(tif.pages)


def _planes_in(series: tifffile.TiffPageSeries, pages: int) -> int:
    """Return how many planes there are as ImageJ counts: separate samples by themselves, RGB once."""
    page = series.keyframe
    samples, depth, height, width, together = page.shaped
    if pages == 1 and series.kind != "imagej" and page.is_contiguous:  # one page for all, which is cut
        return int((page.parent.filehandle.size - page.dataoffsets[0]) // page.nbytes * samples)
    if series.dataoffset is None:
        return int(pages * samples)
    return int(math.prod(series.shape) // (depth * height * width * together))


def _imagej_planes(tif: tifffile.TiffFile) -> int:
    """Return how many planes the description of ImageJ promises."""
    about = tif.imagej_metadata or {}
    images, channels, slices, frames = (
        _whole(about.get(key)) for key in ("images", "channels", "slices", "frames")
    )
    if tif.pages.first.shaped[4] > 1:  # RGB, of which some writers say channels=3
        return slices * frames
    return max(images, channels * slices * frames)


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 1


def _check_data(series: tifffile.TiffPageSeries, path: Path) -> None:
    """Raise `UserError` if a strip or tile has no data, ends behind the file, or is too short to be true."""
    if series.dataoffset is not None:
        _check_end(series.keyframe, path, series.dataoffset + math.prod(series.shape) * series.dtype.itemsize)
        return
    for number, page in enumerate(series.pages, 1):
        _check_page(page, number, path)


def _check_page(page: Any, number: int, path: Path) -> None:
    frame = page.keyframe
    if frame.is_contiguous and page.dataoffsets[0] > 0:
        _check_end(page, path, page.dataoffsets[0] + frame.nbytes)
        return
    parts = math.prod(frame.chunked)
    offsets, counts = page.dataoffsets[:parts], page.databytecounts[:parts]
    ends = [o + c for o, c in zip(offsets, counts, strict=False) if o > 0 and c > 0]
    if len(ends) < parts:
        lacking = f"{parts - len(ends)} of {parts} strips or tiles of plane {number}"
        raise UserError(f"{path}: {lacking} hold no data. {_AGAIN}")
    _check_end(page, path, max(ends))
    if _EXPANSION.get(int(frame.compression), math.inf) * (sum(counts) + _SLACK * parts) < frame.nbytes:
        size = " x ".join(map(str, frame.shape))
        raise UserError(f"{path}: is damaged: {sum(counts)} bytes cannot hold {size} {frame.dtype}. {_AGAIN}")


def _check_end(page: Any, path: Path, end: int) -> None:
    size = page.parent.filehandle.size
    if end > size:
        name = page.parent.filename
        whose = f"{path}: " if name == path.name else f"{path}: its part {name} "
        raise UserError(f"{whose}is cut short: {size} bytes of at least {end}. {_AGAIN}")


class _Incomplete(UserError):  # noqa: N818 - tells best what is wrong with a file
    """How many planes are there, and how many are not."""


class _Records(logging.Handler):
    """What tifffile logs while a file is open."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text."""
        self.texts.append(record.getMessage())

    def damage(self, path: Path, pattern: str) -> UserError | None:
        """Return the first damage, without the Python object that tifffile's messages begin with."""
        found = next((text for text in self.texts if re.search(pattern, text)), None)
        if found is None:
            return None
        return UserError(f"{path}: is damaged or cut short ({re.sub('^<[^>]*> *', '', found)}). {_AGAIN}")
