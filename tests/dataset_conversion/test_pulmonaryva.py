"""PulmonaryVA, converted from trees such as its archive may have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.pulmonaryva.converter import PulmonaryVA

SHAPE = (12, 24, 20)  # z, y, x
WHERE = {"images": "images/{case}_ct.nii.gz", "labels": "labels/{case}_*.nii.gz"}
SPACING = (0.6, 0.7, 1.0)  # x, y, z
VALUES = {"artery": (2,), "vein": (4,), "background": (0, 7)}


def lung_vessels(left: bool = True, right: bool = True) -> np.ndarray:
    """2 artery, 4 vein, 7 the rest of the lung; left are the lower indices of x."""
    labels = np.zeros(SHAPE, np.uint8)
    for is_there, start in ((left, 1), (right, 11)):
        if is_there:
            labels[1:11, 2:22, start : start + 8] = 7
            labels[2:10, 5:7, start + 1 : start + 7] = 2
            labels[2:10, 12:14, start + 1 : start + 7] = 4
    return labels


def save_case(
    root: Path, name: str, labels: np.ndarray, drawn: np.ndarray | None = None, x: float = 5.0
) -> None:
    """A CT in which `drawn` shows the vessels (both lungs), and the labels beside it."""
    both = lung_vessels() if drawn is None else drawn
    noise = np.random.default_rng(0).normal(-800, 20, SHAPE)
    image = (noise + 700 * np.isin(both, (2, 4))).astype(np.int16)
    for folder, file, pixels in (("images", f"{name}_ct", image), ("labels", f"{name}_seg", labels)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        volume = sitk.GetImageFromArray(pixels)
        volume.SetSpacing(SPACING)
        volume.SetOrigin((x if folder == "labels" else 5.0, -3.0, 40.0))
        sitk.WriteImage(volume, str(root / folder / f"{file}.nii.gz"))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Five patients: both lungs labelled in 3 of them, a few voxels of the other lung in one."""
    root = tmp_path / "PulmonaryVA"
    for number, (left, right) in enumerate(((1, 1), (1, 1), (1, 1), (1, 0), (0, 1)), start=1):
        labels = lung_vessels(bool(left), bool(right))
        if number == 4:
            labels[2, 5, 15] = 2
        save_case(root, f"P{number:02d}", labels)
    (root / "images/.DS_Store").write_bytes(b"no image")
    return root


def read(path: Path) -> sitk.Image:
    return sitk.ReadImage(str(path))


def expected(labels: np.ndarray) -> np.ndarray:
    return np.choose(labels, [0, 9, 1, 9, 2, 9, 9, 0])


def test_an_unlabelled_lung_is_not_background(scans: Path, raw: Path) -> None:
    with pytest.raises(UserError) as caught:
        convert(PulmonaryVA(**WHERE, **VALUES), scans, 506)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("2 cases in ")
    for line, file in zip(lines[1:3], ("P04_seg", "P05_seg"), strict=True):
        assert f"labels/{file}.nii.gz: all vessels, or nearly, lie in one half" in line
    kept = convert(PulmonaryVA(**WHERE, **VALUES, lungs="keep"), scans, 507, "Kept")
    label = read(kept.folder / "labelsTr/P05.nii.gz")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(label), expected(lung_vessels(left=False)))
    loose = convert(PulmonaryVA(**WHERE, **VALUES, share=0.001), scans, 508, "Loose", on_error="skip")
    assert list(loose.report["not_converted"]) == ["P05"]


