"""Segmentations, images and probabilities of a case, as nnU-Net's readers and writers leave them."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import skimage.io
import tifffile

from nnunet_ext.errors import UnusableCase
from nnunet_ext.images.image import Grid, grid_difference
from nnunet_ext.nnunet_files import probability_check
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
        skimage.io.imsave(file, array, check_contrast=False)
    return file


def reader_for(file):
    return find_reader({"channel_names": {"0": "x"}, "file_ending": "".join(file.suffixes)}, file)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_labels_of_a_volume_with_spacing_in_the_order_of_the_axes(tmp_path, dtype):
    file = write(tmp_path / "a.nii.gz", np.stack([LABELS, LABELS * 0]).astype(dtype))
    labels, grid = read_labels(reader_for(file), file, range(4))
    np.testing.assert_array_equal(labels, [LABELS, LABELS * 0])
    assert labels.dtype == np.uint8
    assert grid == Grid((3.0, 2.0, 1.0), (0, 0, 0), tuple(np.eye(3).ravel()))


def test_one_slice_is_2d(tmp_path):
    file = write(tmp_path / "a.nii.gz", LABELS[None])
    labels, grid = read_labels(reader_for(file), file, range(4))
    np.testing.assert_array_equal(labels, LABELS)
    assert grid == Grid((2.0, 1.0), (0, 0, 0), (1, 0, 0, 1, 0, 0))
    file = write(tmp_path / "a.png", LABELS)
    labels, grid = read_labels(reader_for(file), file, range(4))
    np.testing.assert_array_equal(labels, LABELS)
    assert grid == Grid()


def test_the_spacing_of_a_tif_is_unknown_without_its_file(tmp_path, capsys):
    file = write(tmp_path / "a.tif", np.ones((5, 6, 7), np.uint8))
    image = write(tmp_path / "a_0000.tif", np.ones((5, 6, 7), np.uint8))
    reader = reader_for(file)
    assert read_labels(reader, file, range(4))[1] == Grid()
    assert read_channels(reader, [image])[1] == Grid()
    (tmp_path / "a.json").write_text(json.dumps({"spacing": [3, 2, 1]}))
    assert read_labels(reader, file, range(4))[1] == Grid((3.0, 2.0, 1.0))
    assert read_channels(reader, [image])[1] == Grid((3.0, 2.0, 1.0))
    for wrong in ([3, 2], [3, 2, 0], [3, 2, "x"], [float("nan"), 1, 1], 3):
        (tmp_path / "a.json").write_text(json.dumps({"spacing": wrong}))
        with pytest.raises(UnusableCase, match=r"a_0000\.tif: "):
            read_channels(reader, [image])
    assert capsys.readouterr() == ("", "")


def test_a_tif_that_is_cut_or_no_label_map_is_refused(tmp_path):
    stack = np.stack([LABELS] * 4).astype(np.uint8)
    file = write(tmp_path / "a.tif", stack)
    reader = reader_for(file)
    content = file.read_bytes()
    file.write_bytes(content[:-40])
    for read in (lambda: read_labels(reader, file, range(4)), lambda: read_channels(reader, [file])):
        with pytest.raises(UnusableCase, match=r"a\.tif: is cut short"):
            read()
    tifffile.imwrite(file, stack, imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(UnusableCase, match=r"a\.tif: holds 4 channels or colours"):
        read_labels(reader, file, range(4))
    tifffile.imwrite(file, stack, imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(UnusableCase, match=r"a\.tif: it has a time axis of length 4"):
        read_labels(reader, file, range(4))


@pytest.mark.parametrize(
    ("known", "unknown"), [((0, 1, 2), "3"), ((0, 1, 3), "2"), ((0, 300), "1, 2, 3"), ((1, 2, 3), "0")]
)
def test_unknown_labels_are_named(tmp_path, known, unknown):
    file = write(tmp_path / "a.png", LABELS)
    with pytest.raises(UnusableCase, match=rf"a\.png: contains {unknown}, not in the labels"):
        read_labels(reader_for(file), file, known)


@pytest.mark.parametrize("slices", [3, 4])
def test_a_stack_that_nnunet_takes_for_colours_is_said(tmp_path, slices):
    file = write(tmp_path / "a.tif", np.zeros((slices, 20, 20), np.uint8))
    with pytest.raises(UnusableCase, match=rf"takes it for {slices} colours.*reader_writer\": \"Tiff3DIO\""):
        read_labels(reader_for(file), file, range(4))


def test_the_ignore_label_is_called_what_it_is(tmp_path):
    file = write(tmp_path / "a.png", LABELS)
    with pytest.raises(
        UnusableCase, match=r"a\.png: 2 voxels are 3, the dataset's ignore label: it marks what"
    ) as e:
        read_labels(reader_for(file), file, (0, 1, 2), ignore_label=3)
    assert "set these voxels to a class" in str(e.value)
    with pytest.raises(UnusableCase, match="contains 2, 3, not in the labels"):
        read_labels(reader_for(file), file, (0, 1), ignore_label=4)


def test_only_some_of_many_unknown_labels_are_listed(tmp_path):
    file = write(tmp_path / "a.png", np.arange(9, dtype=np.uint8)[None])
    with pytest.raises(UnusableCase, match="contains 1, 2, 3, 4, 5, …, not"):
        read_labels(reader_for(file), file, [0])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, r"0\.5"),
        (-1, "-1"),
        (np.inf, "inf"),
        (np.nan, "NaN"),
        (1e9, "1000000000"),
        (1.0009765625, r"1\.0009765625"),
    ],
)
def test_what_is_no_label_is_named(value, text):
    array = LABELS[None, None].astype(np.float32)
    array[..., 0, 0] = value

    class Reader:  # ITK itself reads NaN and infinity as 0
        def read_seg(self, file):
            return array, {"spacing": [1, 1, 1]}

    with pytest.raises(UnusableCase, match=rf"a\.labels: contains {text}, (not|which is no)"):
        read_labels(Reader(), Path("a.labels"), range(4))


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
            with pytest.raises(UnusableCase, match=rf"{name}\.nii\.gz: cannot be read "):
                read(reader, file)


@pytest.mark.parametrize("on_disk", [False, True])
def test_probabilities(tmp_path, on_disk):
    p = np.random.default_rng(0).random((3, 1, 4, 5))
    p = (p / p.sum(axis=0)).astype(np.float16)
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


def softmax(shape=(3, 4, 5)):
    p = np.random.default_rng(0).random(shape)
    return (p / p.sum(axis=0)).astype(np.float32)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda p: p * np.where(np.arange(5) == 2, np.nan, 1), "contains NaN"),
        (lambda p: np.where(np.arange(5) == 2, np.inf, p), "contains inf, but probabilities are from 0 to 1"),
        (lambda p: p - 0.5, r"contains -0\.\d+, but probabilities are from 0 to 1"),
        (lambda p: p * 255, r"contains 1\d\d\.\d+, but probabilities"),
        (lambda p: np.log(p), r"contains -\d\.\d+, but"),
        (lambda p: p * 0.5, r"the probabilities of a voxel add up to 0\.(5|4999?\d*), but"),
        (lambda p: np.where(np.arange(5) == 4, 0, p), "the probabilities of a voxel add up to 0, but"),
    ],
)
def test_what_is_no_probability_is_refused(tmp_path, monkeypatch, change, text, on_disk):
    monkeypatch.setattr(probability_check, "_BLOCK", 7)  # a row at a time
    file, scratch = tmp_path / "a.npz", tmp_path if on_disk else None
    for dtype in (np.float16, np.float32, np.float64):
        np.savez_compressed(file, probabilities=change(softmax()).astype(dtype))
        with pytest.raises(UnusableCase, match=rf"a\.npz: {text}"):
            read_probabilities(file, 3, (4, 5), scratch)


def test_regions_may_overlap(tmp_path):
    p = np.random.default_rng(0).random((3, 4, 5)).astype(np.float16)
    np.savez(tmp_path / "a.npz", probabilities=p)
    np.testing.assert_array_equal(read_probabilities(tmp_path / "a.npz", 3, (4, 5), None, regions=True), p)
    np.savez(tmp_path / "a.npz", probabilities=p * 2)
    with pytest.raises(UnusableCase, match=r"a\.npz: contains 1\.\d+, but probabilities are from 0 to 1"):
        read_probabilities(tmp_path / "a.npz", 3, (4, 5), None, regions=True)


def test_a_bomb_is_not_unpacked(tmp_path):
    """A header of 60 numbers, and behind it 8 MB of zeros in 8 kB."""
    file, content = tmp_path / "a.npz", io_bytes(softmax())
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("probabilities.npy", content + bytes(8_000_000))
    for scratch in (None, tmp_path):
        with pytest.raises(UnusableCase, match=r"a\.npz: the array 'prob.*' is damaged: it goes on after"):
            read_probabilities(file, 3, (4, 5), scratch)
    assert (tmp_path / "probabilities.npy").stat().st_size == len(content)


def test_an_array_that_no_memory_holds_is_refused_by_its_header(tmp_path):
    file, head = tmp_path / "a.npz", io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f4", "fortran_order": False, "shape": (3, 60000, 60000, 60000)}
    )
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("probabilities.npy", head.getvalue())
    for scratch in (None, tmp_path):
        with pytest.raises(UnusableCase, match=r"promises 3 x 60000 x 60000 x 60000 .* \(2\.59e\+03 TB\)"):
            read_probabilities(file, 3, (60000, 60000, 60000), scratch)
    assert not (tmp_path / "probabilities.npy").exists()


@pytest.mark.parametrize("on_disk", [False, True])
def test_damaged_probabilities_are_refused(tmp_path, on_disk):
    file, p = tmp_path / "a.npz", softmax((3, 40, 50))
    np.savez(file, probabilities=p)  # not compressed: only the checksum tells
    whole = file.read_bytes()
    file.write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])
    with pytest.raises(UnusableCase, match=r"a\.npz: cannot be read as a NumPy file .*Bad CRC-32"):
        read_probabilities(file, 3, (40, 50), tmp_path if on_disk else None)


def io_bytes(array):
    """An .npy file as bytes."""
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


# --- where the voxels lie -----------------------------------------------------------------------

AXES = {"as it is": np.eye(3), "turned": np.eye(3)[[1, 0, 2]] * [1, -1, -1]}


def volume(path, direction=AXES["as it is"], origin=(10.0, -20.0, 30.0)):
    """Labels with a spacing of (3, 2, 1) in the order of the axes."""
    image = sitk.GetImageFromArray((np.arange(24) % 4).reshape(4, 3, 2).astype(np.uint8))
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetOrigin(origin)
    image.SetDirection(direction.ravel())
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("name", ["SimpleITKIO", "NibabelIO"])
def test_every_reader_states_the_same_grid(tmp_path, name, axes):
    file = volume(tmp_path / "a.nii.gz", AXES[axes])
    content = {"channel_names": {"0": "x"}, "file_ending": ".nii.gz", "overwrite_image_reader_writer": name}
    labels, grid = read_labels(find_reader(content, file), file, range(4))
    assert labels.shape == (4, 3, 2)
    expected = Grid((3.0, 2.0, 1.0), (10.0, -20.0, 30.0), tuple(AXES[axes].ravel()))
    assert grid_difference(grid, expected, labels.shape, labels.shape) == ""
    moved = Grid(grid.spacing, (10.0, -20.0, 33.0), grid.direction)
    assert grid_difference(grid, moved, labels.shape, labels.shape).startswith("origin 10 x -20 x 30 against")


@pytest.mark.parametrize("name", ["NibabelIOWithReorient", "SimpleITKIOWithReorient"])
def test_readers_that_turn_the_array_state_the_grid_of_the_turned_one(tmp_path, name):
    """The same voxels, stored with axes in another order, are read as the same array on the same grid."""
    content = {"channel_names": {"0": "x"}, "file_ending": ".nii.gz", "overwrite_image_reader_writer": name}
    file = volume(tmp_path / "a.nii.gz")
    stored = sitk.DICOMOrient(sitk.ReadImage(str(file)), "ASL")
    sitk.WriteImage(stored, str(tmp_path / "b.nii.gz"))
    assert sitk.GetArrayFromImage(stored).shape != (4, 3, 2)
    reader = find_reader(content, file)
    (one, grid), (other, turned) = (read_labels(reader, tmp_path / f"{x}.nii.gz", range(4)) for x in "ab")
    np.testing.assert_array_equal(one, other)
    assert grid_difference(grid, turned, one.shape, other.shape) == ""
    back = grid.affine() @ [0, 0, 0, 1]  # the first voxel of the array read, wherever it was in the file
    value = sitk.ReadImage(str(file))[sitk.ReadImage(str(file)).TransformPhysicalPointToIndex(back[:3])]
    assert one[0, 0, 0] == value


def test_slices_of_one_image_lie_apart(tmp_path):
    for name, z in (("a", 0.0), ("b", 3.0)):
        image = sitk.GetImageFromArray(LABELS[None])
        image.SetOrigin((0.0, 0.0, z))
        sitk.WriteImage(image, str(tmp_path / f"{name}.nii.gz"))
    sitk.WriteImage(sitk.GetImageFromArray(LABELS), str(tmp_path / "flat.nii.gz"))
    reader = reader_for(tmp_path / "a.nii.gz")
    a, b, flat = (read_labels(reader, tmp_path / f"{x}.nii.gz", range(4))[1] for x in ("a", "b", "flat"))
    assert grid_difference(a, b, LABELS.shape, LABELS.shape) == "origin 0 x 0 x 0 against 0 x 0 x 3"
    assert grid_difference(a, flat, LABELS.shape, LABELS.shape) == ""


# --- damage -------------------------------------------------------------------------------------


def damaged(whole, how):
    middle = len(whole) // 2
    changed = bytes(byte ^ 0x5A for byte in whole[middle : middle + 20])
    return {
        "cut": whole[: len(whole) * 6 // 10],
        "changed": whole[:middle] + changed + whole[middle + 20 :],
        "checksum": whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:],
        "without its end": whole[:-8],
        "another file behind": whole + whole,
        "junk behind": whole + b"junk",
    }[how]


@pytest.mark.parametrize("name", ["SimpleITKIO", "NibabelIO", "NibabelIOWithReorient"])
@pytest.mark.parametrize(
    "how", ["cut", "changed", "checksum", "without its end", "another file behind", "junk behind"]
)
def test_damaged_nifti_is_refused_as_labels_and_as_image(tmp_path, name, how):
    pixels = np.random.default_rng(0).integers(0, 4, (6, 20, 21)).astype(np.uint8)
    file = write(tmp_path / "a.nii.gz", pixels)
    content = {"channel_names": {"0": "x"}, "file_ending": ".nii.gz", "overwrite_image_reader_writer": name}
    reader = find_reader(content, file)
    whole = read_labels(reader, file, range(4))[0]
    np.testing.assert_array_equal(np.bincount(whole.ravel()), np.bincount(pixels.ravel()))
    file.write_bytes(damaged(file.read_bytes(), how))
    for read in (read_segmentation, lambda r, f: read_channels(r, [f])):
        with pytest.raises(UnusableCase, match=r"a\.nii\.gz: the file is (damaged|cut off)"):
            read(reader, file)


def test_itk_would_take_the_voxels_of_a_nii_beside_a_nii_gz(tmp_path):
    file = write(tmp_path / "a.nii.gz", LABELS[None])
    reader = reader_for(file)
    sitk.WriteImage(sitk.GetImageFromArray(LABELS[None] * 0), str(tmp_path / "a.nii"))
    assert not reader.read_seg(str(file))[0].any()  # that is what happens
    with pytest.raises(UnusableCase, match=r"a\.nii\.gz: a\.nii lies beside it"):
        read_labels(reader, file, range(4))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_in_a_nifti_of_labels_which_itk_reads_as_0(tmp_path, value):
    array = LABELS[None].astype(np.float32)
    array[0, 0, 0] = value
    file = write(tmp_path / "a.nii.gz", array)
    reader = reader_for(file)
    with pytest.raises(UnusableCase, match=r"a\.nii\.gz: contains NaN or infinity, which nnU-Net would read"):
        read_labels(reader, file, range(4))
    assert read_channels(reader, [file])[0].shape == (1, 1, 2, 3)  # of an image it is what nnU-Net sees


def test_colours_are_no_labels(tmp_path):
    """nnU-Net reads a plane of colours as a volume of three slices."""
    colours = sitk.GetImageFromArray(np.ones((8, 9, 3), np.uint8), isVector=True)
    sitk.WriteImage(colours, str(tmp_path / "a.nii.gz"))
    reader = reader_for(tmp_path / "a.nii.gz")
    assert reader.read_seg(str(tmp_path / "a.nii.gz"))[0].shape == (1, 8, 9, 3)
    with pytest.raises(UnusableCase, match=r"a\.nii\.gz: labels are one number per voxel, but .* 3"):
        read_labels(reader, tmp_path / "a.nii.gz", range(4))
