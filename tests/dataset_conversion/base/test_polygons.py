"""Outlines and points drawn as instances, and the XML they come in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnunet_ext.dataset_conversion import UnusableCase, draw_discs, draw_polygons, read_xml

FILE = Path("a.png")


def square(x: float, y: float, edge: float) -> np.ndarray:
    return np.array([[x, y], [x + edge, y], [x + edge, y + edge], [x, y + edge]], float)


def test_the_first_polygon_keeps_the_overlap() -> None:
    outlines = [
        square(1, 2, 2),
        square(2, 3, 2),
        square(5.2, 0, 1)[:2],
        square(1.2, 2.2, 0.6),
        square(-9, -9, 2),
    ]
    ids, notes = draw_polygons(outlines, (6, 7), FILE)
    assert ids.tolist() == [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0, 0],
        [0, 1, 1, 1, 2, 0, 0],
        [0, 1, 1, 1, 2, 0, 0],
        [0, 0, 2, 2, 2, 0, 0],
    ]
    assert [(note.kind, note.text) for note in notes] == [
        ("overlapping objects", "a.png: 4 pixels, given to the first"),
        ("dropped", "a.png: 1 polygons of fewer than 3 vertices"),
        ("dropped", "a.png: 2 polygons without a pixel of their own"),
    ]


def test_polygons_that_leave_the_image() -> None:
    ids, notes = draw_polygons([square(-3, -3, 4)], (3, 3), FILE)
    assert ids.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert notes == ()


def test_xml(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_bytes(b"\xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?><a><b X='1.5'/></a>")
    assert read_xml(file).find("b").attrib == {"X": "1.5"}  # type: ignore[union-attr]
    file.write_text("<a><b></a>")
    with pytest.raises(UnusableCase, match=r"a.xml: cannot be read as XML: mismatched tag"):
        read_xml(file)
    file.write_text('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>')
    with pytest.raises(UnusableCase, match="declares XML entities"):
        read_xml(file)


def test_discs_against_distances() -> None:
    points = np.array([[3.0, 4.0], [6.5, 4.0], [15.0, 11.0]])
    y, x = np.indices((12, 16))
    distance = np.stack([np.hypot(x - px, y - py) for px, py in points])
    expected = np.where(distance.min(axis=0) <= 3, distance.argmin(axis=0) + 1, 0)
    np.testing.assert_array_equal(draw_discs(points, (12, 16), 3), expected)
