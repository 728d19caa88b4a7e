"""PlantSeg-style HDF5 in miniature: one file per case, its spacing, and an outside with an id of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.plantseg import PlantSeg, empty_ends, find_outside
from nnunet_ext.images.instance_files import read_instances

h5py = pytest.importorskip("h5py")
SHAPE = (8, 32, 32)


def tissue(outside: int) -> np.ndarray:
    """Four touching cells, 5 to 8, in the middle of a volume whose rest is `outside`."""
    ids = np.full(SHAPE, outside, np.uint16)
    for number, (y, x) in enumerate([(8, 8), (8, 16), (16, 8), (16, 16)]):
        ids[2:6, y : y + 8, x : x + 8] = 5 + number
    return ids


def write(path: Path, label: np.ndarray | None, spacing: object = (0.25, 0.1, 0.1)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["raw"] = np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)
        if label is not None:
            file["label"] = label
        for key in file:
            if spacing is not None:
                file[key].attrs["element_size_um"] = spacing


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, outside in (("N_1_ds2x", 0), ("N_2_ds2x", 1)):
        write(tmp_path / "ovules/train" / f"{name}.h5", tissue(outside))
    (tmp_path / "ovules/train/LICENSE").write_text("not a case")
    return tmp_path / "ovules"


def kinds(report: dict, kind: str) -> list[str]:
    return [note["text"] for note in report["notes"] if note["kind"] == kind]


def test_outside_of_the_tissue_is_found(source: Path, raw: Path) -> None:
    result = convert(PlantSeg(), source, 512, "Ovules")
    for case in ("N_1_ds2x", "N_2_ds2x"):
        ids, spacing = read_instances(result.folder / f"instancesTr/{case}.tif")
        np.testing.assert_array_equal(ids, np.where(tissue(0) > 0, tissue(0) - 4, 0))
        assert spacing == pytest.approx((0.25, 0.1, 0.1))
    np.testing.assert_array_equal(
        *(tifffile.imread(p) for p in sorted((result.folder / "labelsTr").glob("*.tif")))
    )
    assert kinds(result.report, "outside of the tissue") == [
        "N_1_ds2x.h5: 0, 87.5% of the voxels",
        "N_2_ds2x.h5: id 1 is 87.5% of the voxels, 28 times the next largest, at 6 faces of the volume; "
        "0 is 0 voxels",
    ]
    assert kinds(result.report, "files of no case") == ["LICENSE"]
    assert result.report["instances"] == {"train": 8}
    assert json.loads((result.folder / "imagesTr/N_1_ds2x.json").read_text()) == {"spacing": [0.25, 0.1, 0.1]}
    assert len(json.loads((result.folder / "splits_final.json").read_text())) == 2


def test_background_may_be_named(source: Path, raw: Path) -> None:
    zero = convert(PlantSeg(background="0"), source, 512).report
    assert zero["instances"] == {"train": 9}  # the outside of the second is a cell then
    other = convert(PlantSeg(background="6"), source, 512, overwrite=True).report
    assert other["instances"] == {"train": 7}
    assert (
        kinds(other, "outside of the tissue")[0] == "N_1_ds2x.h5: id 6 is 3.1% of the voxels (--background)"
    )
    with pytest.raises(UserError, match="--background none is not possible: give an id or auto"):
        PlantSeg(background="none")


def test_dense_tissue_has_no_outside() -> None:
    ids = np.repeat(np.arange(1, 9, dtype=np.uint16), 64).reshape(8, 8, 8)
    ids[0, 0, 0] = 0
    number, text = find_outside(ids)
    assert number == 0
    assert text.startswith("none found: id ")
    assert text.endswith("0 is 1 voxels")


def test_a_large_cell_inside_is_not_the_outside() -> None:
    ids = np.repeat(np.arange(1, 9, dtype=np.uint16), 1000).reshape(20, 20, 20)
    ids[1:19, 1:19, 1:19] = 77
    assert find_outside(ids)[0] == 0
    ids[:, 1:19, 1:19] = 77  # 2 faces
    assert find_outside(ids)[0] == 0
    ids[:, :, 1:19] = 77  # 4 faces
    assert find_outside(ids)[0] == 77


@pytest.mark.parametrize("ids", [np.zeros((4, 4, 4)), np.ones((4, 4, 4))])
def test_nothing_or_a_single_cell(ids: np.ndarray) -> None:
    assert find_outside(ids.astype(np.uint16))[0] == 0


def test_test_files_with_and_without_labels(source: Path, raw: Path) -> None:
    write(source / "test/N_1_ds2x.h5", tissue(1))
    write(source / "test/N_9.h5", None)
    result = convert(PlantSeg(test=source / "test"), source / "train", 512)
    assert sorted(p.name for p in (result.folder / "imagesTs").glob("*.tif")) == [
        "test_N_1_ds2x_0000.tif",
        "test_N_9_0000.tif",
    ]
    assert [p.name for p in (result.folder / "instancesTs").iterdir()] == ["test_N_1_ds2x.tif"]


def test_ends_that_nobody_labelled(source: Path, raw: Path) -> None:
    result = convert(PlantSeg(), source, 512)
    text = "the first 2 and the last 2 of 8"
    expected = [f"{name}.h5: {text}" for name in ("N_1_ds2x", "N_2_ds2x")]
    assert kinds(result.report, "slices without cells at the ends") == expected
    folder = convert(PlantSeg(ends="ignore"), source, 513).folder
    before, label = (tifffile.imread(path / "labelsTr/N_1_ds2x.tif") for path in (result.folder, folder))
    assert json.loads((folder / "dataset.json").read_text())["labels"]["ignore"] == 4
    np.testing.assert_array_equal(label[2:6], before[2:6])
    assert (label[[0, 1, 6, 7]] == 4).all()
    assert empty_ends(np.zeros((3, 4, 4), np.uint16)) == (0, 0)
    assert empty_ends(np.ones((3, 4, 4), np.uint16)) == (0, 0)


def test_a_file_in_training_and_test_is_noted(source: Path, raw: Path) -> None:
    write(source / "test/N_1_ds2x.h5", tissue(1))
    write(source / "test/N_9.h5", None)
    report = convert(PlantSeg(test=source / "test"), source / "train", 512).report
    assert kinds(report, "test files called like training files") == [f"{source}/test/N_1_ds2x.h5"]


def test_two_folders_of_files_are_ambiguous(source: Path, raw: Path) -> None:
    write(source / "test/N_9.h5", None)
    with pytest.raises(UserError, match="holds PlantSeg more than once"):
        convert(PlantSeg(), source, 512)


def test_some_files_without_spacing(source: Path, raw: Path) -> None:
    write(source / "train/N_3.h5", tissue(0), spacing=None)
    with pytest.raises(UserError, match=r"1 of 3 images state no spacing: .*N_3.h5"):
        convert(PlantSeg(), source, 512)
    assert not raw.exists()
    assert convert(PlantSeg(spacing=(0.25, 0.1, 0.1)), source, 512).converted == 3


def test_without_the_key(source: Path, raw: Path) -> None:
    with h5py.File(source / "train/N_1_ds2x.h5", "a") as file:
        file.move("label", "cells")
    with pytest.raises(
        UserError, match=r"N_1_ds2x.h5: has no dataset 'label'. Datasets there: 'cells' \(8, 32"
    ):
        convert(PlantSeg(), source, 512)
    assert [path.name for path in raw.rglob("*.*")] == ["conversion_report.json"]


def test_no_h5_files(tmp_path: Path, raw: Path) -> None:
    with pytest.raises(UserError, match=r"holds .h5 files"):
        convert(PlantSeg(), tmp_path, 512)
