"""Annotations of the Cell Tracking Challenge: a frame's truth files, its cells, and what is background.

Gold truth need not have all cells of a frame or slice. Markers (``man_track``) were set in all of them, so
a marker that lies in no cell tells that a cell is missing: background there is not known to be background.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion import (
    Case,
    Hints,
    Ids,
    Note,
    UnusableCase,
    as_ids,
    list_files,
    read_header,
    read_image,
    size_text,
)

TRUTHS = ("gold", "silver", "both")
_FOLDERS = {"gold": "GT", "silver": "ST"}
_SEG = re.compile(r"man_seg_?(\d{3,4})(?:_(\d{3,4}))?\.tiff?", re.IGNORECASE)
PARTLY, NO_MARKERS = "partly annotated", "no markers to check the annotation by"
_LISTED = 5  # markers in a note


def truth_files(root: Path, sequence: str, truth: str) -> dict[str, tuple[Path, ...]]:
    """Return the segmentation files of each annotated frame, by the frame's digits.

    With "both", silver truth is for frames that have no gold truth. Files that lie there and have other names
    are left to the report.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for kind in ("silver", "gold") if truth == "both" else (truth,):
        frames: dict[str, tuple[Path, ...]] = {}
        for file in list_files(root / f"{sequence}_{_FOLDERS[kind]}" / "SEG", _SEG.pattern):
            frame = _SEG.fullmatch(file.name)[1]  # type: ignore[index] # list_files matched it
            frames[frame] = (*frames.get(frame, ()), file)
        found |= frames
    return found


def is_gold(file: Path) -> bool:
    """Tell whether a segmentation file is of the gold truth."""
    return file.parents[1].name.upper().endswith("_GT")


def slice_of(file: Path) -> int | None:
    """Return the number, from 0, of the slice a file annotates, or None if it is of the whole frame.

    Examples
    --------
    >>> slice_of(Path("man_seg_012_007.tif")), slice_of(Path("man_seg012.tif"))
    (7, None)
    """
    match = _SEG.fullmatch(file.name)
    return int(match[2]) if match and match[2] else None


def read_cells(case: Case) -> tuple[Ids, tuple[Note, ...]]:
    """Return the ids of a frame's cells; single slices are put in their places, each with ids of its own.

    Raises
    ------
    UnusableCase
        If a slice is not one of the frame, or the ids are none.
    """
    if len(case.labels) == 1 and slice_of(case.labels[0]) is None:
        return _read_ids(case.labels[0]), ()
    if again := [f for f in case.labels if sum(slice_of(f) == slice_of(other) for other in case.labels) > 1]:
        raise UnusableCase(f"{', '.join(map(str, again))}: one file is expected. Keep one of them")
    shape, largest = read_header(case.images[0]).shape, np.uint32(0)
    ids = np.zeros(shape, np.uint32)
    for file in case.labels:
        number, plane = slice_of(file), _read_ids(file)
        if number is None or len(shape) != 3 or number >= shape[0] or plane.shape != shape[1:]:
            found = "for the whole frame, as there are slices" if number is None else f"slice {number}"
            raise UnusableCase(
                f"{file}: {size_text(plane.shape)}, {found}; {case.images[0]} is {size_text(shape)}"
            )
        ids[number] = np.where(plane, plane + largest, 0)
        largest = max(largest, ids[number].max())
    text = f"{case.images[0]}: {len(case.labels)} of {shape[0]} slices are annotated, the others are ignored"
    return ids, (Note("single slices", text),)


@dataclass(frozen=True)
class Background:
    """Which background of an annotated frame is known to be background.

    Attributes
    ----------
    known : str
        "checked": that of frames and slices each of whose markers lies in a cell; "all"; "none".
    border : int
        In gold truth background this near to the edges in y and x is unknown, and markers there do not count.
    radius : float or None
        Where a marker lies in no cell, only the background this near to it is unknown, in pixels of y and x.
    depth : float
        Edge of a voxel along z, in such pixels.
    """

    known: str = "checked"
    border: int = 0
    radius: float | None = None
    depth: float = 1.0

    def unknown(self, case: Case, cells: NDArray[Any]) -> tuple[NDArray[np.bool_], tuple[Note, ...]]:
        """Return where a frame's background is not known to be background, and why.

        Parameters
        ----------
        case : Case
            The frame; its other file, if there is one, holds the markers (``man_track``).
        cells : ndarray
            Ids of the cells, (y, x) or (z, y, x).

        Raises
        ------
        UnusableCase
            If the markers do not have the shape of the frame.
        """
        slices = {number: file for file in case.labels if (number := slice_of(file)) is not None}
        parts: dict[Any, Path] = {**slices} or {...: case.labels[0]}
        unknown = np.full(cells.shape, bool(slices))
        unknown[list(slices)] = False
        at_border = _border(cells.shape, self.border if is_gold(case.labels[0]) else 0)
        notes: list[Note] = []
        if self.known == "checked" and not case.others:
            notes.append(Note(NO_MARKERS, f"{case.labels[0]}: the background is ignored"))
        markers = _markers(case, cells.shape) if self.known == "checked" else None
        for part, file in parts.items():
            if markers is None:
                unknown[part] |= self.known != "all"
                continue
            seen = np.where(at_border[part], 0, markers[part])
            missing = np.setdiff1d(seen, seen[cells[part] > 0])
            missing = missing[missing > 0]
            if missing.size:
                unknown[part] |= self._around(np.isin(seen, missing))
                notes.append(self._note(file, missing, np.unique(seen[seen > 0]).size))
        return unknown | at_border, tuple(notes)

    def _around(self, markers: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if self.radius is None:
            return np.ones_like(markers)
        from scipy.ndimage import distance_transform_edt

        steps = (self.depth, 1.0, 1.0)[-markers.ndim :]
        near: NDArray[np.bool_] = distance_transform_edt(~markers, sampling=steps) <= self.radius
        return near

    def _note(self, file: Path, missing: NDArray[Any], total: int) -> Note:
        more = " and more" if missing.size > _LISTED else ""
        listed = ", ".join(map(str, missing[:_LISTED].tolist()))
        which = "background" if self.radius is None else "background near them"
        text = (
            f"{file}: {missing.size} of {total} markers lie in no cell ({listed}{more}): {which} is ignored"
        )
        return Note(PARTLY, text)


def _read_ids(file: Path) -> Ids:
    return as_ids(_one_channel(file, Hints(label=True)), file)


def _one_channel(file: Path, hints: Hints) -> NDArray[Any]:
    channels = read_image(file, hints).pixels
    if len(channels) != 1:
        raise UnusableCase(f"{file}: labels of one channel are expected, found {len(channels)}")
    labels: NDArray[Any] = channels[0]
    return labels


def _markers(case: Case, shape: tuple[int, ...]) -> NDArray[Any] | None:
    if not case.others:
        return None
    (file,) = case.others
    markers = _one_channel(file, Hints(dimension=len(shape), label=True))
    if markers.shape != shape:
        raise UnusableCase(f"{file}: is {size_text(markers.shape)}, its frame {size_text(shape)}")
    return markers


def _border(shape: tuple[int, ...], width: int) -> NDArray[np.bool_]:
    border = np.zeros(shape, bool)
    if width:
        border[..., :width, :] = border[..., -width:, :] = True
        border[..., :width] = border[..., -width:] = True
    return border
