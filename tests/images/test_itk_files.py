"""MetaImage, NRRD and GIPL: damage that ITK does not notice."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunet_ext.errors import UserError
from nnunet_ext.images.files import check_whole

PIXELS = np.random.default_rng(0).integers(0, 4, (6, 20, 21)).astype(np.uint8)
KINDS = [("mha", False), ("mha", True), ("nrrd", False), ("nrrd", True), ("gipl", False)]


def written(path: Path, pixels: np.ndarray = PIXELS, compressed: bool = False, **arguments: bool) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(pixels, **arguments), str(path), compressed)
    return path


@pytest.mark.parametrize(("ending", "compressed"), KINDS)
def test_every_type_that_itk_writes_is_whole(tmp_path, ending, compressed):
    for dtype in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"):
        if ending == "gipl" and dtype in ("i1", "u4", "i4", "u8", "i8"):
            continue  # ITK writes no such file
        for pixels in (PIXELS, PIXELS[0]):
            check_whole(written(tmp_path / f"a.{ending}", pixels.astype(dtype), compressed), labels=True)


@pytest.mark.parametrize(("ending", "compressed"), KINDS)
@pytest.mark.parametrize("how", ["cut", "last byte", "more"])
def test_damage_is_noticed(tmp_path, ending, compressed, how):
    path = written(tmp_path / f"a.{ending}", PIXELS, compressed)
    whole = path.read_bytes()
    path.write_bytes(
        {"cut": whole[: len(whole) * 6 // 10], "last byte": whole[:-1], "more": whole + bytes(9)}[how]
    )
    with pytest.raises(UserError, match=rf"a\.{ending}: the file is (cut off|damaged)"):
        check_whole(path)
    path.write_bytes(whole[:20])
    with pytest.raises(UserError, match=rf"a\.{ending}: cannot be read as a \.{ending} file"):
        check_whole(path)


@pytest.mark.parametrize("ending", ["mha", "nrrd"])
def test_any_change_of_compressed_values_is_noticed(tmp_path, ending):
    path = written(tmp_path / f"a.{ending}", PIXELS, True)
    whole = path.read_bytes()
    for place in (len(whole) - 5, len(whole) * 3 // 4, len(whole) // 2):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with pytest.raises(UserError, match=rf"a\.{ending}: the file is (damaged|cut off)"):
            check_whole(path)


def test_itk_itself_reads_a_changed_mha(tmp_path):
    path = written(tmp_path / "a.mha", PIXELS, True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.write_bytes(content)
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(path))) != PIXELS).any()


@pytest.mark.parametrize(
    ("ending", "line"), [("mha", b"ElementDataFile = LOCAL"), ("nrrd", b"encoding: raw")]
)
def test_values_in_another_file_are_refused(tmp_path, ending, line):
    path = written(tmp_path / f"a.{ending}")
    other = {"mha": b"ElementDataFile = /etc/hostname", "nrrd": b"encoding: raw\ndata file: /etc/hostname"}[
        ending
    ]
    path.write_bytes(path.read_bytes().replace(line, other))
    with pytest.raises(UserError, match=rf"a\.{ending}: its values lie in another file, /etc/hostname"):
        check_whole(path)


@pytest.mark.parametrize("ending", ["mha", "nrrd"])
def test_colours_are_no_labels(tmp_path, ending):
    path = written(tmp_path / f"a.{ending}", np.zeros((4, 5, 3), np.uint8), isVector=True)
    check_whole(path)
    with pytest.raises(UserError, match=r"labels are one number per voxel, but here each has 3"):
        check_whole(path, labels=True)


def test_other_endings_are_left_to_their_reader(tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"anything")
    check_whole(tmp_path / "a.xyz", labels=True)
