"""DSB2018 in miniature: one mask per nucleus, overlaps, alpha, modalities by their pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.dsb2018.converter import Dsb2018, modality_of
from nnunet_ext.dataset_conversion.engine.report import Conversion
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.images.instance_files import read_instances

SHAPE = (40, 36)


def image_of(modality: str) -> np.ndarray:
    """RGBA of a dark field, a bright field or a stained section, two nuclei in it."""
    ground, nucleus = (20, 200) if modality == "fluorescence" else (220, 90)
    pixels = np.full((*SHAPE, 4), ground, np.uint8)
    pixels[5:15, 5:25] = nucleus
    if modality == "histology":
        pixels[5:15, 5:25, 1] = 60
    pixels[..., 3] = 255
    return pixels


def box(*corners: int) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[corners[0] : corners[1], corners[2] : corners[3]] = 255
    return mask


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three fluorescence, two bright-field, one histology image; mask b overlaps mask a by one column."""
    root = tmp_path / "dsb" / "stage1_train"
    kinds = ["fluorescence"] * 3 + ["brightfield"] * 2 + ["histology"]
    for number, modality in enumerate(kinds):
        name = f"{number:064x}"
        save(root / name / "images" / f"{name}.png", image_of(modality))
        save(root / name / "masks" / "b.png", box(5, 15, 14, 25))
        save(root / name / "masks" / "a.png", box(5, 15, 5, 15))
        (root / name / "masks" / ".DS_Store").write_text("no image")
    (root / "readme.txt").write_text("not a case")
    return root


@pytest.mark.parametrize("modality", ["fluorescence", "brightfield", "histology"])
def test_modality_shows_in_the_pixels(modality: str) -> None:
    pixels = image_of(modality)[..., :3].transpose(2, 0, 1)
    assert modality_of(pixels) == modality
    if modality != "histology":
        assert modality_of(pixels[:1]) == modality


def test_fluorescence(source: Path, raw: Path) -> None:
    result = convert(Dsb2018(modality="fluorescence"), source.parent, 511)
    assert result.folder == raw / "Dataset511_DSB2018"
    assert result.report["counts"] == {"train": 3, "val": 0, "test": 0}
    name = f"{0:064x}"
    image = np.asarray(PIL.Image.open(result.folder / f"imagesTr/{name}_0000.png"))
    np.testing.assert_array_equal(image, image_of("fluorescence")[..., 0])  # one channel
    ids, _ = read_instances(result.folder / f"instancesTr/{name}.tif")
    expected = np.zeros(SHAPE, int)
    expected[5:15, 5:15], expected[5:15, 15:25] = 1, 2  # the shared column is the first one's
    np.testing.assert_array_equal(ids, expected)
    label = np.asarray(PIL.Image.open(result.folder / f"labelsTr/{name}.png"))
    np.testing.assert_array_equal(
        label[5:15, 5:25], np.where(abs(np.arange(5, 25) - 14.5) < 2, 2, 1)[None] * np.ones((10, 1))
    )
    notes = {note["kind"]: note["text"] for note in result.report["notes"]}
    assert notes["modalities"] == "3 fluorescence, 2 brightfield, 1 histology; converted: fluorescence"
    assert notes["overlapping nuclei"].endswith(".png: 10 pixels, given to the first mask by name")
    assert notes["alpha channel"].startswith("dropped from 3 files: 000")
    assert json.loads((result.folder / "dataset.json").read_text())["channel_names"] == {"0": "channel"}


def test_all_modalities_have_three_channels(source: Path, raw: Path) -> None:
    result = convert(Dsb2018(), source, 511)
    assert result.report["counts"]["train"] == 6
    assert json.loads((result.folder / "dataset.json").read_text())["channel_names"] == {
        "0": "R",
        "1": "G",
        "2": "B",
    }
    for number, modality in ((0, "fluorescence"), (5, "histology")):
        image = np.asarray(PIL.Image.open(result.folder / f"imagesTr/{number:064x}_0000.png"))
        np.testing.assert_array_equal(image, image_of(modality)[..., :3])


