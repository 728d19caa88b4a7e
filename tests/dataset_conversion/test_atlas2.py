"""ATLAS v2.0 in miniature, in the three forms in which it is passed on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nifti_files import BLOB, noise, read_volume, set_slope, write_volume

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.atlas2 import Atlas2
from nnunet_ext.dataset_conversion.engine.run import convert

SPACE = "space-MNI152NLin2009aSym"
TRAIN = [("R001", "001", 1), ("R001", "001", 2), ("R001", "002", 1), ("R002", "003", 1), ("R002", "004", 1)]
TRAIN += [("R003", "005", 1), ("R003", "006", 1)]


def stem(cohort: str, number: str, session: int = 1) -> str:
    return f"sub-{cohort.lower()}s{number}_ses-{session}"


def write_case(folder: Path, cohort: str, number: str, session: int = 1, mask: bool = True) -> None:
    name = stem(cohort, number, session)
    anat = folder / name.partition("_")[0] / f"ses-{session}/anat"
    write_volume(anat / f"{name}_{SPACE}_T1w.nii.gz", noise(int(number) * 10))
    if mask:
        write_volume(anat / f"{name}_{SPACE}_label-L_desc-T1lesion_mask.nii.gz", BLOB.astype(np.float64))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The release: cohorts with json and hidden files; one subject has two sessions."""
    root = tmp_path / "ATLAS_2"
    for cohort, number, session in TRAIN:
        write_case(root / "Training" / cohort, cohort, number, session)
        (root / "Training" / cohort / "dataset_description.json").write_text("{}")
        (root / "Training" / cohort / ".bidsignore").write_text("*")
    write_case(root / "Testing/R044", "R044", "001", mask=False)
    hidden = root / "Training/R001/sub-r001s002/ses-1/anat" / f"._{stem('R001', '002')}_{SPACE}_T1w.nii.gz"
    hidden.write_bytes(b"no image")
    (root / "20211112_ATLAS_2.0_SupplementaryInfo.csv").write_text("")
    write_volume(root / "MNI152NLin2009aSym.nii.gz", noise())
    return root


def test_release(source: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(Atlas2(), source.parent, 520)
    report = result.report
    assert report["counts"] == {"train": 7, "val": 0, "test": 1}
    assert sorted(report["cases"]) == [*(stem(*case) for case in TRAIN), "sub-r044s001_ses-1"]
    assert report["cases"]["sub-r001s001_ses-2"]["group"] == "sub-r001s001"
    assert report["cases"]["sub-r001s002_ses-1"]["group"] is None
    assert report["altered"] == {}
    assert not (result.folder / "labelsTs/sub-r044s001_ses-1.nii.gz").exists()
    for case in ("sub-r001s001_ses-1", "sub-r003s006_ses-1"):
        label = sitk.ReadImage(str(result.folder / f"labelsTr/{case}.nii.gz"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(label), BLOB)
        assert label.GetPixelID() == sitk.sitkUInt8
        assert label.GetOrigin() == pytest.approx((3.0, -4.0, 7.5))
    np.testing.assert_array_equal(
        read_volume(result.folder / "imagesTr/sub-r002s004_ses-1_0000.nii.gz"), noise(40)
    )
    folds = json.loads((result.folder / "splits_final.json").read_text())
    both = {"sub-r001s001_ses-1", "sub-r001s001_ses-2"}
    assert [len(both & set(fold["val"])) for fold in folds].count(2) == 1
    assert {len(both & set(fold["val"])) for fold in folds} == {0, 2}
    partial = [note["text"] for note in report["notes"] if note["kind"] == "partial dataset"]
    assert partial[0] == "train: 7 cases found, 655 in the complete dataset"
    assert json.loads((result.folder / "dataset.json").read_text())["channel_names"] == {"0": "T1w"}
    accept(result.folder)


def test_challenge_form(tmp_path: Path, raw: Path) -> None:
    for number in range(1, 7):
        write_case(tmp_path / "isles/train/derivatives/ATLAS", "R009", f"{number:03d}")
    write_case(tmp_path / "isles/test/derivatives/ATLAS", "R038", "001", mask=False)
    result = convert(Atlas2(), tmp_path / "isles", 520)
    assert result.report["counts"] == {"train": 6, "val": 0, "test": 1}
    assert not (result.folder / "splits_final.json").exists()  # one session each: nnU-Net's own folds


def test_flat_mirror(tmp_path: Path, raw: Path) -> None:
    for number in range(1, 6):
        name = f"sub-r001s{number:03d}"
        write_volume(tmp_path / f"mirror/images/{name}_T1w.nii.gz", noise())
        write_volume(tmp_path / f"mirror/masks/{name}_lesion_mask.nii.gz", BLOB)
    (tmp_path / "mirror/images/sub-r001s005_T1w.nii.gz").unlink()
    with pytest.raises(UserError, match=r"  images/sub-r001s005_T1w\.nii\.gz: missing"):
        convert(Atlas2(), tmp_path / "mirror", 520)
    result = convert(Atlas2(), tmp_path / "mirror", 520, on_error="skip")
    assert sorted(result.report["cases"]) == [f"sub-r001s00{number}" for number in range(1, 5)]


def test_what_is_wrong_is_named(source: Path, raw: Path) -> None:
    def mask(cohort: str, number: str) -> Path:
        name = stem(cohort, number)
        folder = source / f"Training/{cohort}/{name[:12]}/ses-1/anat"
        return folder / f"{name}_{SPACE}_label-L_desc-T1lesion_mask.nii.gz"

    mask("R001", "002").unlink()
    write_volume(mask("R002", "003"), BLOB, origin=(3.0, -4.0, 8.5))
    write_volume(mask("R003", "005"), BLOB * 3)
    set_slope(mask("R003", "006"), 0.5)
    with pytest.raises(UserError) as caught:
        convert(Atlas2(), source, 520)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("4 cases in ")
    assert lines[1].endswith(
        "sub-r001s002_ses-1_space-MNI152NLin2009aSym_label-L_desc-T1lesion_mask.nii.gz: missing"
    )
    assert (
        "sub-r002s003_ses-1_space-MNI152NLin2009aSym_label-L_desc-T1lesion_mask.nii.gz: does not lie on"
        in lines[2]
    )
    assert "origin 3 x -4 x 8.5 against 3 x -4 x 7.5" in lines[2]
    assert lines[3].endswith("lesion_mask.nii.gz: label values [3] are not among [0, 1]")
    assert lines[4].endswith("lesion_mask.nii.gz: holds 0.5, but labels are whole numbers")
    result = convert(Atlas2(), source, 520, on_error="skip")
    assert result.report["counts"]["train"] == 3
    assert len(result.report["not_converted"]) == 4
