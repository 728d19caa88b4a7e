"""The spacing of a tif in µm, whatever the units it is stated in; what cannot be true is refused."""

import json

import numpy as np
import pytest
import tifffile

from nnunet_ext.errors import UserError
from nnunet_ext.images.files import read_header
from nnunet_ext.images.image import Hints

STACK = np.zeros((3, 8, 9), np.uint8)


def imagej(path, stack=STACK, resolution=(5, 5), **metadata):
    axes = "ZYX"[-stack.ndim :]
    tifffile.imwrite(path, stack, imagej=True, resolution=resolution, metadata={"axes": axes} | metadata)
    return read_header(path).grid.spacing


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"unit": "micron", "zunit": "nm", "spacing": 300}, (0.3, 0.2, 0.2)),
        ({"unit": "micron", "yunit": "nm", "spacing": 0.3}, (0.3, 0.0002, 0.2)),
        ({"unit": "micron", "xunit": "mm", "spacing": 0.3}, (0.3, 0.2, 200)),
        ({"unit": "mm", "yunit": "micron", "zunit": "nm", "spacing": 300}, (0.3, 0.2, 200)),
        ({"unit": "\\u00C5", "spacing": 3}, (0.0003, 0.00002, 0.00002)),
        ({"unit": "inch", "spacing": 1}, (25_400, 5080, 5080)),
        ({"unit": "\\u00B5m", "spacing": "0,3"}, (0.3, 0.2, 0.2)),
        ({"unit": "micron", "spacing": -0.3}, (0.3, 0.2, 0.2)),  # as ImageJ takes it
        ({"unit": "micron", "spacing": 0}, None),
        ({"unit": "micron"}, None),
        ({"unit": "micron", "zunit": "pixel", "spacing": 1}, None),
        ({"unit": "pixel", "zunit": "micron", "spacing": 1}, None),
        ({"spacing": 0.3}, None),
    ],
)
def test_imagej_units_of_each_axis(tmp_path, metadata, expected):
    spacing = imagej(tmp_path / "a.tif", **metadata)
    assert spacing == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize(("unit", "expected"), [("µm", 0.2), ("Å", 0.2e-4)])
def test_imagej_units_beyond_ascii(tmp_path, encoding, unit, expected):
    text = f"ImageJ=1.54f\nunit={unit}\n".encode(encoding)
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], description=text, resolution=(5, 5), metadata=None)
    assert read_header(tmp_path / "a.tif").grid.spacing == pytest.approx((expected, expected))


def test_imagej_2d_takes_nothing_from_z(tmp_path):
    spacing = imagej(tmp_path / "a.tif", STACK[0], (5, 10), unit="nm", zunit="furlong", spacing="nan")
    assert spacing == pytest.approx((0.0001, 0.0002))


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"unit": "furlong", "spacing": 0.3}, "the spacing along z is 0.3 in an unknown unit, 'furlong'"),
        (
            {"unit": "micron", "zunit": "steps?", "spacing": 0.3},
            "along z is 0.3 in an unknown unit, 'steps\\?'",
        ),
        ({"unit": "micron", "yunit": "rod", "spacing": 0.3}, "along y is 0.2 in an unknown unit, 'rod'"),
        ({"unit": "micron", "spacing": "nan"}, "a spacing of nan along z is not possible"),
        ({"unit": "micron", "spacing": "inf"}, "a spacing of inf along z is not possible"),
        ({"unit": "micron", "spacing": "wide"}, "a spacing of nan along z is not possible"),
    ],
)
def test_imagej_spacing_that_cannot_be_taken(tmp_path, metadata, said):
    with pytest.raises(UserError, match=rf"a.tif: .*{said}"):
        imagej(tmp_path / "a.tif", **metadata)
    assert read_header(tmp_path / "a.tif", Hints(spacing_given=True)).grid.spacing is None
    (tmp_path / "a.json").write_text('{"spacing": [0.3, 0.2, 0.2]}')  # the way out that the message names
    assert read_header(tmp_path / "a.tif").grid.spacing == (0.3, 0.2, 0.2)


