"""``nnunet_ext show dataset``: what is shown of flat images and of volumes, and mistakes as sentences."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from skimage.io import imread, imsave
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.errors import UserError
from nnunet_ext.figures.contact_sheet import sheet, spread, telling_slice
from nnunet_ext.figures.style import pieces, shortened
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
    (row,), (facts,), _ = sheet(raw, ["c3"], {0: "background", 1: "vein", 2: "ignore"})
    plain, outlined = row.panels
    assert plain.title == "c3"
    assert plain.pixels.shape == (20, 30, 3)
    assert plain.pixels[0, 0].tolist() == [200, 100, 3]
    assert plain.masks == {}
    assert {label: mask.sum() for label, mask in outlined.masks.items()} == {1: 4 * 30, 2: 30}
    assert facts.voxels == {0: 450, 1: 120, 2: 30}
    assert (facts.shape, facts.spacing, facts.spacing_text) == ((20, 30), (1, 1), "not stated")
    assert facts.ranges == ((200, 200), (100, 100), (3, 3))
    assert "vein        20.00%" in row.text


def test_volume(volumes: Path) -> None:
    (row,), (facts,), _ = sheet(RawDataset("8"), ["v0"], {0: "background", 1: "lesion"})
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
        (["-d", "9", "-o", "a.png"], "has no dataset '9': .*There: "),
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


def show(number: int, picture: Path, *more: str) -> Any:
    return CliRunner().invoke(app, ["show", "dataset", "-d", str(number), "-o", str(picture), *more])


def test_what_cannot_be_used_is_named_and_the_rest_shown(photographs: Path, tmp_path: Path) -> None:
    imsave(photographs / "labelsTr/c0.png", np.zeros((5, 5), np.uint8), check_contrast=False)
    (photographs / "labelsTr/c9.png").write_bytes((photographs / "labelsTr/c9.png").read_bytes()[:60])
    result = show(7, tmp_path / "a.png")
    assert result.exit_code == 1
    assert "2 of 6 cases cannot be shown" in str(result.exception)
    assert "c0.png: (5, 5) voxels, but those of the image are (20, 30)" in str(result.exception)
    assert "c9.png: " in str(result.exception)
    assert "Dataset007_Leaves: 4 of 10 training cases" in result.output
    assert imread(tmp_path / "a.png").shape[1] > 900
    for path in (photographs / "labelsTr").iterdir():
        path.write_bytes(b"")
    result = show(7, tmp_path / "b.png")
    assert "6 of 6 cases cannot be shown" in str(result.exception)
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize("dead_link", [False, True])
def test_labels_without_an_image_are_not_passed_over(
    photographs: Path, tmp_path: Path, dead_link: bool
) -> None:
    """nnU-Net's list of cases leaves them out."""
    image = photographs / "imagesTr/c3_0000.png"
    image.unlink()
    if dead_link:
        image.symlink_to("nowhere.png")
    result = show(7, tmp_path / "sheet.png", "--cases", "10")
    assert result.exit_code == 1
    assert "9 of 10 training cases" in result.output
    assert f"1 of 10 cases cannot be shown:\n  {image}" in str(result.exception)


def test_the_spacing_is_the_images(volumes: Path, tmp_path: Path) -> None:
    """A label that was saved without its geometry, as nnU-Net accepts it."""
    for name in ("v0", "v1"):
        label = sitk.ReadImage(str(volumes / f"labelsTr/{name}.nii.gz"))
        label.SetSpacing((1, 1, 1) if name == "v0" else label.GetSpacing())
        sitk.WriteImage(label, str(volumes / f"labelsTr/{name}.nii.gz"))
    _, facts, _ = sheet(RawDataset("8"), ["v0", "v1"], {0: "background", 1: "lesion"})
    assert [case.spacing for case in facts] == [pytest.approx((2, 0.25, 0.5))] * 2
    assert [case.notes for case in facts] == [
        (
            f"{volumes}/labelsTr/v0.nii.gz: states another grid than the image (spacing 1 x 1 x 1 against "
            "2 x 0.25 x 0.5); nnU-Net takes the image's",
        ),
        (),
    ]
    result = show(8, tmp_path / "a.png")
    assert result.exit_code == 0
    assert "v0.nii.gz: states another grid than the image" in result.output


def test_values_that_are_no_numbers_or_all_equal(volumes: Path) -> None:
    content = json.loads((volumes / "dataset.json").read_text())
    content["overwrite_image_reader_writer"] = "NibabelIO"  # SimpleITK reads NaN as 0
    (volumes / "dataset.json").write_text(json.dumps(content))
    pixels = np.full((8, 20, 24), np.nan, np.float32)
    image = sitk.GetImageFromArray(pixels)
    image.SetSpacing((0.5, 0.25, 2.0))
    sitk.WriteImage(image, str(volumes / "imagesTr/v0_0000.nii.gz"))
    pixels[:4] = 5
    image = sitk.GetImageFromArray(np.nan_to_num(pixels, nan=5.0))
    image.SetSpacing((0.5, 0.25, 2.0))
    sitk.WriteImage(image, str(volumes / "imagesTr/v1_0000.nii.gz"))
    rows, facts, problems = sheet(RawDataset("8"), ["v0", "v1"], {0: "background", 1: "lesion"})
    assert not problems
    assert facts[0].range_text(0) == "no number"
    assert facts[0].notes[-1] == "v0: 3840 of 7680 values of the image are NaN or infinite"
    assert facts[1].notes[-1] == "v1: all values of the image are equal in channel 0"
    assert "ADC: no number" in rows[0].text


def test_missing_channels_are_said(volumes: Path) -> None:
    (volumes / "imagesTr/v0_0001.nii.gz").unlink()
    rows, _, (problem,) = sheet(RawDataset("8"), ["v0", "v1"], {0: "background", 1: "lesion"})
    assert len(rows) == 1
    assert "1 channels in 1 files, but dataset.json names 2" in str(problem)


@pytest.mark.parametrize("name", ["$x$", r"a_$\frac{", "[red]x", "_under", "x" * 150, "名字"])
def test_names_are_drawn_and_printed_as_they_are(photographs: Path, tmp_path: Path, name: str) -> None:
    for kind, old, new in (("imagesTr", "c0_0000", f"{name}_0000"), ("labelsTr", "c0", name)):
        (photographs / kind / f"{old}.png").rename(photographs / kind / f"{new}.png")
    content = json.loads((photographs / "dataset.json").read_text())
    content["labels"] = {"background": 0, name: 1, "ignore": 2}
    (photographs / "dataset.json").write_text(json.dumps(content))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = show(7, tmp_path / "a.png", "--cases", "2")
    assert result.exit_code == 0, result.exception
    assert (name if len(name) < 24 else "x…x") in result.output


def test_long_names_are_shortened() -> None:
    name = "0287e7ee5b007c91ae2bd7628d09735e70496bc6127ecb7f3dd043e04ce37426"
    assert shortened(name) == "0287e7ee5b00…3e04ce37426"
    assert shortened("a" * 24) == "a" * 24
    assert pieces(f"{name}, z 3 of 0–7") == [name[:28], name[28:56], f"{name[56:]},", "z 3 of 0–7"]
    assert max(map(len, pieces("y" * 500))) == 28
