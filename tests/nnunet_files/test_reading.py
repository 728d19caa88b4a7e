"""Segmentations, images and probabilities of a case, as nnU-Net's readers and writers leave them."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from skimage import io

from nnunet_ext.errors import UnusableCase
from nnunet_ext.nnunet_files.dataset_json import Classes
from nnunet_ext.nnunet_files.reading import (
    find_reader,
    read_channels,
    read_labels,
    read_probabilities,
    read_segmentation,
)

LABELS = np.array([[0, 1, 2], [3, 3, 0]], np.uint8)


def write(file, array):
    """Write an image in the format that the name ends in; NIfTI with a spacing of (3, 2, 1)."""
    if file.name.endswith(".nii.gz"):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((1.0, 2.0, 3.0))
        sitk.WriteImage(image, str(file))
    elif file.suffix == ".tif":
        tifffile.imwrite(file, array)
    else:
        io.imsave(file, array, check_contrast=False)
    return file


def reader_for(file):
    return find_reader({"channel_names": {"0": "x"}, "file_ending": "".join(file.suffixes)}, file)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_labels_of_a_volume_with_spacing_in_the_order_of_the_axes(tmp_path, dtype):
    file = write(tmp_path / "a.nii.gz", np.stack([LABELS, LABELS * 0]).astype(dtype))
    labels, spacing = read_labels(reader_for(file), file, range(4))
    np.testing.assert_array_equal(labels, [LABELS, LABELS * 0])
    assert labels.dtype == np.uint8
    assert spacing == (3.0, 2.0, 1.0)


def test_one_slice_is_2d(tmp_path):
    file = write(tmp_path / "a.nii.gz", LABELS[None])
    labels, spacing = read_labels(reader_for(file), file, range(4))
    np.testing.assert_array_equal(labels, LABELS)
    assert spacing == (2.0, 1.0)
    file = write(tmp_path / "a.png", LABELS)
    np.testing.assert_array_equal(read_labels(reader_for(file), file, range(4))[0], LABELS)


def test_nothing_is_printed_about_a_tif_without_spacing(tmp_path, capsys):
    file = write(tmp_path / "a.tif", np.ones((5, 6, 7), np.uint8))
    reader = reader_for(file)
    assert read_labels(reader, file, range(4))[1] == (1.0, 1.0, 1.0)
    (tmp_path / "a.json").write_text(json.dumps({"spacing": [3, 2, 1]}))
    assert read_labels(reader, file, range(4))[1] == (3.0, 2.0, 1.0)
    read_channels(reader, [file])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("known", "unknown"), [((0, 1, 2), "3"), ((0, 1, 3), "2"), ((0, 300), "1, 2, 3"), ((1, 2, 3), "0")]
)
def test_unknown_labels_are_named(tmp_path, known, unknown):
    file = write(tmp_path / "a.png", LABELS)
    with pytest.raises(UnusableCase, match=rf"a\.png: contains {unknown}, not in the labels"):
        read_labels(reader_for(file), file, known)


def test_only_some_of_many_unknown_labels_are_listed(tmp_path):
    file = write(tmp_path / "a.png", np.arange(9, dtype=np.uint8)[None])
    with pytest.raises(UnusableCase, match="contains 1, 2, 3, 4, 5, …, not"):
        read_labels(reader_for(file), file, [0])


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, r"0\.5"), (-1, "-1"), (np.inf, "inf"), (np.nan, "nan"), (1e9, r"1e\+09")]
)
def test_what_is_no_label_is_named(value, text):
    array = LABELS[None, None].astype(np.float32)
    array[..., 0, 0] = value

    class Reader:  # ITK itself reads NaN and infinity as 0
        def read_seg(self, file):
            return array, {"spacing": [1, 1, 1]}

    with pytest.raises(UnusableCase, match=rf"a\.png: contains {text}, not"):
        read_labels(Reader(), Path("a.png"), range(4))


def test_labels_above_255_need_16_bits(tmp_path):
    file = write(tmp_path / "a.nii.gz", np.full((2, 2, 2), 300, np.int16))
    labels, _ = read_labels(reader_for(file), file, (0, 300))
    assert labels.dtype == np.uint16
    assert (labels == 300).all()


def test_ignore_label_belongs_to_references_only():
    classes = Classes({"1": (1,)}, {"1": "a"}, (0, 1), 2)
    assert classes.labels == (0, 1)
    assert classes.reference_labels == (0, 1, 2)


def test_damaged_and_missing_files_are_named(tmp_path):
    reader = reader_for(write(tmp_path / "a.nii.gz", LABELS[None]))
    (tmp_path / "b.nii.gz").write_bytes(b"junk")
    for name in ("b", "c"):
        file = tmp_path / f"{name}.nii.gz"
        for read in (read_segmentation, lambda r, f: read_channels(r, [f])):
            with pytest.raises(UnusableCase, match=rf"{name}\.nii\.gz: cannot be read \("):
                read(reader, file)


@pytest.mark.parametrize("on_disk", [False, True])
def test_probabilities(tmp_path, on_disk):
    p = np.random.default_rng(0).random((3, 1, 4, 5)).astype(np.float16)
    np.savez_compressed(tmp_path / "a.npz", probabilities=p)
    scratch = tmp_path if on_disk else None
    read = read_probabilities(tmp_path / "a.npz", 3, (4, 5), scratch)
    np.testing.assert_array_equal(read, p[:, 0])
    assert isinstance(read, np.memmap) == on_disk
    with pytest.raises(UnusableCase, match=r"a\.npz: expected probabilities of shape \(2, 4, 5\), got"):
        read_probabilities(tmp_path / "a.npz", 2, (4, 5), scratch)
    (tmp_path / "b.npz").write_bytes(b"junk")
    with pytest.raises(UnusableCase, match=r"b\.npz: cannot be read"):
        read_probabilities(tmp_path / "b.npz", 3, (4, 5), scratch)
