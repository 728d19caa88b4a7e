"""Instance labels go into a tif and come back with ids, type and spacing."""

import numpy as np
import pytest
import tifffile

from nnunet_ext.errors import UserError
from nnunet_ext.images.instance_files import read_instances, write_instances


@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7), (3, 5, 3)])
@pytest.mark.parametrize(("largest", "dtype"), [(9, np.uint16), (65_535, np.uint16), (65_536, np.uint32)])
def test_ids_type_and_spacing_come_back(tmp_path, shape, largest, dtype):
    ids = np.zeros(shape, np.int64)
    ids.flat[::2] = 3
    ids.flat[-1] = largest
    spacing = (0.5, 0.25, 0.2)[-len(shape) :]

    write_instances(tmp_path / "a.tif", ids, spacing)
    back, spacing_back = read_instances(tmp_path / "a.tif")

    assert back.dtype == dtype
    np.testing.assert_array_equal(back, ids)
    assert spacing_back == spacing
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_without_spacing(tmp_path):
    write_instances(tmp_path / "a.tif", np.zeros((2, 3), np.uint8))
    assert read_instances(tmp_path / "a.tif")[1] is None


def test_ids_beyond_32_bits_are_refused(tmp_path):
    with pytest.raises(UserError, match="4294967296"):
        write_instances(tmp_path / "a.tif", np.full((2, 2), 2**32))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.array([[-1, 2]]), "ids are positive, 0 is background; got -1"),
        (np.array([[-1, 2]], np.int8), "got -1"),
        (np.array([[1.0, 2.0]]), "integers in 2D or 3D; got float64"),
        (np.array([[np.nan, 2.0]], np.float32), "got float32"),
        (np.array([[True, False]]), "got bool"),
        (np.array([1, 2]), r"got int64 \(2,\)"),
        (np.zeros((1, 2, 3, 4), np.uint8), r"got uint8 \(1, 2, 3, 4\)"),
    ],
)
def test_what_are_no_ids_is_not_written(tmp_path, wrong, said):
    with pytest.raises(ValueError, match=said):
        write_instances(tmp_path / "a.tif", wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 2.0, 3.0), (1.0, 0.0), (1.0, np.nan), (-1.0, 1.0)])
def test_a_spacing_that_does_not_fit_is_not_written(tmp_path, spacing):
    with pytest.raises(ValueError, match="expected 2 positive numbers"):
        write_instances(tmp_path / "a.tif", np.ones((2, 3), np.uint8), spacing)
    assert not list(tmp_path.iterdir())


IDS = np.zeros((16, 20), np.uint16)
IDS[2:14, 2:9], IDS[2:14, 11:18] = 1, 2
COLOURS = np.array([[0, 0, 0], [200, 30, 90], [40, 220, 130]], np.uint8)[IDS]
ALPHA = np.dstack([COLOURS, np.full(IDS.shape, 255, np.uint8)])
NUCLEI = np.where(np.indices(IDS.shape)[0] < 8, IDS, 0).astype(np.uint16)
BOTH = np.stack([IDS, NUCLEI])


@pytest.mark.parametrize(
    ("stored", "how", "said"),
    [
        (COLOURS, {"photometric": "rgb"}, "holds 3 channels or colours, but labels are one number"),
        (ALPHA, {"photometric": "rgb", "extrasamples": ["unassalpha"]}, "holds 3 channels"),
        (np.dstack([IDS] * 3), {"photometric": "rgb"}, "holds 3 channels"),  # grey, stored as colours
        (COLOURS.transpose(2, 0, 1), {"photometric": "rgb"}, "holds 3 planes of colours"),
        (COLOURS.transpose(2, 0, 1), {"photometric": "rgb", "metadata": None}, "holds 3 channels"),
        (ALPHA.transpose(2, 0, 1), {"photometric": "rgb"}, "holds 4 planes of colours"),
        (BOTH, {"imagej": True, "metadata": {"axes": "CYX"}}, "holds 2 channels"),
        (BOTH, {"ome": True, "metadata": {"axes": "CYX"}}, "holds 2 channels"),
        (BOTH, {"photometric": "minisblack", "metadata": {"axes": "CYX"}}, "holds 2 channels"),
        (BOTH[:, None], {"ome": True, "metadata": {"axes": "CZYX"}}, "holds 2 channels"),
        (
            BOTH.transpose(1, 2, 0),
            {"photometric": "minisblack", "planarconfig": "contig"},
            "holds 2 channels",
        ),
        (BOTH, {"imagej": True, "metadata": {"axes": "TYX"}}, "a time axis of length 2"),
        (BOTH, {"ome": True, "metadata": {"axes": "TYX"}}, "a time axis of length 2"),
        (IDS > 0, {}, "integers; got bool"),
        (IDS.astype(np.float32) / 2, {}, r"holds 0\.5, but instance ids are whole numbers"),
        (np.where(IDS == 2, np.nan, IDS).astype(np.float64), {}, "holds nan, but instance ids are whole"),
        (
            IDS.astype(np.float32) * 2**23,
            {},
            "holds 16777216, but float32 does not tell ids",
        ),
        (IDS.astype(np.float16) * 1024, {}, "holds 2048, but float16 does not tell ids"),
    ],
)
def test_images_that_are_no_label_map_are_refused(tmp_path, stored, how, said):
    tifffile.imwrite(tmp_path / "a.tif", stored, **how)
    with pytest.raises(UserError, match=rf"a.tif: .*{said}"):
        read_instances(tmp_path / "a.tif")


def test_label_maps_as_others_write_them(tmp_path):
    stack = np.stack([IDS, IDS, NUCLEI])
    for stored, how in (
        (IDS, {"imagej": True}),
        (IDS, {"ome": True}),
        (stack.astype(np.uint8), {}),  # which tifffile stores as the planes of an RGB image
        (stack, {"imagej": True, "metadata": {"axes": "ZYX"}}),
        (stack, {"ome": True, "metadata": {"axes": "ZYX"}}),
        (stack, {"photometric": "minisblack", "metadata": None}),
        (IDS.astype(np.uint8), {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}),
    ):
        tifffile.imwrite(tmp_path / "a.tif", stored, **how)
        np.testing.assert_array_equal(read_instances(tmp_path / "a.tif")[0], stored)


@pytest.mark.parametrize(
    ("dtype", "read"), [("float16", "int32"), ("float32", "int32"), ("float64", "int64")]
)
def test_whole_numbers_of_a_floating_type_are_ids(tmp_path, dtype, read):
    tifffile.imwrite(tmp_path / "a.tif", IDS.astype(dtype))
    ids = read_instances(tmp_path / "a.tif")[0]
    assert ids.dtype == read
    np.testing.assert_array_equal(ids, IDS)


def test_what_is_no_instance_map_is_refused(tmp_path):
    (tmp_path / "text.tif").write_text("no image")
    tifffile.imwrite(tmp_path / "float.tif", np.full((4, 4), 0.25, np.float32))
    for name in ("text.tif", "float.tif"):
        with pytest.raises(UserError, match=name):
            read_instances(tmp_path / name)


def test_spacing_of_an_imagej_file(tmp_path):
    ids = np.zeros((2, 3, 4), np.uint16)
    metadata = {"axes": "ZYX", "spacing": 0.5, "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", ids, imagej=True, resolution=(5, 10), metadata=metadata)
    assert read_instances(tmp_path / "a.tif")[1] == pytest.approx((0.5, 0.1, 0.2))
