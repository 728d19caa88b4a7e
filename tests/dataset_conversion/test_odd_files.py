"""Folders as they are found: links to nothing, other endings, odd names; everything is said or refused."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.instances import Instances


def save(folder: Path, name: str | bytes, seed: int = 0) -> None:
    """An image or, in a folder of labels, two cells."""
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 200, (32, 32)).astype(np.uint16)
    if folder.name == "labels":
        pixels = np.zeros((32, 32), np.uint16)
        pixels[2:12, 2 + seed : 12 + seed], pixels[16:26, 4:14] = 1, 2
    tifffile.imwrite(folder / "made.tif", pixels)
    os.replace(folder / "made.tif", os.path.join(os.fsencode(folder), os.fsencode(name)))


@pytest.fixture
def places(tmp_path: Path, raw: Path) -> tuple[Path, Path]:
    for folder in ("images", "labels"):
        for number in range(2):
            save(tmp_path / folder, f"c{number}.tif", number)
    return tmp_path / "images", tmp_path / "labels"


def refused(images: Path, labels: Path) -> str:
    with pytest.raises(UserError) as caught:
        convert(Instances(labels=labels), images, 510)
    str(caught.value).encode()  # it can be printed
    return str(caught.value)


def unused(images: Path, labels: Path) -> list[str]:
    return list(convert(Instances(labels=labels), images, 510).report["unused_files"])


# --- what is no image ---------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["images", "labels"])
def test_a_link_to_nothing(places, folder) -> None:
    images, labels = places
    file = images.with_name(folder) / "c1.tif"
    file.unlink()
    file.symlink_to("/nowhere/c1.tif")
    text = refused(images, labels)
    assert "c1.tif: a link to /nowhere/c1.tif, which is not there" in text
    assert "1 case in" in text


@pytest.mark.parametrize("folder", ["images", "labels"])
def test_a_folder_with_the_name_of_an_image(places, folder) -> None:
    images, labels = places
    file = images.with_name(folder) / "c1.tif"
    file.unlink()
    file.mkdir()
    assert "c1.tif: a folder with the name of a file" in refused(images, labels)


def test_links_to_images_are_read(places, tmp_path) -> None:
    images, labels = places
    (images / "c1.tif").rename(tmp_path / "original.tif")
    (images / "c1.tif").symlink_to(tmp_path / "original.tif")
    assert convert(Instances(labels=labels), images, 510).converted == 2


@pytest.mark.parametrize("folder", ["images", "labels"])
def test_a_folder_that_may_not_be_read(places, folder, monkeypatch) -> None:
    images, labels = places
    listed = Path.iterdir

    def iterdir(self):
        if self.name == folder:
            raise PermissionError(13, "Permission denied")
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert f"{folder}: this folder cannot be read (Permission denied)" in refused(images, labels)


def test_a_file_that_may_not_be_read(places, monkeypatch) -> None:
    images, labels = places
    exists = Path.is_file

    def is_file(self):
        if self.name == "c1.tif" and self.parent.name == "images":
            raise PermissionError(13, "Permission denied")
        return exists(self)

    monkeypatch.setattr(Path, "is_file", is_file)
    assert "c1.tif: cannot be read (Permission denied)" in refused(images, labels)


def test_what_is_left_over_is_listed(places) -> None:
    images, labels = places
    (images / "scan.czi").touch()
    (labels / "c1.jpg").touch()
    (images / ".hidden.tif").touch()
    (images / "gone.txt").symlink_to("/nowhere")
    for name in (".DS_Store", "._c0.tif", "Thumbs.db"):
        (images / name).touch()
    for name in ("more", "empty"):
        (images / name).mkdir()
    save(images / "more", "c2.tif")
    assert unused(images, labels) == [
        *("../labels/c1.jpg", ".hidden.tif", "empty/ (0 files)", "gone.txt (a link to nothing)"),
        *("more/ (1 file)", "scan.czi"),
    ]


def test_what_is_left_over_is_said(places, raw) -> None:
    images, labels = places
    (images / "scan.czi").touch()
    words = ["convert", "instances", "-i", str(images), "-l", str(labels), "-d", "510"]
    output = CliRunner().invoke(app, words).output
    assert "Note: files of no case\n  scan.czi\n" in output


def test_folders_that_are_in_use_are_not_left_over(places, tmp_path) -> None:
    images, labels = places
    labels.rename(images / "labels")
    assert unused(images, images / "labels") == []


def test_labels_of_another_ending(places) -> None:
    images, labels = places
    (labels / "c1.tif").rename(labels / "c1.jpg")
    text = refused(images, labels)
    assert f"{images / 'c1.tif'}: has no label" in text
    assert "The labels of a.tif are called a.tif or a_label, a_labels, a_mask" in text
    assert f"Not looked at: {labels / 'c1.jpg'}. Labels end in .bmp" not in text
    assert f"Not looked at: {labels / 'c1.jpg'}. Labels end in .h5" in text


def test_nothing_there(places, tmp_path) -> None:
    images, _ = places
    empty, other = tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    other.mkdir()
    (other / "a.czi").touch()
    assert f"were found in {empty}. Found there: nothing." in refused(empty, empty)
    assert f"were found in {other}. Found there: a.czi." in refused(other, empty)
    assert f"{images / 'c0.tif'}: has no label" in refused(images, empty)
    assert "Found there: images/, labels/" not in refused(tmp_path, tmp_path)  # the folder above holds more
    assert "Found there: empty/, images/, labels/, other/." in refused(tmp_path, tmp_path)


# --- names --------------------------------------------------------------------------------------

NFC, NFD = (unicodedata.normalize(form, "Größe é") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(("image", "label"), [(NFC, NFD), (NFD, NFC), (NFD, NFD), (NFC, f"{NFD}_masks")])
def test_names_written_by_different_systems(tmp_path, raw, image, label) -> None:
    save(tmp_path / "images", f"{image} 1.tif")
    save(tmp_path / "labels", f"{label} 1.tif" if "masks" not in label else f"{NFD} 1_masks.tif")
    result = convert(Instances(labels=tmp_path / "labels"), tmp_path / "images", 510)
    expected = unicodedata.normalize("NFC", "Größe_é_1")
    assert list(result.report["cases"]) == [expected]
    assert (result.folder / f"labelsTr/{expected}.tif").exists()


def test_channels_written_by_different_systems(tmp_path, raw) -> None:
    for channel, name in enumerate((NFC, NFD)):
        save(tmp_path / "images", f"{name}_{channel:04d}.tif", channel)
    save(tmp_path / "labels", f"{NFC}.tif")
    result = convert(Instances(labels=tmp_path / "labels"), tmp_path / "images", 510)
    case = unicodedata.normalize("NFC", "Größe_é")
    for channel in range(2):
        written = tifffile.imread(result.folder / f"imagesTr/{case}_{channel:04d}.tif")
        original = np.random.default_rng(channel).integers(0, 200, (32, 32))
        np.testing.assert_array_equal(written, original)


def test_one_name_in_both_forms_is_not_clear(tmp_path, raw) -> None:
    for name in (NFC, NFD):
        save(tmp_path / "images", f"{name}.tif")
    save(tmp_path / "labels", f"{NFC}.tif")
    assert "its image could be any of" in refused(tmp_path / "images", tmp_path / "labels")


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("a[1]", "a_1_"),
        ("[bold]x[0]", "_bold_x_0_"),
        ("two\nlines", "two_lines"),
        ("a*?", "a_"),
        ("%s{0}", "_s_0_"),
    ],
)
def test_odd_names(tmp_path, raw, name, case) -> None:
    for folder in ("images", "labels"):
        save(tmp_path / folder, f"{name}.tif")
    words = [
        "convert",
        "instances",
        "-i",
        str(tmp_path / "images"),
        "-l",
        str(tmp_path / "labels"),
        "-d",
        "510",
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert [path.name for path in (raw / "Dataset510_Instances/labelsTr").iterdir()] == [f"{case}.tif"]


def test_names_that_are_no_utf_8(tmp_path, raw) -> None:
    for folder in ("images", "labels"):
        save(tmp_path / folder, b"caf\xe9.tif")
    text = refused(tmp_path / "images", tmp_path / "labels")
    assert "caf\\xe9.tif: no name in UTF-8. Rename it" in text


def test_names_that_are_too_long(tmp_path, raw) -> None:
    for folder in ("images", "labels"):
        save(tmp_path / folder, "a" * 240 + ".tif")
    assert "this name is too long for a case. Give it a shorter one" in refused(
        tmp_path / "images", tmp_path / "labels"
    )


def test_names_that_become_the_same_id(tmp_path, raw) -> None:
    for folder in ("images", "labels"):
        for name in ("a 1", "a_1"):
            save(tmp_path / folder, f"{name}.tif")
    assert "2 cases with the same id 'a_1'" in refused(tmp_path / "images", tmp_path / "labels")


def test_names_that_differ_in_upper_and_lower_case_only(tmp_path, raw) -> None:
    for folder in ("images", "labels"):
        for name in ("A", "a", "b"):
            save(tmp_path / folder, f"{name}.tif")
    text = refused(tmp_path / "images", tmp_path / "labels")
    assert "2 cases in " in text
    assert "A.tif: 'A' differs from 'a' (a.tif) only in upper and lower case: on Windows and macOS" in text
    assert "a.tif: 'a' differs from 'A' (A.tif) only in upper and lower case" in text
    assert {path.name for path in raw.rglob("*.*")} <= {"conversion_report.json"}


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.float32(1.000001), "holds 1.000001"),
        (np.float64(1e-9), "holds 0.000000001"),
        (np.float32("nan"), "holds nan"),
        (np.float32("inf"), "holds inf"),
        (np.int64(2**33), "holds 8589934592, but instance ids end at 4294967295"),
        (np.int16(-1), "holds -1"),
    ],
)
def test_values_that_are_no_ids(places, value, said) -> None:
    images, labels = places
    ids = tifffile.imread(labels / "c1.tif").astype(value.dtype)
    ids[20, 20] = value
    tifffile.imwrite(labels / "c1.tif", ids)
    assert f"{labels / 'c1.tif'}: {said}" in refused(images, labels)


def test_not_enough_memory_names_the_case(places, monkeypatch) -> None:
    images, labels = places

    def read_pixels(self, case, description):
        raise MemoryError("Unable to allocate 8.00 GiB for an array with shape (4, 2) and data type float64")

    monkeypatch.setattr(Instances, "read_pixels", read_pixels)
    text = refused(images, labels)
    assert text.startswith(
        "c0: not enough memory (Unable to allocate 8.00 GiB for an array with shape (4, 2)"
    )
    assert "smaller -np" in text
