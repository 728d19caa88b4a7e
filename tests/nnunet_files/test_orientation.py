"""What nnU-Net's turning readers did to an array is undone, for every way a volume may lie."""

import itertools

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO, SimpleITKIOWithReorient

from nnunet_ext.nnunet_files.orientation import Turn, turn_to_file
from nnunet_ext.nnunet_files.reading import read_labels

CODES = [
    "".join(letters)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for letters in itertools.product(*axes)
]


def write(path, codes, shape=(2, 3, 4), tilt=0.0):
    """Write a file whose axes x, y, z run to the letters of `codes`, 1, 2 and 3 mm apart."""
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    cos, sin = np.cos(tilt), np.sin(tilt)
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    affine = np.eye(4)
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    affine[:3, :3] = rotation @ inv_ornt_aff(turn, shape)[:3, :3] * (1, 2, 3)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return values.transpose(2, 1, 0)


@pytest.mark.parametrize("reader", [NibabelIOWithReorient, SimpleITKIOWithReorient])
def test_the_axes_are_those_of_the_file_again(tmp_path, reader):
    file = tmp_path / "a.nii.gz"
    assert len(CODES) == 48
    turned = 0
    for codes, tilt in itertools.product(CODES, (0.0, 0.3)):
        expected = write(file, codes, tilt=tilt)
        labels, grid = read_labels(reader(), file, range(24))
        turned += not np.array_equal(labels, expected)
        turn = turn_to_file(reader(), file, grid)
        np.testing.assert_array_equal(turn.array(labels), expected)
        assert turn.steps(grid.spacing) == pytest.approx((3, 2, 1))
    assert turned == 94  # all but the one that lies so already


@pytest.mark.parametrize("reader", [NibabelIO, SimpleITKIO])
def test_other_readers_turn_nothing(tmp_path, reader):
    file = tmp_path / "a.nii.gz"
    expected = write(file, "PIR")
    labels, grid = read_labels(reader(), file, range(24))
    assert turn_to_file(reader(), file, grid) == Turn()
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASR", "SRA", "PIL"])
def test_a_slice(tmp_path, codes):
    """One slice of the file may not be one slice of the turned array, and the other way round."""
    for shape in ((5, 4, 1), (1, 5, 4), (5, 1, 4)):
        file = tmp_path / "a.nii.gz"
        expected = write(file, codes, shape)
        labels, grid = read_labels(NibabelIOWithReorient(), file, range(20))
        turned = turn_to_file(NibabelIOWithReorient(), file, grid).array(labels)
        np.testing.assert_array_equal(turned, expected[0] if expected.shape[0] == 1 else expected)
