"""Objects outlined by polygons, in XML files or elsewhere, drawn as instance labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.case import DROPPED, CaseError, Note
from nnunet_ext.images.instance_files import instance_dtype

OVERLAP = "overlapping objects"


def read_xml(file: Path) -> ElementTree.Element:
    """Return the root of an XML file.

    Raises
    ------
    CaseError
        If it is not XML, or declares entities, which no annotation needs and which may blow up.
    """
    text = file.read_bytes()
    if b"<!ENTITY" in text:
        raise CaseError(f"{file}: declares XML entities, which annotations do not need")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise CaseError(f"{file}: cannot be read as XML: {error}") from error


def draw_polygons(
    polygons: Sequence[NDArray[np.floating[Any]]], shape: tuple[int, int], file: Path
) -> tuple[NDArray[np.unsignedinteger[Any]], tuple[Note, ...]]:
    """Draw polygons as instances; a pixel of several belongs to the first.

    Parameters
    ----------
    polygons : sequence of ndarray
        (vertices, 2) each, x (column) and y (row) in pixels; pixel (0, 0) has its centre at (0, 0). They need
        not be closed and may leave the image.
    shape : tuple of int
        (y, x) of the image.
    file : Path
        Where they were read, for the notes.

    Returns
    -------
    tuple of (ndarray, tuple of Note)
        Ids, the number of the polygon from 1; notes on overlaps and on polygons that leave no pixel.
    """
    from skimage.draw import polygon

    ids = np.zeros(shape, instance_dtype(len(polygons)))
    overlap, short, hidden = 0, 0, 0
    for number, vertices in enumerate(polygons, 1):
        if len(vertices) < 3:
            short += 1
            continue
        pixels = polygon(vertices[:, 1], vertices[:, 0], shape)
        free = ids[pixels] == 0
        overlap += int(np.count_nonzero(~free))
        hidden += not free.any()
        ids[pixels[0][free], pixels[1][free]] = number
    notes = []
    if overlap:
        notes.append(Note(OVERLAP, f"{file}: {overlap} pixels, given to the first"))
    if short:
        notes.append(Note(DROPPED, f"{file}: {short} polygons of fewer than 3 vertices"))
    if hidden:
        notes.append(Note(DROPPED, f"{file}: {hidden} polygons without a pixel of their own"))
    return ids, tuple(notes)
