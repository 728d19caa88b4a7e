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


def test_what_is_no_instance_map_is_refused(tmp_path):
    (tmp_path / "text.tif").write_text("no image")
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((4, 4), np.float32))
    for name in ("text.tif", "float.tif"):
        with pytest.raises(UserError, match=name):
            read_instances(tmp_path / name)


def test_spacing_of_an_imagej_file(tmp_path):
    ids = np.zeros((2, 3, 4), np.uint16)
    metadata = {"axes": "ZYX", "spacing": 0.5, "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", ids, imagej=True, resolution=(5, 10), metadata=metadata)
    assert read_instances(tmp_path / "a.tif")[1] == pytest.approx((0.5, 0.1, 0.2))
