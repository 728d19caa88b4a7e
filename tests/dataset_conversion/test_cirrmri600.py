"""CirrMRI600+ in miniature: parts made per sequence, healthy subjects with the numbers of patients."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nifti_files import BLOB, noise, read_volume, write_volume

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.cirrmri600 import CirrMRI600
from nnunet_ext.dataset_conversion.engine.run import convert

T2 = {"train": (1, 2, 3, 4, 5, 10, 11, 12), "valid": (6, 7), "test": (8, 9)}
T1 = {"train": (1, 2, 3, 4, 8, 10), "valid": (5, 6), "test": (9, 12)}  # 5, 8, 12 are elsewhere in T2


def write_pair(folder: Path, part: str, name: str, mean: float) -> None:
    write_volume(folder / f"{part}_images/{name}.nii.gz", noise(mean), (1.2, 1.2, 4.0))
    write_volume(folder / f"{part}_masks/{name}.nii.gz", BLOB.astype(np.float32), (1.2, 1.2, 4.0))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "CirrMRI600+"
    for folder, parts, mean in (
        (root / "Cirrhosis_T2_3D/Cirrhosis_T2_3D", T2, 200),
        (root / "Cirrhosis_T1_3D", T1, 100),
    ):
        for part, numbers in parts.items():
            for number in numbers:
                write_pair(folder, part, str(number), mean + number)
    for sequence, number in (("T1", 1), ("T2", 1), ("T2", 2)):
        write_pair(root / f"Healthy_subjects/{sequence}_W_Healthy", sequence, str(number), 900)
    write_pair(root / "Cirrhosis_T2_2D/Cirrhosis_T2_2D", "train", "1_17", 50)
    (root / "Cirrhosis_T2_3D/Cirrhosis_T2_3D/train_images/._1.nii.gz").write_bytes(b"no image")
    (root / "Metadata").mkdir()
    (root / "Metadata/healthy.csv").write_text("Patient ID,Sex\n1,2\n", encoding="utf-8-sig")
    return root


def split_of(folder: Path) -> list[dict[str, list[str]]]:
    return json.loads((folder / "splits_final.json").read_text())


def test_official_parts(source: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(CirrMRI600(), source, 522)
    assert result.report["counts"] == {"train": 8, "val": 2, "test": 2}
    (fold,) = split_of(result.folder)
    assert fold["val"] == ["T2_6", "T2_7"]
    assert fold["train"] == sorted(f"T2_{number}" for number in T2["train"])
    np.testing.assert_array_equal(read_volume(result.folder / "imagesTs/T2_8_0000.nii.gz"), noise(208))
    np.testing.assert_array_equal(read_volume(result.folder / "labelsTs/T2_8.nii.gz"), BLOB)
    partial = [note["text"] for note in result.report["notes"] if note["kind"] == "partial dataset"]
    assert partial[0] == "train: 8 cases found, 256 in the complete dataset"
    assert json.loads((result.folder / "dataset.json").read_text())["channel_names"] == {"0": "T2w"}
    plans = accept(result.folder)
    assert plans["configurations"]["3d_fullres"]["spacing"] == pytest.approx([4.0, 1.2, 1.2])


def test_the_other_sequence(source: Path, raw: Path) -> None:
    result = convert(CirrMRI600(sequence="T1", healthy="test"), source.parent, 522)
    assert result.report["counts"] == {"train": 6, "val": 2, "test": 3}
    np.testing.assert_array_equal(read_volume(result.folder / "imagesTr/T1_1_0000.nii.gz"), noise(101))
    np.testing.assert_array_equal(
        read_volume(result.folder / "imagesTs/healthy_T1_1_0000.nii.gz"), noise(900)
    )
    partial = [note["text"] for note in result.report["notes"] if note["kind"] == "partial dataset"]
    assert partial[-1] == "test: 3 cases found, 86 in the complete dataset"


@pytest.mark.parametrize("split", ["official", "paper", "folds"])
def test_both_sequences_would_leak(source: Path, raw: Path, split: str) -> None:
    with pytest.raises(UserError, match=r"patients are in several parts.*: .*8.*--split patients"):
        convert(CirrMRI600(sequence="both", split=split), source, 522)
    assert not raw.exists()


def test_both_sequences_by_patient(source: Path, raw: Path) -> None:
    converter = CirrMRI600(sequence="both", split="patients", healthy="train")
    cases = converter.find_cases(converter.locate(source))
    assert len(cases) == 12 + 10 + 3
    parts: dict[str, set[str]] = {}
    for case in cases:
        parts.setdefault(case.id.replace("T1_", "").replace("T2_", ""), set()).add(case.part)
    assert all(len(found) == 1 for found in parts.values()), parts
    assert parts["healthy_1"] == parts["healthy_2"] == {"train"}
    assert {part for found in parts.values() for part in found} == {"train", "val", "test"}
    other = CirrMRI600(sequence="both", split="patients", healthy="train", seed=1)
    assert [case.part for case in other.find_cases(source)] != [case.part for case in cases]
    assert other.describe().official_counts == {"train": 504 + 110, "val": 62, "test": 62}
    assert other.describe().channel_names == ("MRI",)


def test_split_of_the_paper(source: Path, raw: Path) -> None:
    result = convert(CirrMRI600(split="paper"), source, 522)
    (fold,) = split_of(result.folder)
    assert (len(fold["train"]), len(fold["val"])) == (6, 2)
    assert {*fold["train"], *fold["val"]} == {f"T2_{number}" for number in T2["train"]}
    why = "of the validation folder, not used with --split paper"
    assert list(result.report["left_out"].values()) == [why, why]
    assert CirrMRI600(split="paper", sequence="T1").describe().official_counts == {
        "train": 198,
        "val": 50,
        "test": 31,
    }


def test_folds(source: Path, raw: Path) -> None:
    converter = CirrMRI600(split="folds")
    cases = converter.find_cases(source)
    assert converter.splits(cases) is None  # ten patients: nnU-Net's own
    assert [case.id for case in cases if case.part == "test"] == ["T2_8", "T2_9"]
    assert converter.describe().official_counts == {"train": 287, "test": 31}


def test_what_is_wrong_is_named(source: Path, raw: Path) -> None:
    folder = source / "Cirrhosis_T2_3D/Cirrhosis_T2_3D"
    (folder / "train_masks/1.nii.gz").unlink()
    (folder / "test_images/9.nii.gz").unlink()
    write_volume(folder / "valid_masks/6.nii.gz", BLOB * 2, (1.2, 1.2, 4.0))
    write_volume(folder / "train_masks/5.nii.gz", BLOB, (1.2, 1.2, 5.0))
    with pytest.raises(UserError) as caught:
        convert(CirrMRI600(), source, 522)
    text = str(caught.value)
    for words in (
        "train_masks/1.nii.gz: missing",
        "test_images/9.nii.gz: missing",
        "valid_masks/6.nii.gz: label values [2] are not among [0, 1]",
        "train_masks/5.nii.gz: does not lie on the voxels of",
    ):
        assert words in text
    result = convert(CirrMRI600(), source, 522, on_error="skip")
    assert result.report["counts"] == {"train": 6, "val": 1, "test": 1}
    with pytest.raises(UserError, match=r"no folder in it, down to 2 levels, holds Cirrhosis_T1_3D"):
        convert(CirrMRI600(sequence="T1"), folder, 523)
