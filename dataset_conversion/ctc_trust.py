"""Where a frame of the Cell Tracking Challenge is known to be background, and where nothing is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.case import Case, CaseError, Note
from nnunet_ext.dataset_conversion.checks import size_text
from nnunet_ext.dataset_conversion.ctc_truth import is_gold, slice_of
from nnunet_ext.images.files import read_image
from nnunet_ext.images.image import Hints

PARTLY, NO_MARKERS = "partly annotated", "no markers to check the annotation by"
_LISTED = 5


@dataclass(frozen=True)
class Trust:
    """What background is taken for background.

    Attributes
    ----------
    background : str
        "checked": of frames and slices each of whose markers lies in a cell; "all"; "none".
    border : int
        In gold truth background this near to the edges in y and x is unknown, and markers there do not count.
    radius : float or None
        Where a marker lies in no cell, only the background this near to it is unknown, in pixels of y and x.
    depth : float
        Edge of a voxel along z, in such pixels.
    """

    background: str = "checked"
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
        CaseError
            If the markers do not have the shape of the frame.
        """
        slices = {number: file for file in case.labels if (number := slice_of(file)) is not None}
        parts: dict[Any, Path] = {**slices} or {...: case.labels[0]}
        unknown = np.full(cells.shape, bool(slices))
        unknown[list(slices)] = False
        at_border = _border(cells.shape, self.border if is_gold(case.labels[0]) else 0)
        notes: list[Note] = []
        if self.background == "checked" and not case.others:
            notes.append(Note(NO_MARKERS, f"{case.labels[0]}: the background is ignored"))
        markers = _markers(case, cells.shape) if self.background == "checked" else None
        for part, file in parts.items():
            if markers is None:
                unknown[part] |= self.background != "all"
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


def _markers(case: Case, shape: tuple[int, ...]) -> NDArray[Any] | None:
    if not case.others:
        return None
    (file,) = case.others
    markers = read_image(file, Hints(dimension=len(shape), label=True)).pixels[0]
    if markers.shape != shape:
        raise CaseError(f"{file}: is {size_text(markers.shape)}, its frame {size_text(shape)}")
    return markers


def _border(shape: tuple[int, ...], width: int) -> NDArray[np.bool_]:
    border = np.zeros(shape, bool)
    if width:
        border[..., :width, :] = border[..., -width:, :] = True
        border[..., :width] = border[..., -width:] = True
    return border