def ome(path, **sizes):
    attributes = " ".join(f'PhysicalSize{key}="{value}"' for key, value in sizes.items())
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><OME><Image ID="Image:0"><Pixels ID="Pixels:0" '
        'DimensionOrder="XYZCT" Type="uint8" SizeX="9" SizeY="8" SizeZ="3" SizeC="1" SizeT="1" '
        f"{attributes}><TiffData/></Pixels></Image></OME>"
    )
    tifffile.imwrite(path, STACK, photometric="minisblack", description=text.encode(), metadata=None)
    return read_header(path).grid.spacing


def test_ome_units_of_each_axis(tmp_path):
    path = tmp_path / "a.ome.tif"
    assert ome(path, X=0.1, Y=0.2, Z=0.5) == (0.5, 0.2, 0.1)  # µm where no unit is given
    units = {"XUnit": "nm", "YUnit": "mm", "ZUnit": "Å"}
    assert ome(path, X=100, Y=0.001, Z=5000, **units) == pytest.approx((0.5, 1, 0.1))
    assert ome(path, X="0,1", Y="0,2", Z="0,5") == (0.5, 0.2, 0.1)
    assert ome(path, X=0.1, Y=0.2) is None
    assert ome(path, X=0.1, Y=0.2, Z=0) is None
    assert ome(path, X=1, Y=1, Z=1, XUnit="pixel", YUnit="pixel", ZUnit="pixel") is None


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"X": 0.1, "Y": 0.2, "Z": -0.5}, "a spacing of -0.5 along z is not possible"),
        ({"X": 0.1, "Y": "NaN", "Z": 0.5}, "a spacing of NaN along y is not possible"),
        ({"X": "INF", "Y": 0.2, "Z": 0.5}, "a spacing of INF along x is not possible"),
        ({"X": 0.1, "Y": 0.2, "Z": 0.5, "XUnit": "parsnip"}, "along x is 0.1 in an unknown unit, 'parsnip'"),
    ],
)
def test_ome_spacing_that_cannot_be_taken(tmp_path, sizes, said):
    with pytest.raises(UserError, match=rf"a.ome.tif: {said}|a.ome.tif: the spacing {said}"):
        ome(tmp_path / "a.ome.tif", **sizes)


@pytest.mark.parametrize(
    "spacing", [[3, 2], [3, 2, 0], [3, -2, 1], [3, float("nan"), 1], ["3", "2", "1"], []]
)
def test_a_spacing_file_that_cannot_be_true(tmp_path, spacing):
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack", metadata={"spacing": [3, 2, 1]})
    (tmp_path / "a.json").write_text(json.dumps({"spacing": spacing}))
    with pytest.raises(UserError, match=r"a.json: the spacing .* a.tif needs 3 numbers above 0"):
        read_header(tmp_path / "a.tif")


def test_a_spacing_file_with_a_typing_error_is_not_passed_over(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack", metadata={"spacing": [3, 2, 1]})
    (tmp_path / "a.json").write_text('{"spacing": [0.5, 0.2, 0.2}')
    with pytest.raises(
        UserError, match=r"a.json is no valid JSON .* like \{\"spacing\": \[0.3, 0.2, 0.2\]\}"
    ):
        read_header(tmp_path / "a.tif")
    (tmp_path / "a.json").write_text("{of another program")
    assert read_header(tmp_path / "a.tif").grid.spacing == (3, 2, 1)


@pytest.mark.parametrize("unit", ["INCH", "CENTIMETER", "NONE"])
def test_the_resolution_of_a_plain_tif_is_that_of_a_printer(tmp_path, unit):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", resolution=(300, 300), resolutionunit=unit)
    assert read_header(path).grid.spacing is None
