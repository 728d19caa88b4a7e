"""Objects that people outlined or marked with points, read from annotation files and drawn as instances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.base.case import DROPPED, Note
from nnunet_ext.dataset_conversion.base.instance_ids import Ids
from nnunet_ext.dataset_conversion.base.label_maps import size_text
from nnunet_ext.errors import UnusableCase
from nnunet_ext.images.instance_files import instance_dtype

OVERLAP = "overlapping objects"
CUT = "objects cut at the edge of the image"
_EDGE = 1.0  # pixels beyond the edge of the image, from which on an outline is cut there
_OUTSIDE = 0.05  # of the image's size, by which a drawing may leave it
_ELLIPSE_VERTICES = 64


@dataclass(frozen=True, eq=False)  # `==` of arrays is no truth value: compared by identity
class Drawing:
    """Something drawn on an image: an outline, or points.

    Attributes
    ----------
    name : str
        What the file calls it, such as "region 7".
    kind : str
        "polygon", "point", ...
    points : ndarray
        (n, 2), x and y in pixels.
    description : str
        What its author wrote about it, such as a class.
    negative : bool
        Whether it is marked as a hole.
    """

    name: str
    kind: str
    points: NDArray[np.float64]
    description: str = ""
    negative: bool = False


def read_aperio(file: Path) -> list[Drawing]:
    """Return the regions of an Aperio file in their order.

    Raises
    ------
    UnusableCase
        If there is not one layer of them, or one is no outline.
    """
    layers = list(read_xml(file).iter("Annotation"))
    if len(layers) != 1:
        raise UnusableCase(f"{file}: has {len(layers)} annotation layers, one is expected")
    return [_aperio_region(region, file) for region in layers[0].iter("Region")]


def read_sedeen(file: Path) -> list[Drawing]:
    """Return the graphics of a Sedeen file in their order; an ellipse is given by the corners of its box."""
    drawings = []
    for graphic in read_xml(file).iter("graphic"):
        name = f"'{graphic.get('name')}'"
        texts = [(point.text or "").split(",") for point in graphic.iter("point")]
        if any(len(text) != 2 for text in texts):
            raise UnusableCase(f"{file}: {name} has a point that is not x,y")
        points = _points([[_number(value, name, file) for value in text] for text in texts])
        drawings.append(Drawing(name, graphic.get("type", ""), points, graphic.get("description", "")))
    return drawings


def aperio_pixel_size(file: Path) -> float | None:
    """Return the pixel size in µm that an Aperio file states, if it does."""
    text = read_xml(file).get("MicronsPerPixel")
    return None if text is None else _number(text, "MicronsPerPixel", file)


def read_xml(file: Path) -> Element:
    """Return the root of an XML file.

    Raises
    ------
    UnusableCase
        If it is not XML, or declares entities, which no annotation needs and which may blow up.
    """
    text = file.read_bytes()
    if b"<!ENTITY" in text:
        raise UnusableCase(f"{file}: declares XML entities, which annotations do not need")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise UnusableCase(f"{file}: cannot be read as XML: {error}") from error


def check_inside(drawings: Sequence[Drawing], shape: tuple[int, ...], file: Path) -> None:
    """Raise `UnusableCase` if something lies elsewhere than on the image of this shape (y, x)."""
    size = np.array(shape[::-1])
    for drawing in drawings:
        if ((drawing.points < -_OUTSIDE * size) | (drawing.points > (1 + _OUTSIDE) * size)).any():
            raise UnusableCase(f"{file}: {drawing.name} lies outside its image, which is {size_text(shape)}")


def has_area(drawing: Drawing) -> bool:
    """Tell whether a drawing encloses an area, which points, lines and text do not."""
    corners = {"polygon": 0, "rectangle": 4, "ellipse": 4}
    return drawing.kind in corners and len(drawing.points) >= corners[drawing.kind]


def outline_of(drawing: Drawing) -> NDArray[np.float64]:
    """Return the vertices of a drawing that encloses an area."""
    if drawing.kind != "ellipse":
        return drawing.points
    first, second, _, fourth = drawing.points  # corners of the box around it, one after the other
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_VERTICES, endpoint=False)[:, None]
    centre = drawing.points.mean(axis=0)
    outline: NDArray[np.float64] = (
        centre + np.cos(angle) * (second - first) / 2 + np.sin(angle) * (fourth - first) / 2
    )
    return outline


def draw_polygons(
    polygons: Sequence[NDArray[np.floating[Any]]],
    shape: tuple[int, int],
    file: Path,
) -> tuple[Ids, tuple[Note, ...]]:
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


def edge_notes(
    polygons: Sequence[NDArray[np.floating[Any]]], shape: tuple[int, int], file: Path
) -> tuple[Note, ...]:
    """Return a note if polygons, as in `draw_polygons`, are cut at the edge of the image, not by a hair."""
    last = np.array(shape[::-1]) - 0.5 + _EDGE
    cut = sum(bool(((points < -0.5 - _EDGE) | (points > last)).any()) for points in polygons)
    return (Note(CUT, f"{file}: {cut} of {len(polygons)}"),) if cut else ()


def draw_discs(points: NDArray[np.float64], shape: tuple[int, int], radius: float) -> Ids:
    """Draw a disc around each point as instances 1 to n; a pixel within several belongs to the nearest.

    Parameters
    ----------
    points : ndarray
        (n, 2), x and y in pixels; pixel (0, 0) has its centre at (0, 0). None may occur twice.
    shape : tuple of int
        (y, x) of the image.
    radius : float
        In pixels; a pixel whose centre is this far away is in the disc.

    Returns
    -------
    ndarray
        Ids. A disc that lies outside, or of which every pixel is nearer to another point, has no pixel: see
        `without_pixels`.
    """
    from scipy.spatial import KDTree

    pixels = np.indices(shape)[::-1].reshape(2, -1).T
    distance, nearest = KDTree(points).query(pixels, distance_upper_bound=np.nextafter(radius, np.inf))
    ids = np.where(np.isfinite(distance), nearest + 1, 0).reshape(shape)
    return ids.astype(instance_dtype(len(points)))


def _aperio_region(region: Element, file: Path) -> Drawing:
    name = f"region {region.get('Id')}"
    if region.get("Type", "0") != "0":
        raise UnusableCase(f"{file}: {name} is of type {region.get('Type')}, an outline (0) is expected")
    values = [
        [_number(v.get(axis, ""), f"{name}, {axis}", file) for axis in "XY"] for v in region.iter("Vertex")
    ]
    return Drawing(name, "polygon", _points(values), negative=region.get("NegativeROA") == "1")


def _points(values: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    points: NDArray[Any] = np.array(values, np.float64).reshape(-1, 2)
    return points


def _number(text: str, what: str, file: Path) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UnusableCase(f"{file}: {what} is '{text}', but a number is expected")
    return value
