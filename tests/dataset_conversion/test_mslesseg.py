"""MSLesSeg in miniature: time points and modalities of the same names, a folder nested twice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nifti_files import BLOB, cut, noise, read_volume, write_volume

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.mslesseg import MSLesSeg

SCANS = {"P1": 2, "P2": 1, "P3": 4, "P10": 1, "P11": 2}  # patient -> time points
MEANS = {"T1": 100, "T2": 300, "FLAIR": 500}


def write_scan(folder: Path, scan: str) -> None:
    for word, mean in MEANS.items():
        write_volume(folder / f"{scan}_{word}.nii.gz", noise(mean))
    write_volume(folder / f"{scan}_MASK.nii.gz", BLOB)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    outer = tmp_path / "MSLesSeg Dataset"
    root = outer / "MSLesSeg Dataset"
    for patient, points in SCANS.items():
        for point in range(1, points + 1):
            write_scan(root / "train" / patient / f"T{point}", f"{patient}_T{point}")
    write_scan(root / "test/P54", "P54")
    (root / "test/P54/.DS_Store").write_bytes(b"no image")
    (root / "info_dataset").mkdir()
    (root / "info_dataset/clinical_data.csv").write_text("Patient;EDSS\nP1;1,5\n", encoding="utf-8-sig")
    return outer


def test_time_points_are_not_modalities(source: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(MSLesSeg(), source, 523)
    report = result.report
    scans = [f"{patient}_T{point + 1}" for patient, points in SCANS.items() for point in range(points)]
    assert sorted(report["cases"]) == sorted([*scans, "P54"])
    assert report["cases"]["P54"]["part"] == "test"
    for number, mean in enumerate(MEANS.values()):
        for place in ("imagesTr/P1_T2", "imagesTr/P3_T1", "imagesTs/P54"):
            np.testing.assert_array_equal(
                read_volume(result.folder / f"{place}_000{number}.nii.gz"), noise(mean)
            )
    for place in ("labelsTr/P3_T4", "labelsTs/P54"):
        np.testing.assert_array_equal(read_volume(result.folder / f"{place}.nii.gz"), BLOB)
    channels = json.loads((result.folder / "dataset.json").read_text())["channel_names"]
    assert list(channels.values()) == ["T1w", "T2w", "FLAIR"]
    assert report["unused_files"] == []
    accept(result.folder)


def test_patients_are_not_divided(source: Path, raw: Path) -> None:
    def splits(dataset_id: int, **options: object) -> list[dict[str, list[str]]]:
        folder = convert(MSLesSeg(**options), source, dataset_id, f"S{dataset_id}").folder
        return json.loads((folder / "splits_final.json").read_text())

    (paper,) = splits(1)
    assert len(paper["val"]) == 2  # 19 of 93, of ten
    assert splits(2) == [paper]
    assert [paper] != splits(3, seed=1)
    folds = splits(4, split="folds")
    assert [len(fold["val"]) for fold in folds] == [4, 2, 2, 1, 1]
    for fold in (paper, *folds):
        patients = [{scan.partition("_")[0] for scan in fold[part]} for part in ("train", "val")]
        assert not patients[0] & patients[1]
        assert len(fold["train"]) + len(fold["val"]) == 10


def test_what_is_wrong_is_named(source: Path, raw: Path) -> None:
    train = source / "MSLesSeg Dataset/train"
    (train / "P1/T1/P1_T1_T1.nii.gz").unlink()
    (train / "P2/T1/P2_T1_MASK.nii.gz").unlink()
    cut(train / "P3/T2/P3_T2_FLAIR.nii.gz")
    write_volume(train / "P10/T1/P10_T1_T2.nii.gz", noise(shape=(12, 24, 21)))
    with pytest.raises(UserError) as caught:
        convert(MSLesSeg(split="folds"), source, 523)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("4 cases in ")
    words = [
        "P10_T1_T2.nii.gz: does not lie on the voxels of .*P10_T1_T1.nii.gz: 12 x 24 x 21 voxels against",
        "P1/T1/P1_T1_T1.nii.gz: missing",
        "P2/T1/P2_T1_MASK.nii.gz: missing",
        "P3_T2_FLAIR.nii.gz: the file is damaged or cut off",
    ]
    for line, word in zip(lines[1:], words, strict=False):
        assert re.search(word, line), line
    result = convert(MSLesSeg(split="folds"), source, 523, on_error="skip")
    assert result.report["counts"] == {"train": 6, "val": 0, "test": 1}


def test_archive_without_masks(tmp_path: Path, raw: Path) -> None:
    """MSLesSeg_RAW.zip has none."""
    for part in ("train/P1/T1/P1_T1", "test/P54/P54"):
        for word in MEANS:
            write_volume(tmp_path / "raw" / f"{part}_{word}.nii.gz", noise())
    with pytest.raises(UserError, match=r"train/P1/T1/P1_T1_MASK\.nii\.gz: missing"):
        convert(MSLesSeg(), tmp_path / "raw", 523)
