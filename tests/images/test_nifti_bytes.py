"""What SimpleITK keeps quiet about a NIfTI file: values that are not finite, and a missing end."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from nnunet_ext.dataset_conversion.engine.formats import FORMATS
from nnunet_ext.errors import UserError
from nnunet_ext.images import nifti_bytes
from nnunet_ext.images.files import read_image
from nnunet_ext.images.image import Hints


def odd_volume(dtype="float32"):
    pixels = np.arange(4 * 5 * 6, dtype=dtype).reshape(4, 5, 6)
    pixels[0, 0, 0], pixels[1, 2, 3], pixels[3, 4, 5] = np.nan, np.inf, -np.inf
    return pixels


def write(path, pixels):
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(path))
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("block", [64, 2**22])
def test_values_that_are_not_finite_are_found(tmp_path, monkeypatch, ending, dtype, block):
    monkeypatch.setattr(nifti_bytes, "_BLOCK", block)
    pixels, path = odd_volume(dtype), tmp_path / f"a{ending}"
    write(path, pixels)
    assert nifti_bytes.check(path).tolist() == [0, 1 * 30 + 2 * 6 + 3, 119]
    read = read_image(path).pixels[0]
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, np.where(np.isfinite(pixels), pixels, np.nan))
    np.testing.assert_array_equal(FORMATS[".nii.gz", 3].read(path), read)


def test_other_byte_order(tmp_path):
    path = write(tmp_path / "a.nii", odd_volume())
    header, values = path.read_bytes()[:352], path.read_bytes()[352:]
    fields = np.frombuffer(header, np.uint8).copy()
    for first, count, width in ((0, 1, 4), (40, 8, 2), (70, 2, 2), (76, 8, 4), (108, 3, 4), (252, 2, 2)):
        part = fields[first : first + count * width].reshape(count, width)
        fields[first : first + count * width] = part[:, ::-1].ravel()
    path.write_bytes(fields.tobytes() + np.frombuffer(values, "<f4").astype(">f4").tobytes())
    assert nifti_bytes.check(path).tolist() == [0, 45, 119]


def test_channels_of_a_fourth_axis(tmp_path):
    pixels = np.zeros((2, 3, 4, 5), np.float32)
    pixels[1, 2, 3, 4] = np.nan
    image = sitk.JoinSeries([sitk.GetImageFromArray(channel) for channel in pixels])
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.nii.gz", Hints(dimension=3)).pixels, pixels)


def test_vectors_are_refused(tmp_path):
    pixels = np.zeros((3, 4, 5, 2), np.float32)
    pixels[0, 0, 0, 1] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=True), str(tmp_path / "a.nii.gz"))
    with pytest.raises(UserError, match=r"a\.nii\.gz: holds 1 values that are not finite"):
        read_image(tmp_path / "a.nii.gz")


def test_integers_and_whole_files_pass(tmp_path):
    for dtype in ("uint8", "int16", "float32"):
        path = write(tmp_path / f"{dtype}.nii.gz", np.full((3, 4, 5), 7, dtype))
        assert nifti_bytes.check(path).size == 0


def test_a_file_that_ends_too_soon(tmp_path):
    whole = write(tmp_path / "a.nii.gz", odd_volume())
    content = gzip.decompress(whole.read_bytes())
    for name, short in (("b.nii", content[:-1]), ("c.nii", content[:351]), ("d.nii", content[:100])):
        (tmp_path / name).write_bytes(short)
    for name, size in (("b.nii", 831), ("c.nii", 351)):
        with pytest.raises(UserError, match=rf"{name}: the file is cut off: {size} of 832 bytes"):
            nifti_bytes.check(tmp_path / name)
    whole.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"a\.nii\.gz: the file is damaged or cut off"):
        nifti_bytes.check(whole)