def test_ignoring_it(scans: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(PulmonaryVA(**WHERE, **VALUES, lungs="ignore"), scans, 506)
    assert result.folder == raw / "Dataset506_PulmonaryVA"
    label = read(result.folder / "labelsTr/P05.nii.gz")
    assert label.GetSpacing() == pytest.approx(SPACING)
    hidden = expected(lung_vessels(left=False))
    hidden[..., :10] = 3
    np.testing.assert_array_equal(sitk.GetArrayFromImage(label), hidden)
    fourth = sitk.GetArrayFromImage(read(result.folder / "labelsTr/P04.nii.gz"))
    assert fourth[2, 5, 15] == 1
    assert (np.delete(fourth[..., 10:].ravel(), np.flatnonzero(fourth[..., 10:].ravel() == 1)) == 3).all()
    dataset = json.loads((result.folder / "dataset.json").read_text())
    assert dataset["channel_names"] == {"0": "CT"}
    assert dataset["labels"] == {"background": 0, "artery": 1, "vein": 2, "ignore": 3}
    assert result.report["altered"] == {"relabelled": 5}
    notes = [note["text"] for note in result.report["notes"] if note["kind"] == "half without labels"]
    assert notes == [f"labels/P0{i}_seg.nii.gz: its background is ignored" for i in (4, 5)]
    assert accept(result.folder)["configurations"]["3d_fullres"]["spacing"] == pytest.approx([1.0, 0.7, 0.6])


def test_cutting_it_off(scans: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(PulmonaryVA(**WHERE, **VALUES, lungs="cut"), scans, 506)
    halves = [f"P0{i}_half{half}" for i in (1, 2, 3) for half in (1, 2)] + ["P04_half1", "P05_half2"]
    assert sorted(result.report["cases"]) == halves
    labels, image = (
        read(result.folder / f"{path}.nii.gz") for path in ("labelsTr/P05_half2", "imagesTr/P05_half2_0000")
    )
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(labels), expected(lung_vessels(left=False))[..., 10:]
    )
    assert image.GetOrigin() == pytest.approx((5 + 10 * 0.6, -3.0, 40.0))
    assert labels.GetOrigin() == pytest.approx(image.GetOrigin())
    whole = sitk.GetArrayFromImage(read(scans / "images/P05_ct.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), whole[..., 10:])
    assert result.report["altered"] == {"relabelled": 8, "resized": 8}
    folds = json.loads((result.folder / "splits_final.json").read_text())
    assert [{case[:3] for case in fold["val"]} for fold in folds] == [{f"P0{i}"} for i in range(1, 6)]
    texts = [note["text"] for note in result.report["notes"]]
    assert "labels/P05_seg.nii.gz: P05_half1 is left out" in texts
    accept(result.folder)


def test_halves_that_are_already_cut_share_a_fold(scans: Path, raw: Path) -> None:
    for side in ("left", "R"):
        save_case(scans, f"P01_{side}", lung_vessels())
    for file in scans.glob("*/P0[45]_*"):
        file.unlink()
    options = {**WHERE, **VALUES}
    cases = convert(PulmonaryVA(**options), scans, 1, "Sides").report["cases"]
    assert {case: record["group"] for case, record in cases.items()} == {
        **dict.fromkeys(("P01", "P01_R", "P01_left"), "P01"),
        **{"P02": "P02", "P03": "P03"},
    }
    own = convert(PulmonaryVA(**options, patient="(P)0.*"), scans, 2, "Own").report["cases"]
    assert {record["group"] for record in own.values()} == {"P"}
    for patient, message in (("P0", "has no group"), ("(P0", "is no regular expression")):
        with pytest.raises(UserError, match=rf"--patient '.*' {message}"):
            convert(PulmonaryVA(**options, patient=patient), scans, 3, "Wrong")


def test_other_formats_need_a_spacing(tmp_path: Path, raw: Path) -> None:
    for number in range(1, 6):
        folder = tmp_path / f"data/{number:03d}"
        folder.mkdir(parents=True)
        labels = lung_vessels()
        tifffile.imwrite(folder / "ct.tif", (1000 * np.isin(labels, (2, 4)) - 500).astype(np.int16))
        tifffile.imwrite(folder / "seg.tif", labels)
    options = {"images": "{case}/ct.tif", "labels": "{case}/seg.tif", **VALUES}
    with pytest.raises(UserError, match=r"001/ct.tif: its voxel size in mm is not known"):
        convert(PulmonaryVA(**options), tmp_path / "data", 1)
    result = convert(PulmonaryVA(**options, spacing=(0.5, 0.3, 0.25)), tmp_path / "data", 2, "Given")
    label = read(result.folder / "labelsTr/003.nii.gz")
    assert label.GetSpacing() == pytest.approx((0.25, 0.3, 0.5))


def test_what_is_wrong_is_listed_by_file(scans: Path, raw: Path) -> None:
    save_case(scans, "P01", lung_vessels()[:, ::-1], drawn=np.roll(lung_vessels(), 3, axis=1))
    save_case(scans, "P02", lung_vessels(), x=6.0)
    save_case(scans, "P03", np.where(lung_vessels() == 7, 5, lung_vessels()))
    (scans / "labels/P04_seg.nii.gz").unlink()
    (scans / "images/P05_ct.nii.gz").unlink()
    with pytest.raises(UserError) as caught:
        convert(PulmonaryVA(**WHERE, **VALUES), scans, 506)
    for text in (
        "labels/P01_seg.nii.gz: what is labelled is not brighter than what is around it",
        "labels/P02_seg.nii.gz: does not lie on the voxels of images/P02_ct.nii.gz: origin 6",
        "labels/P03_seg.nii.gz: label values [5] are not among [0, 2, 4, 7]; see --artery, --vein",
        "labels/P04_*.nii.gz: missing",
        "images/P05_ct.nii.gz: missing",
    ):
        assert text in str(caught.value)
    taken = convert(PulmonaryVA(**WHERE, **VALUES, overlay="keep"), scans, 507, "Taken", on_error="skip")
    assert list(taken.report["cases"]) == ["P01"]


def test_where_files_lie_must_be_said(scans: Path, raw: Path) -> None:
    with pytest.raises(UserError, match=r"--images says where files lie below -i.*nothing is given"):
        convert(PulmonaryVA(), scans, 506)
    with pytest.raises(UserError, match=r"--labels says .*'labels/1.nii.gz' has no {case}"):
        convert(PulmonaryVA(images=WHERE["images"], labels="labels/1.nii.gz"), scans, 506)
    with pytest.raises(UserError, match=r"with \* beside {case} a name could be cut anywhere"):
        convert(PulmonaryVA(images=WHERE["images"], labels="labels/{case}*.nii.gz"), scans, 506)
    (scans / "labels/P01_old.nii.gz").write_bytes(b"another version")
    with pytest.raises(UserError, match=r"--labels fits several files of one case:\n.*P01_old.*, .*P01_seg"):
        convert(PulmonaryVA(**WHERE), scans, 506)


def test_wrong_options() -> None:
    with pytest.raises(UserError, match="one of --artery, --vein and --background only"):
        PulmonaryVA(artery=(1, 2))
    with pytest.raises(UserError, match="--spacing takes three numbers"):
        PulmonaryVA(spacing=(1.0,))
    with pytest.raises(UserError, match=r"--share 0.7 is not possible"):
        PulmonaryVA(share=0.7)


def test_vessels_in_a_half_that_is_left_out_are_counted(scans: Path, raw: Path) -> None:
    converter = PulmonaryVA(**WHERE, **VALUES, lungs="cut")
    texts = [note.text for note in converter.survey(converter.find_cases(scans)).notes]
    file = scans / "labels/P04_seg.nii.gz"
    assert f"{file}: P04_half2 is left out, with 1 voxel of vessels (--share 0.1)" in texts