def test_all_of_grey_images_have_one_channel_until_colours_come(source: Path, raw: Path) -> None:
    histology = source / f"{5:064x}"
    away = histology.rename(source.parent / "away")
    assert convert(Dsb2018(), source, 511).report["cases"][f"{0:064x}"]["channels"] == 1
    away.rename(histology)
    result = convert(Dsb2018(), source, 511)
    assert result.converted == 6  # the grey ones are written again, with three channels
    assert convert(Dsb2018(), source, 511).nothing_to_do


def test_a_modality_that_is_not_there(source: Path, raw: Path) -> None:
    (source / f"{5:064x}").rename(source.parent / "away")
    with pytest.raises(
        UserError, match=r"no histology image among these: 3 fluorescence, 2 brightfield, 0 hist"
    ):
        convert(Dsb2018(modality="histology"), source, 511)
    assert not raw.exists()


def test_wrong_masks_are_listed(source: Path, raw: Path) -> None:
    save(source / f"{0:064x}" / "masks" / "a.png", np.zeros((5, 5), np.uint8))
    save(source / f"{1:064x}" / "masks" / "a.png", box(5, 15, 5, 15) // 255)
    with pytest.raises(UserError) as caught:
        convert(Dsb2018(), source, 511)
    assert "masks/a.png: is 5x5, its image 40x36" in str(caught.value)
    assert "masks/a.png: a mask of 0 and 1, but 0 and 255 are expected" in str(caught.value)
    assert not (raw / "Dataset511_DSB2018/dataset.json").exists()


def test_missing_image_or_masks(source: Path, raw: Path) -> None:
    (source / f"{0:064x}" / "images" / f"{0:064x}.png").unlink()
    for mask in (source / f"{1:064x}" / "masks").iterdir():
        mask.unlink()
    with pytest.raises(UserError) as caught:
        convert(Dsb2018(), source, 511)
    assert f"{0:064x}.png: missing" in str(caught.value)
    assert f"{1:064x}/masks: no masks" in str(caught.value)
    assert not (raw / "Dataset511_DSB2018/labelsTr").exists()


def test_empty_and_hidden_masks_are_noted(source: Path, raw: Path) -> None:
    save(source / f"{0:064x}" / "masks" / "c.png", np.zeros(SHAPE, np.uint8))
    save(source / f"{0:064x}" / "masks" / "d.png", box(6, 8, 6, 8))
    report = convert(Dsb2018(modality="fluorescence"), source, 511).report
    notes = {note["kind"]: note["text"] for note in report["notes"]}
    assert notes["masks that are empty or hidden by others"].endswith(": 2 masks")
    assert report["instances"] == {"train": 6}


def test_something_else(tmp_path: Path, raw: Path) -> None:
    (tmp_path / "other/images").mkdir(parents=True)
    with pytest.raises(
        UserError, match="does not look like DSB2018: no folder in it, down to 2 levels, holds fol"
    ):
        convert(Dsb2018(), tmp_path / "other", 511)


CELLS = box(2, 20, 2, 19)  # cuts the columns 19 to 24 of the second nucleus, which is 15 to 24


@pytest.fixture
def cells(source: Path, tmp_path: Path) -> Path:
    """Masks of the two bright-field images: a mask in png, two cells with ids of their own in tif."""
    folder = tmp_path / "cells"
    save(folder / f"{3:064x}.png", CELLS)
    ids = np.zeros(SHAPE, np.uint16)
    ids[2:20, 2:15], ids[2:20, 15:30] = 7, 4000
    tifffile.imwrite(folder / f"{4:064x}.tif", ids)
    (folder / ".DS_Store").write_text("no image")
    return folder


def nested(**options: object) -> Dsb2018:
    return Dsb2018(modality="brightfield", **options)


def outside(result: Conversion) -> list[str]:
    return [note["text"] for note in result.report["notes"] if note["kind"] == "nuclei outside cells"]


@pytest.mark.parametrize(("choice", "pixels"), [("keep", 100), ("clip", 40)])
def test_cells_make_nested_labels(source: Path, cells: Path, raw: Path, choice: str, pixels: int) -> None:
    result = convert(nested(cells=cells, stray_nuclei=choice), source, 513)
    label = np.asarray(PIL.Image.open(result.folder / f"labelsTr/{3:064x}.png"))
    expected = np.where(CELLS > 0, 1, 0)
    expected[5:15, 5 : 25 if choice == "keep" else 19] = 2
    np.testing.assert_array_equal(label, expected)
    ids, _ = read_instances(result.folder / f"instancesTr/{3:064x}.tif")
    assert np.bincount(ids.ravel())[1:].tolist() == [100, pixels]
    other = np.asarray(PIL.Image.open(result.folder / f"labelsTr/{4:064x}.png"))
    assert (np.bincount(other.ravel()).tolist(), other[2, 2], other[10, 24]) == ([936, 304, 200], 1, 2)
    (text,) = outside(result)
    assert text.startswith(
        f"{cells}/{3:064x}.png: 60 pixels of 1 nucleus, 0 of them whole, lie outside every cell; "
    )
    assert text.endswith({"keep": "kept as nucleus", "clip": "made background"}[choice])
    dataset = json.loads((result.folder / "dataset.json").read_text())
    assert dataset["labels"] == {"background": 0, "cell": 1, "nucleus": 2}
    assert dataset["nesting"] == {"cell": {"nucleus": {}}}
    assert list(result.report["classes"]) == ["background", "cell", "nucleus"]
    assert result.report["counts"]["train"] == 2
    assert convert(nested(cells=cells, stray_nuclei=choice), source, 513).nothing_to_do


def test_a_nucleus_wholly_outside_is_clipped_away(source: Path, cells: Path, raw: Path) -> None:
    save(cells / f"{3:064x}.png", box(2, 20, 2, 15))
    result = convert(nested(cells=cells, stray_nuclei="clip"), source, 513)
    ids, _ = read_instances(result.folder / f"instancesTr/{3:064x}.tif")
    assert np.bincount(ids.ravel())[1:].tolist() == [100]
    assert result.report["instances"] == {"train": 3}
    assert "100 pixels of 1 nucleus, 1 of them whole, lie outside every cell; made" in outside(result)[0]


def test_stray_nuclei_may_be_refused(source: Path, cells: Path, raw: Path) -> None:
    with pytest.raises(UserError) as caught:
        convert(nested(cells=cells, stray_nuclei="error"), source, 513)
    text = str(caught.value)
    assert f"{3:064x}.png: 60 pixels of 1 nucleus, 0 of them whole, lie outside every cell: correct" in text
    assert f"{4:064x}" not in text
    assert not (raw / "Dataset513_DSB2018/dataset.json").exists()


def test_an_inverted_mask_is_suspected(source: Path, cells: Path, raw: Path) -> None:
    save(cells / f"{3:064x}.png", 255 - CELLS)
    assert (
        "lie outside every cell (is the mask inverted?); kept"
        in outside(convert(nested(cells=cells), source, 513))[0]
    )


def test_a_new_mask_is_converted_again(source: Path, cells: Path, raw: Path) -> None:
    convert(nested(cells=cells), source, 513)
    save(cells / f"{3:064x}.png", box(2, 20, 2, 30))
    result = convert(nested(cells=cells), source, 513)
    assert (result.converted, result.kept, outside(result)) == (1, 1, [])


def test_masks_that_do_not_fit_are_listed(source: Path, cells: Path, raw: Path) -> None:
    save(source / f"{6:064x}" / "images" / f"{6:064x}.png", image_of("brightfield"))
    save(source / f"{6:064x}" / "masks" / "a.png", box(5, 15, 5, 15))
    save(source / f"{7:064x}" / "images" / f"{7:064x}.png", image_of("brightfield"))
    save(source / f"{7:064x}" / "masks" / "a.png", box(5, 15, 5, 15))
    save(source / f"{8:064x}" / "images" / f"{8:064x}.png", image_of("brightfield"))
    save(source / f"{8:064x}" / "masks" / "a.png", box(5, 15, 5, 15))
    save(cells / f"{3:064x}.png", CELLS[:20])
    save(cells / f"{4:064x}.png", CELLS)
    save(cells / f"{6:064x}.png", np.stack([CELLS] * 3, axis=-1))
    tifffile.imwrite(cells / f"{7:064x}.tif", np.full(SHAPE, 0.5, np.float32))
    with pytest.raises(UserError) as caught:
        convert(nested(cells=cells), source, 513)
    text = str(caught.value)
    for number, problem in {
        3: ".png: is 20x36, its image ",
        4: ".tif: 2 cell masks of one image, which one?",
        6: ".png: a cell mask of one channel is expected, found 3",
        7: ".tif: holds 0.5, but instance ids are whole numbers from 0",
        8: ".png: missing, and there is no .tif of that name",
    }.items():
        assert f"{number:064x}{problem}" in text
    assert not (raw / "Dataset513_DSB2018/labelsTr").exists()


def test_masks_of_other_images(source: Path, cells: Path, raw: Path) -> None:
    """One of an image that is there but of another kind is noted, one of no image is an error."""
    save(cells / f"{0:064x}.png", CELLS)
    report = convert(nested(cells=cells), source, 513).report
    (text,) = [note["text"] for note in report["notes"] if note["kind"] == "files of no case"]
    assert text.endswith(f"cells/{0:064x}.png")
    save(cells / "nobody.png", CELLS)
    with pytest.raises(UserError, match=r"1 of 4 cell masks belong to no image: .*/cells/nobody.png\. Call"):
        convert(nested(cells=cells), source, 514)
    assert not (raw / "Dataset514_DSB2018").exists()
    with pytest.raises(UserError, match=r"nowhere does not exist\. Give the folder of the cell masks"):
        convert(nested(cells=cells / "nowhere"), source, 514)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cells": Path("cells")}, "--cells needs --modality"),
        ({"cells": Path("cells"), "modality": "brightfield", "classes": 3}, "leave out --classes"),
        ({"cells": Path("cells"), "modality": "brightfield", "gap_radius": 3.0}, "and the radii"),
        ({"stray_nuclei": "clip"}, "--stray-nuclei clip needs the cells: give --cells"),
        ({"stray_nuclei": "drop"}, "no stray_nuclei 'drop'. Choose from: keep, clip, error"),
    ],
)
def test_options_that_contradict(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Dsb2018(**options)


def test_masks_in_colour(source: Path, raw: Path) -> None:
    """Equal channels are one mask; of channels that differ, none is taken over the others."""
    folder = source / f"{0:064x}" / "masks"
    mask = box(6, 8, 6, 8)
    file = sorted(folder.glob("*.png"))[0]
    save(file, np.repeat(mask[..., None], 3, axis=2))
    report = convert(Dsb2018(modality="fluorescence"), source, 511).report
    texts = [note["text"] for note in report["notes"] if note["kind"] == "dropped"]
    assert any(text.endswith("2 channels equal to the first") for text in texts)
    save(file, np.stack([mask, np.zeros_like(mask), np.zeros_like(mask)], axis=2))
    with pytest.raises(UserError, match="a mask of one grey channel is expected, found 3 that differ"):
        convert(Dsb2018(modality="fluorescence"), source, 512)


def test_images_of_other_kinds_are_left_out(source: Path, raw: Path) -> None:
    report = convert(Dsb2018(modality="fluorescence"), source, 511).report
    reasons = set(report["left_out"].values())
    assert reasons == {f"{kind} (--modality fluorescence)" for kind in ("brightfield", "histology")}
    assert not [note for note in report["notes"] if note["kind"] == "files of no case"]
