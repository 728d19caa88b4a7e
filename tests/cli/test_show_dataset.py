"""``nnunet_ext show dataset``: what is shown of flat images and of volumes, and mistakes as sentences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from skimage.io import imread, imsave
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.cli.show import _short
from nnunet_ext.errors import UserError
from nnunet_ext.figures.contact_sheet import sheet, spread, telling_slice
from nnunet_ext.nnunet_files.raw_dataset import RawDataset


def write_dataset(folder: Path, ending: str, channels: list[str], labels: dict[str, int]) -> None:
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir(parents=True)
    names = {str(i): name for i, name in enumerate(channels)}
    content = {"channel_names": names, "labels": labels, "numTraining": 3, "file_ending": ending}
    (folder / "dataset.json").write_text(json.dumps(content))


@pytest.fixture
def photographs(nnunet_folders: dict[str, Path]) -> Path:
    """Ten colour pictures; the label of number n has n + 1 rows of veins."""
    folder = nnunet_folders["nnUNet_raw"] / "Dataset007_Leaves"
    write_dataset(folder, ".png", ["R", "G", "B"], {"background": 0, "vein": 1, "ignore": 2})
    for number in range(10):
        pixels = np.full((20, 30, 3), (200, 100, number), np.uint8)
        label = np.zeros((20, 30), np.uint8)
        label[: number + 1], label[19] = 1, 2
        imsave(folder / f"imagesTr/c{number}_0000.png", pixels, check_contrast=False)
        imsave(folder / f"labelsTr/c{number}.png", label, check_contrast=False)
    return folder


@pytest.fixture
def volumes(nnunet_folders: dict[str, Path]) -> Path:
    """Two channels; a lesion in the last slices only."""
    folder = nnunet_folders["nnUNet_raw"] / "Dataset008_Lesions"
    write_dataset(folder, ".nii.gz", ["ADC", "DWI"], {"background": 0, "lesion": 1})
    for number in range(2):
        label = np.zeros((8, 20, 24), np.uint8)
        label[6, 4:8, 3:9] = 1
        for name, pixels in (
            ("labelsTr/v{}", label),
            ("imagesTr/v{}_0000", 1000.0 + label),
            ("imagesTr/v{}_0001", np.arange(label.size, dtype=np.float32).reshape(label.shape)),
        ):
            image = sitk.GetImageFromArray(pixels)
            image.SetSpacing((0.5, 0.25, 2.0))
            sitk.WriteImage(image, str(folder / f"{name.format(number)}.nii.gz"))
    return folder


def test_flat(photographs: Path) -> None:
    raw = RawDataset("7")
    (row,), (facts,) = sheet(raw, ["c3"], {0: "background", 1: "vein", 2: "ignore"})
    plain, outlined = row.panels
    assert plain.title == "c3"
    assert plain.pixels.shape == (20, 30, 3)
    assert plain.pixels[0, 0].tolist() == [200, 100, 3]
    assert plain.masks == {}
    assert {label: mask.sum() for label, mask in outlined.masks.items()} == {1: 4 * 30, 2: 30}
    assert facts.voxels == {0: 450, 1: 120, 2: 30}
    assert (facts.shape, facts.spacing) == ((20, 30), (1, 1))
    assert facts.ranges == ((200, 200), (100, 100), (3, 3))
    assert "vein        20.00%" in row.text


def test_volume(volumes: Path) -> None:
    (row,), (facts,) = sheet(RawDataset("8"), ["v0"], {0: "background", 1: "lesion"})
    titles = [panel.title for panel in row.panels]
    assert titles == ["v0, z 6 of 0–7", "DWI, z 6 of 0–7", "y 4 of 0–19", "x 3 of 0–23", "maximum along z"]
    assert [panel.aspect for panel in row.panels] == [0.5, 0.5, 4, 8, 0.5]
    assert [panel.pixels.shape for panel in row.panels] == [(20, 24), (20, 24), (8, 24), (8, 20), (20, 24)]
    assert [panel.masks[1].sum() for panel in row.panels] == [24, 24, 6, 4, 24]
    assert row.panels[1].pixels[0, 0] == 6 * 480
    assert row.panels[4].pixels.max() == 1001
    assert facts.spacing == pytest.approx((2, 0.25, 0.5))
    assert "spacing 2 x 0.25 x 0.5" in row.text


def test_the_middle_slice_unless_it_is_poor_in_labels() -> None:
    labelled = np.zeros((5, 4, 4), bool)
    labelled[2, 0], labelled[4, :2] = True, True
    assert telling_slice(labelled, 0) == 2  # half of the fullest
    labelled[2, 0, 0] = False
    assert telling_slice(labelled, 0) == 4
    assert telling_slice(np.zeros((5, 4, 4), bool), 0) == 2


def test_cases_are_spread() -> None:
    names = [f"c{i}" for i in range(10)]
    assert spread(names[::-1], 4) == ["c0", "c3", "c6", "c9"]
    assert spread(names, 1) == ["c0"]
    assert spread(names, 99) == names


def test_as_typed(photographs: Path, volumes: Path, tmp_path: Path) -> None:
    for number, cases, words in ((7, 4, ("vein", "ignore", "200 to 200")), (8, 6, ("lesion", "v1", "0.62%"))):
        picture = tmp_path / f"figures/{number}.png"
        arguments = ["show", "dataset", "-d", str(number), "-o", str(picture), "--cases", str(cases)]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        for word in (*words, "all shown", f"{min(cases, 10 if number == 7 else 2)} of", f"Wrote {picture}"):
            assert word in result.output, word
        assert imread(picture).shape[1] > 900


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-d", "9", "-o", "a.png"], "one dataset '9' is expected in .* found: none"),
        (["-d", "7", "-o", "a.doc"], "-o a.doc: a picture ends in one of"),
    ],
)
def test_mistakes_are_sentences(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["show", "dataset", *arguments])
    assert isinstance(result.exception, UserError)
    with pytest.raises(UserError, match=text):
        raise result.exception


def test_an_image_that_does_not_fit_its_label(photographs: Path, tmp_path: Path) -> None:
    imsave(photographs / "labelsTr/c0.png", np.zeros((5, 5), np.uint8), check_contrast=False)
    result = CliRunner().invoke(app, ["show", "dataset", "-d", "7", "-o", str(tmp_path / "a.png")])
    assert "c0.png: (5, 5) voxels, but those of the image are (20, 30)" in str(result.exception)
    assert not (tmp_path / "a.png").exists()


def test_long_names_are_shortened_in_the_table() -> None:
    name = "0287e7ee5b007c91ae2bd7628d09735e70496bc6127ecb7f3dd043e04ce37426"
    assert _short(name) == "0287e7ee5b00…3e04ce37426"
    assert _short("a" * 24) == "a" * 24
