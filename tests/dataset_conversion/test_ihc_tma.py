"""IHC_TMA in miniature: pictures in png, maps in npy whose ids start anew in each channel."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from reports import notes

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.ihc_tma import IhcTma
from nnunet_ext.images.instance_files import read_instances

SHAPE = (32, 32)
NEGATIVE, POSITIVE = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.int32)
NEGATIVE[4:12, 4:12], NEGATIVE[20:28, 4:12] = 1, 2
POSITIVE[4:12, 12:20] = 1  # next to the negative nucleus of the same id
MERGED = NEGATIVE + 3 * POSITIVE
NAMES = [*(f"fold1_{number}_CDK4" for number in range(6)), "fold2_12_D2-40", "fold3_7_CD3"]


def maps(dtype: str = "int32") -> np.ndarray:
    return np.stack([NEGATIVE, POSITIVE, MERGED == 0]).astype(dtype)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "IHC_TMA_dataset" / "IHC_TMA_dataset"
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number, name in enumerate(NAMES):
        PIL.Image.fromarray(rng.integers(0, 256, (*SHAPE, 3), np.uint8)).save(root / "images" / f"{name}.png")
        np.save(root / "masks" / f"{name}.npy", maps("float64" if number == 1 else "int32"))
    (root / "images/.DS_Store").write_bytes(b"no image")
    return root


def test_official_split_and_offset_ids(source: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(IhcTma(), source.parent, 522)
    assert result.folder == raw / "Dataset522_IHC_TMA"
    assert result.report["counts"] == {"train": 6, "val": 1, "test": 1}
    (fold,) = json.loads((result.folder / "splits_final.json").read_text())
    assert fold == {"train": NAMES[:6], "val": ["fold2_12_D2-40"]}
    for path in ("Tr/fold1_0_CDK4", "Tr/fold1_1_CDK4", "Ts/fold3_7_CD3"):
        ids, _ = read_instances(result.folder / f"instances{path}.tif")
        np.testing.assert_array_equal(ids, MERGED)
    label = np.asarray(PIL.Image.open(result.folder / "labelsTr/fold1_0_CDK4.png"))
    assert label[8, [5, 11, 12, 18, 24]].tolist() == [1, 2, 2, 1, 0]
    image = (source / "images/fold1_0_CDK4.png", result.folder / "imagesTr/fold1_0_CDK4_0000.png")
    np.testing.assert_array_equal(*(np.asarray(PIL.Image.open(file)) for file in image))
    assert notes(result.report, "partial dataset")[0] == "train: 6 cases found, 195 in the complete dataset"
    accept(result.folder)


def test_staining_as_classes(source: Path, raw: Path) -> None:
    result = convert(IhcTma(target="staining"), source, 522)
    label = np.asarray(PIL.Image.open(result.folder / "labelsTr/fold1_1_CDK4.png"))
    np.testing.assert_array_equal(label, (NEGATIVE > 0) + 2 * (POSITIVE > 0))
    dataset = json.loads((result.folder / "dataset.json").read_text())
    assert dataset["labels"] == {"background": 0, "negative": 1, "positive": 2}
    np.testing.assert_array_equal(read_instances(result.folder / "instancesTr/fold1_1_CDK4.tif")[0], MERGED)
    with pytest.raises(UserError, match="--target staining makes the kinds the classes"):
        IhcTma(target="staining", classes=3)


def test_other_splits(source: Path) -> None:
    split = IhcTma(split="paper").find_cases(source)
    assert sorted(case.part for case in split) == ["test", *["train"] * 6, "val"]
    assert [case.part for case in split] != [
        case.part for case in IhcTma(split="paper", seed=1).find_cases(source)
    ]
    assert {case.part for case in IhcTma(split="folds").find_cases(source)} == {"train"}


def test_a_split_of_ones_own(source: Path, raw: Path, tmp_path: Path) -> None:
    own = tmp_path / "split.json"
    own.write_text(json.dumps({"train": NAMES[6:], "val": NAMES[:1], "test": NAMES[1:2]}))
    result = convert(IhcTma(split_file=own), source, 522)
    assert result.report["counts"] == {"train": 2, "val": 1, "test": 1}
    assert [path.stem for path in (result.folder / "labelsTs").iterdir()] == NAMES[1:2]
    assert len(result.report["left_out"]) == 4
    assert not notes(result.report, "partial dataset")
    with pytest.raises(UserError, match="--split paper contradicts it"):
        IhcTma(split="paper", split_file=own)


def test_overlaps_and_background_are_noted(source: Path, raw: Path) -> None:
    odd = maps()
    odd[1, 4:6, 4:12] = 1  # 16 pixels of both kinds
    odd[2, 4:6, 4:8] = 1  # 8 pixels that are background and nucleus
    np.save(source / "masks/fold1_0_CDK4.npy", odd)
    result = convert(IhcTma(), source, 522)
    file = "masks/fold1_0_CDK4.npy"
    assert notes(result.report, "overlapping objects") == [f"{file}: 16 pixels, given to the negative one"]
    assert notes(result.report, "background map that is not the rest") == [
        f"{file}: 8 pixels; the nuclei count"
    ]
    ids, _ = read_instances(result.folder / "instancesTr/fold1_0_CDK4.tif")
    np.testing.assert_array_equal(ids, MERGED)


def test_what_is_wrong_is_listed(source: Path, raw: Path) -> None:
    np.save(source / "masks/fold1_0_CDK4.npy", maps().transpose(1, 2, 0))
    np.save(source / "masks/fold1_1_CDK4.npy", maps("float32") / 2)
    (source / "masks/fold1_2_CDK4.npy").write_bytes((source / "masks/fold1_3_CDK4.npy").read_bytes()[:1000])
    (source / "images/fold1_3_CDK4.png").unlink()
    with pytest.raises(UserError) as caught:
        convert(IhcTma(), source, 522)
    for problem in (
        "fold1_0_CDK4.npy: is 32x32x3, but 3 or more maps of 32x32 are expected, as ",
        "fold1_2_CDK4.npy: the file is cut off: its header promises 3 x 32 x 32 voxels",
        "fold1_3_CDK4.png: missing",
    ):
        assert problem in str(caught.value)
    result = convert(IhcTma(split="folds"), source, 522, on_error="skip")
    assert sorted(result.report["cases"]) == NAMES[4:]
    assert "fold1_1_CDK4.npy: holds 0.5, but" in result.report["not_converted"]["fold1_1_CDK4"]["problems"][0]


def test_nuclei_that_vanish_are_counted(source: Path, raw: Path) -> None:
    odd = np.stack([NEGATIVE, POSITIVE, np.zeros(SHAPE, np.int32), MERGED == 0]).astype(np.int32)
    odd[1, 22:26, 6:10] = 2  # within the second negative nucleus
    odd[2, 0:2, 0:2] = 5  # a map that nobody reads
    np.save(source / "masks/fold1_0_CDK4.npy", odd)
    report = convert(IhcTma(), source, 522).report
    file = "masks/fold1_0_CDK4.npy"
    assert notes(report, "dropped") == [
        f"{file}: 1 positive nuclei all of whose pixels are negative ones too",
        f"{file}: 1 numbers in maps between the positive nuclei and the background, not read",
    ]
    assert report["cases"]["fold1_0_CDK4"]["instances"] == 3
