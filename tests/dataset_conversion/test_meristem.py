"""Meristems in miniature: plants and hours in names that vary, spacing in a text file, outside = 1."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.report import Conversion
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.meristem import Meristem, resolution
from nnunet_ext.images.instance_files import read_instances

SHAPE = (8, 24, 24)
IDS = np.ones(SHAPE, np.uint16)
IDS[1:7, 4:11, 4:18], IDS[1:7, 11:18, 4:11], IDS[1:7, 11:18, 11:18] = 7, 2, 3000
ROWS = """Resolutions of the tiffs of plant {plant}, in microns
[time, (x, y, z), z-stretching factor]

[0hrs, (0.2396150, 0.2396150, 0.26), 1.04]
[4hrs, (0.2196471, 0.2196471, 0.26), 2.60]
[24hrs, (0.2196471, 0.2196471, 0.26), 1.30]
"""
CLEANED = "trim-acylYFP_hmin_2_asf_1_s_2.00_clean_3"
STACKS = [
    (1, "0hrs_plant1_trim-acylYFP", f"0hrs_plant1_{CLEANED}"),
    (1, "4hrs_plant1_trim-acylYFP", f"4hrs_plant1_{CLEANED}"),  # the suspect one
    (1, "24hrs_plant1_trim-acylYFP", f"24hrs_plant1_{CLEANED}"),  # ends with 4hrs
    (2, "00hrs_plant2_trim-acylYFP", "00hrs_plant2_trim-acylYFP_hmin_2_asf_0_s_1.50"),
    (
        13,
        "4hrs_plant13_trim-acylYFP_improved",
        "4hrs_plant13_trim-acylYFP_improved_hmin_2_asf_1_s_2.20_clean_3",
    ),
    (15, "0hrs_plant15_trim-acylYFP", f"0hrs_plant15_{CLEANED}"),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "PNAS"
    for plant, stack, labels in STACKS:
        home = root / f"plant{plant}"
        for folder in (
            "processed_tiffs",
            "segmentation_tiffs",
            "nuclear_segmentation_tiffs",
            "tracking_data",
        ):
            (home / folder).mkdir(parents=True, exist_ok=True)
        (home / f"plant{plant}_tiff_resolutions.txt").write_text(ROWS.format(plant=plant))
        tifffile.imwrite(home / "processed_tiffs" / f"{stack}.tif", (IDS % 251).astype(np.uint8))
        other = stack.replace("acylYFP", "clv3")
        tifffile.imwrite(home / "processed_tiffs" / f"{other}.tif", np.zeros(SHAPE, np.uint8))
        tifffile.imwrite(home / "segmentation_tiffs" / f"{labels}.tif", IDS)
        (home / "tracking_data/0hrs_to_4hrs.txt").write_text("7 : 2, 3000")
    (root / "plant1/processed_tiffs/.DS_Store").write_bytes(b"no image")
    return root


def texts(result: Conversion, kind: str) -> list[str]:
    return [note["text"] for note in result.report["notes"] if note["kind"] == kind]


def test_stacks_spacing_and_ids(source: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(Meristem(), source.parent, 525)
    cases = ["plant01_00h", "plant01_24h", "plant02_00h", "plant13_04h", "plant15_00h"]
    assert sorted(result.report["cases"]) == cases
    assert result.report["counts"] == {"train": 4, "val": 0, "test": 1}
    assert list(result.report["left_out"]) == ["plant1/processed_tiffs/4hrs_plant1_trim-acylYFP.tif"]
    spacings = [(0.25, 0.239615), (0.2, 0.2196471), (0.25, 0.239615), (0.1, 0.2196471)]
    for case, spacing in zip(cases[:4], spacings, strict=True):
        ids, found = read_instances(result.folder / f"instancesTr/{case}.tif")
        np.testing.assert_array_equal(ids, np.select([IDS == 2, IDS == 7, IDS == 3000], [1, 2, 3], 0))
        assert found == pytest.approx((*spacing, spacing[1]))
        beside = json.loads((result.folder / f"imagesTr/{case}.json").read_text())
        assert beside["spacing"] == pytest.approx(found)
    image = tifffile.imread(result.folder / "imagesTr/plant01_24h_0000.tif")
    np.testing.assert_array_equal(image, IDS % 251)
    label = tifffile.imread(result.folder / "labelsTs/plant15_00h.tif")
    assert set(np.unique(label[IDS > 1])) == {1, 2}
    assert set(np.unique(label[IDS == 1])) <= {0, 3}
    folds = json.loads((result.folder / "splits_final.json").read_text())
    assert sorted(fold["val"] for fold in folds) == [
        ["plant01_00h", "plant01_24h"],
        ["plant02_00h"],
        ["plant13_04h"],
    ]
    share = (IDS == 1).mean()
    file = f"plant15/segmentation_tiffs/0hrs_plant15_{CLEANED}.tif"
    assert f"{file}: id 1, {share:.1%} of the voxels, to 0" in texts(result, "relabelled")
    assert texts(result, "partial dataset")[0] == "train: 4 cases found, 102 in the complete dataset"
    median = accept(result.folder)["original_median_spacing_after_transp"]
    assert sorted(median) == pytest.approx([0.225, 0.2296, 0.2296], abs=1e-3)


def test_options(source: Path, raw: Path) -> None:
    chosen = Meristem(test_plants=(0,), suspect="convert", drop_slices=3, spacing=(0.26, 0.22, 0.22))
    (source / "plant2/plant2_tiff_resolutions.txt").unlink()  # not needed with a spacing
    result = convert(chosen, source, 525)
    assert result.report["counts"] == {"train": 6, "val": 0, "test": 0}
    ids, spacing = read_instances(result.folder / "instancesTr/plant01_04h.tif")
    assert (ids.shape, spacing) == ((5, 24, 24), pytest.approx((0.26, 0.22, 0.22)))
    np.testing.assert_array_equal(ids > 0, IDS[:5] > 1)
    assert tifffile.imread(result.folder / "imagesTr/plant01_04h_0000.tif").shape == (5, 24, 24)
    file = f"plant1/segmentation_tiffs/4hrs_plant1_{CLEANED}.tif"
    assert f"{file}: the last 3 of 8 slices cut off" in texts(result, "resized")
    with pytest.raises(UserError, match="has 8 slices, --drop-slices leaves none"):
        convert(Meristem(drop_slices=8), source, 526, name="None", on_error="stop")
    with pytest.raises(UserError, match="--drop-slices -1 is not possible"):
        Meristem(drop_slices=-1)


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (IDS - 1, r"the outside should have id 1, \d+ voxels of it found"),
        (np.where(IDS == 1, 9, np.where(IDS == 7, 1, IDS)).astype(np.uint16), r"\(--background\): id 9 is"),
        (np.where(IDS == 7, 9, IDS + 1).astype(np.uint16), "id 1, 0 voxels of it found"),
    ],
)
def test_an_outside_of_another_id_is_refused(
    source: Path, raw: Path, labels: np.ndarray, problem: str
) -> None:
    tifffile.imwrite(source / f"plant1/segmentation_tiffs/0hrs_plant1_{CLEANED}.tif", labels)
    with pytest.raises(UserError, match=problem):
        convert(Meristem(), source, 525)


def test_an_outside_that_is_named(source: Path, raw: Path) -> None:
    for file in source.glob("*/segmentation_tiffs/*.tif"):
        tifffile.imwrite(file, IDS - 1)
    result = convert(Meristem(background=0), source, 525)
    assert result.report["instances"] == {"train": 12, "test": 3}
    assert not texts(result, "relabelled")


def test_what_is_wrong_is_listed(source: Path, raw: Path) -> None:
    home = source / "plant1"
    (home / f"segmentation_tiffs/24hrs_plant1_{CLEANED}.tif").unlink()
    (source / "plant15/plant15_tiff_resolutions.txt").unlink()
    with pytest.raises(UserError) as caught:
        convert(Meristem(), source, 525)
    assert f"plant1/segmentation_tiffs/24hrs_plant1_{CLEANED}.tif: missing" in str(caught.value)
    assert "plant15/plant15_tiff_resolutions.txt: missing" in str(caught.value)
    tifffile.imwrite(source / "plant2/segmentation_tiffs/0hrs_plant2_trim-acylYFP_s_2.tif", IDS)
    rows = ROWS.format(plant=13).replace("[4hrs, (0.2196471", "[4hrs, (unknown")
    (source / "plant13/plant13_tiff_resolutions.txt").write_text(rows)
    result = convert(Meristem(), source, 525, on_error="skip")
    assert sorted(result.report["cases"]) == ["plant01_00h"]
    wrong = {case: record["problems"][0] for case, record in result.report["not_converted"].items()}
    assert "0hrs_plant2_trim-acylYFP" in wrong["plant02_00h"]
    assert ": is of the same plant and hour as " in wrong["plant02_00h"]
    assert "plant13_tiff_resolutions.txt: 0 rows hold time, x, y, z" in wrong["plant13_04h"]


def test_a_file_in_the_folder_of_another_plant(source: Path, raw: Path) -> None:
    tifffile.imwrite(source / "plant1/processed_tiffs/8hrs_plant2_trim-acylYFP.tif", IDS)
    with pytest.raises(UserError, match="is named for plant 2 and lies in the folder of plant 1"):
        convert(Meristem(), source, 525)


@pytest.mark.parametrize(
    "row",
    [
        "[4hrs, (0.22, 0.22, 0.26), 1.3]",
        '["4hrs", (0.22, 0.22, 0.26), 1.30],',
        "[4, (0.22, 0.22, 0.26), 1.3]",
        "[plant1/4hrs_plant1_trim-acylYFP.tif, 0.22, 0.22, 0.26, 1.3]",
    ],
)
def test_rows_of_resolutions(tmp_path: Path, row: str) -> None:
    file = tmp_path / "plant1_tiff_resolutions.txt"
    file.write_text(f"\ufefftime, x, y, z, factor\n[44hrs, (0.3, 0.3, 0.3), 1]\n{row}\n")
    assert resolution(file, 4) == pytest.approx((0.2, 0.22, 0.22))
    file.write_text(f"{row}\n{row}\n")
    with pytest.raises(UserError, match=r"resolutions.txt: 2 rows hold .* of 4 h, one is expected"):
        resolution(file, 4)


def test_cells_that_are_cut_off_are_counted(source: Path, raw: Path) -> None:
    deep = IDS.copy()
    deep[6, 20:23, 20:23] = 55
    tifffile.imwrite(source / "plant15/segmentation_tiffs" / f"0hrs_plant15_{CLEANED}.tif", deep)
    result = convert(Meristem(drop_slices=2), source, 525)
    file = f"plant15/segmentation_tiffs/0hrs_plant15_{CLEANED}.tif"
    assert texts(result, "dropped") == [f"{file}: 1 of 4 cells lie in the slices cut off only"]
    assert result.report["cases"]["plant15_00h"]["instances"] == 3
    assert result.report["unused_on_purpose"] == {"the nuclear channel (clv3)": 6, "tracking": 4}
    assert not texts(result, "files of no case")


def test_stacks_that_the_resolutions_name_and_that_are_not_there(source: Path, raw: Path) -> None:
    result = convert(Meristem(), source, 525)
    assert texts(result, "stacks that are named and not there") == [
        "plant13/plant13_tiff_resolutions.txt: 0 h, 24 h",
        "plant15/plant15_tiff_resolutions.txt: 4 h, 24 h",
        "plant2/plant2_tiff_resolutions.txt: 4 h, 24 h",
    ]
