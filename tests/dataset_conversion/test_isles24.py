"""ISLES'24 in miniature: BIDS names, labels scaled by 1/65535, oblique axes, another format, a cut map."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nifti_files import BLOB, LAS, cut, noise, read_volume, set_slope, write_volume

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.isles24 import Isles24

LPS = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
MEANS = {"ncct": 40, "cta": 90, "cbf": 20, "cbv": 4, "mtt": 6, "tmax": 5, "adc": 1000, "dwi": 100}
NUMBERS = (1, 2, 43, 142, 158)


def file(root: Path, number: int, word: str, space: str = "space-ncct_") -> Path:
    name, session = f"sub-stroke{number:04d}", 2 if word in ("adc", "dwi", "lesion-msk") else 1
    folder = root / ("raw_data" if word == "ncct" else "derivatives") / name / f"ses-{session:02d}"
    if word in ("cbf", "cbv", "mtt", "tmax"):
        folder /= "perfusion-maps"
    return folder / f"{name}_ses-{session:02d}_{'' if word == 'ncct' else space}{word}.nii.gz"


def write_case(
    root: Path, number: int, direction: tuple[float, ...] = LAS, space: str = "space-ncct_"
) -> None:
    for word, mean in MEANS.items():
        write_volume(file(root, number, word), noise(mean), (0.4, 0.5, 2.0), direction)
    label = file(root, number, "lesion-msk", space)
    if number == 2:  # saved again, in double precision, what the scaled integers are
        write_volume(label, BLOB * 0.99999999977, (0.4, 0.5, 2.0), direction)
    else:
        write_volume(label, BLOB.astype(np.uint16) * 65535, (0.4, 0.5, 2.0), direction)
        set_slope(label, 1 / 65535)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "train"
    for number, direction in zip(NUMBERS, (LAS, LAS, LPS, LAS, OBLIQUE), strict=True):
        write_case(root, number, direction, space="" if number == 2 else "space-ncct_")
    cut(file(root, 43, "cbf"))
    uncompressed = file(root, 142, "lesion-msk").with_name("sub-stroke0142_ses-02_lesion-msk.nii")
    write_volume(uncompressed, np.ones((4, 5, 6), np.uint8))
    for word in ("lvo-msk", "cow-msk"):
        write_volume(file(root, 1, word), BLOB * 7)
    write_volume(
        root / "raw_data/sub-stroke0001/ses-02/sub-stroke0001_ses-02_dwi.nii.gz", noise(7, (4, 5, 6))
    )
    (root / "clinical_data-description.xlsx").write_bytes(b"")
    return root


def test_labels_of_almost_one(source: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(Isles24(), source, 521)
    report, names = result.report, [f"sub-stroke{number:04d}" for number in NUMBERS]
    assert sorted(report["cases"]) == names
    assert report["altered"] == {"rounded": 1}
    for name in names:
        label = read_volume(result.folder / f"labelsTr/{name}.nii.gz")
        assert label.dtype == np.uint8
        np.testing.assert_array_equal(label, BLOB)
        for number, mean in enumerate((1000, 100)):
            image = read_volume(result.folder / f"imagesTr/{name}_000{number}.nii.gz")
            np.testing.assert_array_equal(image, noise(mean))
    assert "derivatives/sub-stroke0142/ses-02/sub-stroke0142_ses-02_lesion-msk.nii" in report["unused_files"]
    assert not (result.folder / "splits_final.json").exists()
    accept(result.folder)


def test_channels(source: Path, raw: Path) -> None:
    converter = Isles24(channels=("ncct", "tmax", "cta"))
    result = convert(converter, source, 521)
    for number, mean in enumerate((40, 5, 90)):
        image = read_volume(result.folder / f"imagesTr/sub-stroke0002_000{number}.nii.gz")
        np.testing.assert_array_equal(image, noise(mean))
    channels = json.loads((result.folder / "dataset.json").read_text())["channel_names"]
    assert list(channels.values()) == ["CT", "TMAX", "CT"]
    for channels in (("adc", "adc"), ("ctp",), ()):
        with pytest.raises(UserError, match=r"is not possible: give some of adc, dwi, ncct, cta, cbf"):
            Isles24(channels=channels)


def test_what_is_wrong_is_named(source: Path, raw: Path) -> None:
    file(source, 1, "adc").unlink()
    write_volume(file(source, 2, "cbf"), noise(shape=(6, 24, 20)), (0.4, 0.5, 4.0))
    file(source, 142, "lesion-msk").with_name("sub-stroke0142_ses-02_lesion-msk.nii.gz").write_bytes(
        file(source, 142, "lesion-msk").read_bytes()
    )
    converter = Isles24(channels=("adc", "cbf"))
    with pytest.raises(UserError) as caught:
        convert(converter, source, 521)
    text = str(caught.value)
    for words in (
        r"\n  derivatives/sub-stroke0001/ses-02/sub-stroke0001_ses-02_space-ncct_adc.nii.gz: missing",
        r"cbf.nii.gz: does not lie on the voxels of .*6 x 24 x 20 voxels against 12 x 24 x 20 \(--resample",
        r"2 cases with the same id 'sub-stroke0142'",
    ):
        assert re.search(words, text), text
    result = convert(converter, source, 521, on_error="skip")
    assert sorted(result.report["cases"]) == ["sub-stroke0158"]
    assert "cbf.nii.gz: the file is damaged or cut off" in str(
        result.report["not_converted"]["sub-stroke0043"]
    )


@pytest.mark.parametrize("resample", [False, True])
def test_values_that_are_not_finite(source: Path, raw: Path, resample: bool) -> None:
    """SimpleITK, and so nnU-Net, would read all of them as 0 without a word."""
    pixels, label = noise(20), BLOB.astype(np.float32)
    pixels[2, :3], pixels[5, 4, 4] = np.nan, np.inf
    label[0, 0, 0] = np.nan
    write_volume(file(source, 1, "cbf"), pixels, (0.4, 0.5, 2.0))
    write_volume(file(source, 2, "lesion-msk", ""), label, (0.4, 0.5, 2.0))
    converter = Isles24(channels=("cbf",), resample=resample)
    result = convert(converter, source, 521, on_error="skip")
    written = read_volume(result.folder / "imagesTr/sub-stroke0001_0000.nii.gz")
    np.testing.assert_array_equal(written, np.where(np.isfinite(pixels), pixels, 0))
    name = "derivatives/sub-stroke0001/ses-01/perfusion-maps/sub-stroke0001_ses-01_space-ncct_cbf.nii.gz"
    text = f"{name}: 61 voxels that are not finite, set to 0"
    assert {"kind": "filled", "text": text} in result.report["notes"]
    assert result.report["altered"] == {"filled": 1}
    problems = result.report["not_converted"]["sub-stroke0002"]["problems"]
    assert problems[0].endswith("_lesion-msk.nii.gz: holds nan, but labels are whole numbers")


def test_resampling(source: Path, raw: Path) -> None:
    """A map of half the resolution in z: planes between two of its own are their mean."""
    ramp = np.broadcast_to(np.arange(6, dtype=np.float32)[:, None, None] * 10 + 5, (6, 24, 20))
    write_volume(file(source, 2, "cbf"), ramp, (0.4, 0.5, 4.0))
    file(source, 43, "cbf").write_bytes(file(source, 2, "cbf").read_bytes())
    result = convert(Isles24(channels=("adc", "cbf"), resample=True), source, 521)
    cbf = read_volume(result.folder / "imagesTr/sub-stroke0002_0001.nii.gz")
    np.testing.assert_allclose(cbf[:, 10, 10], [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 5], atol=1e-4)
    assert result.report["altered"] == {"rounded": 1, "resized": 2}
    text = next(note["text"] for note in result.report["notes"] if note["kind"] == "resized")
    assert text.endswith("resampled onto the voxels of the label: 6 x 24 x 20 voxels against 12 x 24 x 20")
    adc = read_volume(result.folder / "imagesTr/sub-stroke0002_0000.nii.gz")
    np.testing.assert_array_equal(adc, noise(1000))


def test_early_batches_and_documented_names(source: Path, raw: Path) -> None:
    """Two batches beside each other; in the second the names of the documentation."""
    outer = source.parent / "download"
    outer.mkdir()
    source.rename(outer / "isles24_train-1")
    batch = outer / "isles24_train-2/isles24_train_b"
    for word in ("adc", "dwi", "lesion-msk"):
        name = f"sub-strokecase0007_ses-0002_space-ncct_{word}.nii.gz"
        pixels = BLOB if word == "lesion-msk" else noise(MEANS[word])
        write_volume(batch / "derivatives/sub-strokecase0007/ses-0002" / name, pixels)
    result = convert(Isles24(), outer, 521)
    assert len(result.report["cases"]) == 6
    assert "sub-strokecase0007" in result.report["cases"]
    with pytest.raises(UserError, match="does not look like ISLES24"):
        convert(Isles24(), outer / "isles24_train-1/raw_data", 522)


def test_labels_where_a_channel_does_not_reach_are_counted(source: Path, raw: Path) -> None:
    """A channel that ends after the sixth of twelve slices; the infarct goes on."""
    half = noise(1000)[:6]
    write_volume(file(source, 1, "adc"), half, (0.4, 0.5, 2.0), LAS)
    report = convert(Isles24(channels=("adc",), resample=True), source, 521, on_error="skip").report
    texts = [note["text"] for note in report["notes"] if note["kind"] == "labels beyond the image"]
    name = file(source, 1, "adc").relative_to(source)
    assert texts == [f"{name}: 144 of 360 labelled voxels, where it does not reach"]


def test_a_subject_of_which_there_are_raw_scans_only(source: Path, raw: Path) -> None:
    write_volume(source / "raw_data/sub-stroke0007/ses-01/sub-stroke0007_ses-01_cta.nii.gz", noise(1))
    with pytest.raises(UserError, match=r"sub-stroke0007_ses-02_space-ncct_lesion-msk.nii.gz: missing"):
        convert(Isles24(), source, 521)
