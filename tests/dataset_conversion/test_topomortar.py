"""TopoMortar, converted from a miniature of its tree."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import brick_wall, save
from skimage import io
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.dataset_conversion import Case, DatasetDescription, Sample, UserError
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.topomortar import TopoMortar

TRAIN, VAL, TEST = ["001", "002", "003"], ["051", "052"], ["071", "163"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_layout_and_split(source: Path, raw: Path) -> None:
    before = snapshot(source)
    result = convert(TopoMortar(), source, 501)

    folder = raw / "Dataset501_TopoMortar"
    assert result.folder == folder
    assert names(folder) == [
        "conversion_report.json",
        "dataset.json",
        "imagesTr",
        "imagesTs",
        "labelsTr",
        "labelsTs",
        "splits_final.json",
    ]
    assert names(folder / "imagesTr") == [f"{i}_0000.png" for i in TRAIN + VAL]
    assert names(folder / "labelsTr") == [f"{i}.png" for i in TRAIN + VAL]
    assert names(folder / "imagesTs") == [f"{i}_0000.png" for i in TEST]
    assert names(folder / "labelsTs") == [f"{i}.png" for i in TEST]
    for split in (folder, raw.parent / "preprocessed/Dataset501_TopoMortar"):
        assert json.loads((split / "splits_final.json").read_text()) == [{"train": TRAIN, "val": VAL}]
    assert snapshot(source) == before


def test_images_are_copied_and_masks_become_classes(source: Path, raw: Path) -> None:
    folder = convert(TopoMortar(), source, 501).folder
    original = source / "dataset/val/images/051.png"
    assert (folder / "imagesTr/051_0000.png").read_bytes() == original.read_bytes()
    label = io.imread(folder / "labelsTr/051.png")
    mask = io.imread(source / "dataset/val/accurate/051.png")
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, mask // 255)


def test_nnunet_accepts_and_plans_the_dataset(
    source: Path, raw: Path, accept: Callable[[Path], dict]
) -> None:
    plans = accept(convert(TopoMortar(), source, 501).folder)
    assert list(plans["configurations"]) == ["2d"]


def test_mask_values_between_are_thresholded_and_reported(source: Path, raw: Path) -> None:
    result = convert(TopoMortar(), source, 501)
    label = io.imread(result.folder / "labelsTs/163.png")
    assert set(np.unique(label)) == {0, 1}
    assert label[0, :6].sum() == 0
    thresholded = [note for note in result.report["notes"] if note["kind"] == "thresholded"]
    assert [note["text"] for note in thresholded] == [
        "test/accurate/163.png: 6 pixels (value 8: 6), thresholded at 127"
    ]


def test_report(source: Path, raw: Path) -> None:
    result = convert(TopoMortar(), source, 501)
    report = json.loads((result.folder / "conversion_report.json").read_text())
    assert report == result.report
    assert report["identity"] == {
        "converter": "TopoMortar",
        "source": str(source / "dataset"),
        "parameters": {"labels": "accurate"},
    }
    assert report["counts"] == {"train": 3, "val": 2, "test": 2}
    assert report["groups"] == {"test": {"angles": 1, "indistr": 1}}
    assert report["classes"]["mortar"]["voxels"] == {"train": 3 * 43, "val": 2 * 43, "test": 2 * 43}
    assert report["classes"]["mortar"]["share"]["train"] == pytest.approx(43 / 480, abs=1e-6)
    partial = [note["text"] for note in report["notes"] if note["kind"] == "partial dataset"]
    assert "test: 2 cases found, 350 in the complete dataset" in partial


def test_label_sets(source: Path, raw: Path) -> None:
    accurate = convert(TopoMortar(), source, 501).folder
    noisy = convert(TopoMortar(labels="noisy"), source, 502, name="TopoMortarNoisy").folder
    assert noisy.name == "Dataset502_TopoMortarNoisy"
    a, b = (io.imread(folder / "labelsTr/001.png") for folder in (accurate, noisy))
    np.testing.assert_array_equal(np.roll(a, 1, axis=1), b)
    assert snapshot(accurate / "labelsTs") == snapshot(noisy / "labelsTs")


def test_label_set_that_is_not_there(source: Path, raw: Path) -> None:
    with pytest.raises(UserError, match=r"train/pseudo is missing; label sets there: accurate, noisy"):
        convert(TopoMortar(labels="pseudo"), source, 501)
    with pytest.raises(UserError, match=r"has no labels 'exact'. Choose from: accurate, noisy, pseudo"):
        TopoMortar(labels="exact")
    assert not raw.exists()


@pytest.mark.parametrize("below", ["", "dataset"])
def test_source_may_be_root_or_dataset_folder(source: Path, raw: Path, below: str) -> None:
    assert convert(TopoMortar(), source / below, 501).report["counts"]["train"] == 3


def test_source_may_be_one_level_above(source: Path, raw: Path) -> None:
    outer = source.parent / "unpacked"
    outer.mkdir()
    (outer / "__MACOSX").mkdir()
    source.rename(outer / "TopoMortar-main")
    assert convert(TopoMortar(), outer, 501).report["counts"]["train"] == 3


def test_mask_of_three_channels_is_named(source: Path, raw: Path) -> None:
    file = source / "dataset/val/accurate/052.png"
    io.imsave(file, np.zeros((24, 20, 3), np.uint8), check_contrast=False)
    with pytest.raises(UserError, match=r"val/accurate/052.png: a mask of one channel is expected"):
        convert(TopoMortar(), source, 501)


def test_mask_of_zero_and_one_is_not_thresholded_away(source: Path, raw: Path) -> None:
    file = source / "dataset/val/accurate/052.png"
    io.imsave(file, io.imread(file) // 255, check_contrast=False)
    with pytest.raises(UserError, match=r"052.png: a mask of 0 and 1, but 0 and 255 are expected"):
        convert(TopoMortar(), source, 501)


def test_domains_that_do_not_fit_the_images(source: Path, raw: Path) -> None:
    table = source / "dataset/dataset_types.txt"
    table.write_text("\ufeffID;group\n071;indistr\n400;shadows\n", encoding="utf-8")
    report = convert(TopoMortar(), source, 501).report
    assert [note["text"] for note in report["notes"] if note["kind"] == "test domains"] == [
        "dataset_types.txt: test images that it does not name: 163",
        "dataset_types.txt: named there, but no case: 400",
    ]
    assert report["groups"] == {"test": {"indistr": 1}}
    assert report["unused_on_purpose"] == {"of other label sets (--labels)": 5}
    table.write_text("ID,group\n071,indistr\n071,angles\n")
    with pytest.raises(UserError, match="ID 071 has two values: indistr and angles"):
        convert(TopoMortar(), source, 502)


def test_the_screen_says_what_is_not_used(source: Path, raw: Path) -> None:
    save(source / "dataset/train/images/wall.png", brick_wall(1))
    save(source / "dataset/extra/images/001.png", brick_wall(1))
    result = CliRunner().invoke(app, ["convert", "topomortar", "-i", str(source), "-d", "501"])
    assert "Not used, on purpose: 5 files: of other label sets (--labels)\n" in result.output
    assert "Note: files of no case\n  extra/ (1 file), train/images/wall.png\n" in result.output


def test_test_cases_of_which_some_have_no_labels(source: Path, raw: Path) -> None:
    class Bare(TopoMortar):
        def find_cases(self, root: Path) -> list[Case]:
            return [replace(c, labels=()) if c.id == "071" else c for c in super().find_cases(root)]

        def read_case(self, case: Case, description: DatasetDescription) -> Sample:
            return super().read_case(case, description) if case.labels else Sample(case.images, None)

    report = convert(Bare(), source, 501).report
    assert {"kind": "test cases without labels", "text": "1 of 2: 071"} in report["notes"]
