"""Folders that were mixed up: said before anything is written, and done all the same with --yes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.instances import Instances
from nnunet_ext.dataset_conversion.topomortar import TopoMortar

Pixels = Callable[[int], np.ndarray]


def boxes(number: int) -> np.ndarray:
    """Nine cells of 400 pixels, moved a little from case to case."""
    ids = np.zeros((96, 96), np.uint16)
    for n in range(9):
        y, x = 8 + number + 28 * (n // 3), 8 + 28 * (n % 3)
        ids[y : y + 20, x : x + 20] = n + 1
    return ids


def grey(number: int) -> np.ndarray:
    noise = np.random.default_rng(number).integers(0, 200, (96, 96))
    return (noise + 300 * (boxes(number) > 0)).astype(np.uint16)


def tissue(number: int) -> np.ndarray:
    """64 cells of 12 x 12 that cover everything."""
    return np.roll(np.kron(np.arange(1, 65).reshape(8, 8), np.ones((12, 12))), number).astype(np.uint16)


def in_3d(pixels: Pixels) -> Pixels:
    return lambda number: np.stack([pixels(number)] * 4)


@pytest.fixture
def save(tmp_path: Path, raw: Path) -> Callable[..., Path]:
    """Write a folder of tif files."""

    def write(name: str, pixels: Pixels, numbers: range = range(3)) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for number in numbers:
            tifffile.imwrite(folder / f"c{number}.tif", pixels(number), photometric="minisblack")
        return folder

    return write


def refused(raw: Path, images: Path, **options: object) -> str:
    """The words of the refusal; with --yes they are notes in the report, and everything is converted."""
    with pytest.raises(UserError) as caught:
        convert(Instances(**options), images, 510)  # type: ignore[arg-type]
    assert not list(raw.rglob("*"))
    report = convert(Instances(**options), images, 510, yes=True).report  # type: ignore[arg-type]
    text = str(caught.value)
    assert text.startswith("Are these the right folders? Nothing was converted.\n")
    assert text.endswith("If all of this is right, add --yes to the same command.")
    noted = {note["kind"] for note in report["notes"]}
    assert {line.partition(":")[0].strip() for line in text.splitlines()[1:-1]} <= noted
    return text


def kinds(report: dict) -> set[str]:
    ours = ("labels", "images", "background", "test images", "training images", "hardly")
    return {note["kind"] for note in report["notes"] if note["kind"].startswith(ours)}


def test_the_right_folders(save, raw) -> None:
    images, labels = save("images", grey), save("labels", boxes)
    new, truth = save("new", grey, range(5, 8)), save("truth", boxes, range(5, 8))
    report = convert(Instances(labels=labels, test=(new, truth)), images, 510).report
    assert kinds(report) == set()


@pytest.mark.parametrize("dimension", [2, 3])
def test_images_and_labels_swapped(save, raw, dimension) -> None:
    as_is = in_3d if dimension == 3 else lambda pixels: pixels
    images, labels = save("images", as_is(grey)), save("labels", as_is(boxes))
    text = refused(raw, labels, labels=images)
    assert f"labels that look like grey images: 3 of 3 cases ({images / 'c0.tif'}, " in text
    assert "the images look like labels: -i and -l are swapped" in text


def test_one_image_among_the_labels(save, raw) -> None:
    images, labels = save("images", grey), save("labels", boxes)
    tifffile.imwrite(labels / "c1.tif", grey(7))
    text = refused(raw, images, labels=labels)
    assert f"labels that look like grey images: 1 of 3 cases ({labels / 'c1.tif'})" in text
    assert "swapped" not in text


@pytest.mark.parametrize("dimension", [2, 3])
def test_background_numbered_1(save, raw, dimension) -> None:
    as_is = in_3d if dimension == 3 else lambda pixels: pixels
    images = save("images", as_is(grey))
    text = refused(raw, images, labels=save("labels", as_is(lambda number: boxes(number) + 1)))
    assert "background with an id: 3 of 3 cases" in text
    assert "no voxel is 0, and id 1 is most of the image and of its border" in text


def test_background_numbered_1_in_some_files(save, raw) -> None:
    images, labels = save("images", grey), save("labels", lambda number: boxes(number) + (number == 1))
    text = refused(raw, images, labels=labels)
    assert f"background with an id: 1 of 3 cases ({labels / 'c1.tif'}): no voxel is 0, and id 1" in text


def test_an_inverted_mask_is_noted(save, raw) -> None:
    images = save("images", grey)
    labels = save("labels", lambda number: (boxes(number) == 0).astype(np.uint8) * 255)
    report = convert(Instances(labels=labels), images, 510).report
    notes = {note["kind"]: note["text"] for note in report["notes"]}
    assert "3 of 3 cases" in notes["background with an id"]
    assert "id 255 is most of the image" in notes["background with an id"]


def test_cells_that_cover_everything(save, raw) -> None:
    text = refused(raw, save("images", grey), labels=save("labels", tissue))
    assert "labels without background: 3 of 3 cases" in text
    assert "no voxel is 0, so every voxel would be a cell" in text
    assert "If cells do cover all of each image, go on" in text


def test_one_field_covered_by_cells_is_only_noted(save, raw) -> None:
    images, labels = save("images", grey), save("labels", lambda i: tissue(i) if i == 1 else boxes(i))
    notes = {
        note["kind"]: note["text"] for note in convert(Instances(labels=labels), images, 510).report["notes"]
    }
    assert notes["labels without background"].startswith("1 of 3 cases")


def test_hardly_any_background(save, raw) -> None:
    def almost(number: int) -> np.ndarray:
        ids = tissue(number)
        ids[0, :3] = 0
        return ids

    images, labels = save("images", grey), save("labels", almost)
    assert kinds(convert(Instances(labels=labels), images, 510).report) == {"hardly any background"}


def test_labels_that_are_all_empty(save, raw) -> None:
    images, labels = save("images", grey), save("labels", lambda number: np.zeros((96, 96), np.uint16))
    assert "labels without a cell: 3 of 3 cases" in refused(raw, images, labels=labels)


def test_some_empty_labels_are_fine(save, raw) -> None:
    images, labels = save("images", grey), save("labels", lambda number: boxes(number) * (number > 0))
    assert kinds(convert(Instances(labels=labels), images, 510).report) == set()


def test_empty_test_labels(save, raw) -> None:
    images, labels = save("images", grey), save("labels", boxes)
    new = save("new", grey, range(5, 7))
    truth = save("truth", lambda number: np.zeros((96, 96), np.uint16), range(5, 7))
    text = refused(raw, images, labels=labels, test=(new, truth))
    assert f"labels without a cell: 2 of 2 cases ({truth / 'c5.tif'}, {truth / 'c6.tif'})" in text


def test_labels_that_are_the_images(save, raw) -> None:
    text = refused(raw, save("images", boxes), labels=save("labels", boxes))
    assert "labels that are the image: the same values are in image and labels of 3 of 3 cases" in text


def test_one_folder_for_images_and_labels(save, raw) -> None:
    images = save("images", grey)
    with pytest.raises(UserError) as caught:
        convert(Instances(labels=images), images, 510)
    assert f"{images} is given for images and labels" in str(caught.value)
    assert "a_label, a_labels, a_mask" in str(caught.value)


def test_labels_of_a_grey_image_drawn_on_it(save, raw) -> None:
    images, labels = save("images", lambda number: boxes(number) * 100), save("labels", boxes)
    report = convert(Instances(labels=labels), images, 510).report
    assert kinds(report) == {"images that look like labels"}


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "float32"])
def test_training_images_as_test_images(save, raw, dtype) -> None:
    images, labels = save("images", grey), save("labels", boxes)
    new = save("new", lambda number: grey(number).astype(dtype), range(2, 4))
    if dtype == "float32":  # another type of file, the same values
        for file in images.iterdir():
            tifffile.imwrite(file, tifffile.imread(file).astype(np.float32))
    text = refused(raw, images, labels=labels, test=(new,))
    assert f"1 of 2 test images: {new / 'c2.tif'} = {images / 'c2.tif'}. Scores" in text


def test_the_training_folder_as_test_folder(save, raw) -> None:
    images, labels = save("images", grey), save("labels", boxes)
    text = refused(raw, images, labels=labels, test=(images, labels))
    assert "3 of 3 test images" in text
    assert f"{images} was given twice" in text


def test_copies_among_the_training_images(save, raw) -> None:
    images, labels = save("images", lambda number: grey(number // 2)), save("labels", boxes)
    notes = {
        note["kind"]: note["text"] for note in convert(Instances(labels=labels), images, 510).report["notes"]
    }
    assert notes["training images that are the same"] == "c0.tif = c1.tif"


def test_labels_that_were_copied_to_another_image(save, raw) -> None:
    images, labels = save("images", grey), save("labels", lambda number: boxes(number % 2))
    notes = {
        note["kind"]: note["text"] for note in convert(Instances(labels=labels), images, 510).report["notes"]
    }
    assert (
        notes["labels that are the same for different images"] == f"{labels / 'c0.tif'} = {labels / 'c2.tif'}"
    )


def test_ids_that_were_used_again(save, raw) -> None:
    def wrapped(number: int) -> np.ndarray:
        return (np.kron(np.arange(1024).reshape(32, 32), np.ones((6, 6))) % 20 + 1)[:96, :96].astype(np.uint8)

    images, labels = save("images", grey), save("labels", wrapped)
    assert "labels whose ids are in many pieces: 3 of 3 cases" in refused(raw, images, labels=labels)
    with pytest.raises(UserError) as caught:
        convert(Instances(labels=labels, split_components=True), images, 511)
    assert "many pieces" not in str(caught.value)  # what is left is that no voxel is background


def test_an_earlier_conversion_is_not_overwritten(save, raw) -> None:
    images, labels = save("images", grey), save("labels", boxes)
    folder = convert(Instances(labels=labels), images, 510).folder
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    with pytest.raises(UserError, match="Are these the right folders"):
        convert(Instances(labels=images), labels, 510, overwrite=True)
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def test_what_was_confirmed_is_not_asked_again(save, raw) -> None:
    images, labels = save("images", grey), save("labels", tissue)
    convert(Instances(labels=labels), images, 510, yes=True)
    assert convert(Instances(labels=labels), images, 510).nothing_to_do
    new = save("new", grey, range(5, 6))
    result = convert(Instances(labels=labels, test=(new,)), images, 510)
    assert result.converted == 1
    assert "labels without background" in kinds(result.report)


@pytest.mark.slow
def test_two_processes_see_the_same(save, raw) -> None:
    images, labels = save("images", grey, range(2)), save("labels", boxes, range(2))
    with pytest.raises(UserError, match="swapped"):
        convert(Instances(labels=images), labels, 510, processes=2)


def test_on_the_command_line(save, raw) -> None:
    images, labels = save("images", grey), save("labels", lambda number: boxes(number) + 1)
    words = ["convert", "instances", "-i", str(images), "-l", str(labels), "-d", "510"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, UserError)
    assert result.exit_code == 1
    assert not list(raw.rglob("*"))
    result = CliRunner().invoke(app, [*words, "--yes"])
    assert result.exit_code == 0
    assert "Note: background with an id" in result.output
    assert json.loads((raw / "Dataset510_Instances/dataset.json").read_text())["numTraining"] == 3


# --- public datasets ----------------------------------------------------------------------------


def test_copies_in_a_public_dataset_are_noted(source, raw) -> None:
    data = source / "dataset"
    (data / "test/images/071.png").write_bytes((data / "train/images/002.png").read_bytes())
    report = convert(TopoMortar(), source, 501).report
    texts = [
        note["text"] for note in report["notes"] if note["kind"] == "test images that are training images"
    ]
    assert len(texts) == 1
    assert texts[0].startswith("1 of 2 test images: test/images/071.png = train/images/002.png.")
