"""Masks and labels as they come: colour copies, almost whole numbers, other numbers, outlines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from nnunet_ext.dataset_conversion.base.case import CaseError, Note
from nnunet_ext.dataset_conversion.base.description import DatasetDescription
from nnunet_ext.dataset_conversion.base.label_maps import as_labels, relabel, threshold_mask
from nnunet_ext.dataset_conversion.base.pictures import read_mask, read_rgb
from nnunet_ext.dataset_conversion.base.polygons import draw_polygons, read_xml
from nnunet_ext.dataset_conversion.base.volumes import fill

FILE = Path("a.png")
MASK = np.array([[0, 255, 255], [0, 7, 0]], np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    PIL.Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(("channels", "dropped"), [(0, 0), (3, 2), (4, 2)])
def test_masks_in_grey_and_colour(tmp_path: Path, channels: int, dropped: int) -> None:
    pixels = np.repeat(MASK[..., None], channels, axis=2) if channels else MASK
    if channels == 4:
        pixels[..., 3] = 255
    file = save(tmp_path / "m.png", pixels)
    mask, notes = read_mask(file)
    np.testing.assert_array_equal(mask, MASK)
    assert notes == ((Note("dropped", f"{file}: 2 channels equal to the first"),) if dropped else ())


def test_a_mask_of_colours_is_refused(tmp_path: Path) -> None:
    pixels = np.repeat(MASK[..., None], 3, axis=2)
    pixels[0, 0, 1] = 1
    with pytest.raises(
        CaseError, match=r"m.png: a mask of one grey channel is expected, found 3 that differ"
    ):
        read_mask(save(tmp_path / "m.png", pixels))


def test_a_palette_holds_labels(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(MASK).convert("P")
    picture.putdata([0, 1, 2, 0, 1, 0])
    picture.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png")[0], [[0, 1, 2], [0, 1, 0]])


def test_colours(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    image, notes = read_rgb(save(tmp_path / "i.png", pixels))
    np.testing.assert_array_equal(image, pixels[..., :3])
    assert [(note.kind, note.text) for note in notes] == [("dropped", f"{tmp_path / 'i.png'}: alpha channel")]
    assert read_rgb(save(tmp_path / "j.png", pixels[..., :3]))[1] == ()
    with pytest.raises(CaseError, match=r"k.png: 8-bit colour is expected, found 1 channels of uint8"):
        read_rgb(save(tmp_path / "k.png", pixels[..., 0]))
    tifffile.imwrite(tmp_path / "l.tif", pixels[..., :3].astype(np.uint16), photometric="rgb")
    with pytest.raises(CaseError, match="found 3 channels of uint16"):
        read_rgb(tmp_path / "l.tif")


def test_a_photograph_is_not_turned(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(np.zeros((20, 30, 3), np.uint8))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    picture.save(tmp_path / "p.jpg", exif=exif)
    assert read_rgb(tmp_path / "p.jpg")[0].shape == (20, 30, 3)


def test_many_stray_values_are_not_all_listed() -> None:
    mask = np.arange(256, dtype=np.uint8)
    label, (note,) = threshold_mask(mask, FILE, 128)
    assert label.sum() == 127
    assert note.kind == "thresholded"
    assert note.text == (
        "a.png: 254 pixels (value 1: 1, value 2: 1, value 3: 1, value 4: 1, value 5: 1 and 249 more values), "
        "thresholded at 128"
    )


def test_almost_whole_numbers_are_rounded() -> None:
    values = np.array([0, 0.99999999977, 2.0])
    labels, notes = as_labels(values, FILE)
    assert labels.tolist() == [0, 1, 2]
    assert [note.kind for note in notes] == ["rounded"]
    assert notes[0].text.startswith("a.png: 1 voxels such as ")
    assert as_labels(values[::2], FILE) == (pytest.approx(np.array([0, 2])), ())
    assert as_labels(np.array([True, False]), FILE)[0].tolist() == [1, 0]


@pytest.mark.parametrize("value", [0.5, 1.002, np.nan, np.inf])
def test_fractions_are_refused(value: float) -> None:
    with pytest.raises(CaseError, match=r"a.png: holds .*, but labels are whole numbers"):
        as_labels(np.array([0, 1, value]), FILE)


def test_relabel() -> None:
    labels, notes = relabel(np.array([0, 255, 128]), {0: 0, 128: 2, 255: 1, 7: 3}, FILE)
    assert labels.tolist() == [0, 1, 2]
    assert notes == (Note("relabelled", "a.png: 128 to 2, 255 to 1"),)
    assert relabel(np.array([0, 1]), {0: 0, 1: 1, 2: 5}, FILE)[1] == ()
    with pytest.raises(CaseError, match=r"a.png: label values \[3\] are not among \[0, 1\]"):
        relabel(np.array([0, 3]), {0: 0, 1: 1}, FILE)


def test_fill() -> None:
    pixels = np.array([1, np.nan, -np.inf], np.float32)
    filled, notes = fill(pixels, FILE, -5)
    assert filled.tolist() == [1, -5, -5]
    assert filled.dtype == np.float32
    assert notes == (Note("filled", "a.png: 2 voxels that are not finite, set to -5"),)
    assert np.isnan(pixels[1])
    assert fill(np.array([1, 2]), FILE)[1] == ()


# --- outlines -----------------------------------------------------------------------------------


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
    with pytest.raises(CaseError, match=r"a.xml: cannot be read as XML: mismatched tag"):
        read_xml(file)
    file.write_text('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>')
    with pytest.raises(CaseError, match="declares XML entities"):
        read_xml(file)


# --- the description of a dataset ---------------------------------------------------------------


def test_labels_nnunet_takes() -> None:
    regions = DatasetDescription(
        ("CT",), {"background": 0, "whole": (1, 2), "core": 2, "ignore": 3}, ".nii.gz", {}, 3, (1, 2)
    )
    assert regions.values == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        ({"background": 0, "a": 2}, ()),
        ({"background": 1, "a": 0}, ()),
        ({"a": 0, "b": 1}, ()),
        ({"background": 0, "ignore": 1, "a": 2}, ()),
        ({"background": 0, "a": 1}, (1,)),
        ({"background": 0, "a": (1, 2), "b": 2}, ()),
        ({"background": 0, "a": (1, 2), "b": 2}, (1,)),
    ],
)
def test_labels_it_does_not(labels: dict, order: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="We expect"):
        DatasetDescription(("CT",), labels, ".nii.gz", regions_class_order=order)
