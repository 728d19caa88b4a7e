"""``nnunet_ext convert`` as typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage import io
from typer.testing import CliRunner

from nnunet_ext.cli.convert import convert_app
from nnunet_ext.errors import UserError

runner = CliRunner()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TopoMortar of three cases; the folders of nnU-Net are set."""
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    root = tmp_path / "TopoMortar"
    for part, number in (("train", 1), ("val", 51), ("test", 71)):
        kinds = ("images", "accurate") if part == "test" else ("images", "accurate", "noisy")
        for kind in kinds:
            file = root / part / kind / f"{number:03d}.png"
            file.parent.mkdir(parents=True)
            pixels = np.zeros((16, 16, 3) if kind == "images" else (16, 16), np.uint8)
            pixels[:4] = 255
            if part == "test" and kind == "accurate":
                pixels[9, :6] = 8
            io.imsave(file, pixels, check_contrast=False)
    return root


def run(*words: object) -> str:
    result = runner.invoke(convert_app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_convert_prints_a_summary(source: Path) -> None:
    text = run("topomortar", "-i", source, "-d", 501, "-np", 2)
    assert "3 cases converted." in text
    assert "25.00%" in text
    assert "test/accurate/071.png: 6 pixels (value 8: 6), thresholded at 127" in text
    assert "Split: the dataset's own (fold 0), in " in text
    assert "Next: nnUNetv2_plan_and_preprocess -d 501 --verify_dataset_integrity" in text
    assert (source.parent / "raw/Dataset501_TopoMortar/dataset.json").exists()


def test_second_run_says_there_is_nothing_to_do(source: Path) -> None:
    run("topomortar", "-i", source, "-d", 501)
    assert "Dataset501_TopoMortar is complete already: nothing to do." in run(
        "topomortar", "-i", source, "-d", 501
    )


def test_options_reach_the_converter(source: Path) -> None:
    run("topomortar", "-i", source, "-d", 7, "--labels", "noisy", "--name", "Noisy")
    report = (source.parent / "raw/Dataset007_Noisy/conversion_report.json").read_text()
    assert '"labels": "noisy"' in report
    result = runner.invoke(convert_app, ["topomortar", "-i", str(source), "-d", "7", "--name", "Noisy"])
    assert isinstance(result.exception, UserError)
    assert "--overwrite" in str(result.exception)
    text = run("topomortar", "-i", source, "-d", 7, "--name", "Noisy", "--overwrite")
    assert "3 cases converted." in text


def test_without_preprocessed_folder_the_split_is_explained(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("nnUNet_preprocessed")
    assert "nnUNet_preprocessed is not set. Set it and run this again" in run(
        "topomortar", "-i", source, "-d", 501
    )


def test_wrong_choice_lists_the_choices(source: Path) -> None:
    result = runner.invoke(convert_app, ["topomortar", "-i", str(source), "-d", "501", "--labels", "exact"])
    assert result.exit_code == 2
    for choice in ("accurate", "noisy", "pseudo"):
        assert choice in result.output


def test_errors_are_for_people(source: Path) -> None:
    result = runner.invoke(convert_app, ["topomortar", "-i", "nowhere", "-d", "501"])
    assert isinstance(result.exception, UserError)
    assert "nowhere does not exist" in str(result.exception)


def test_help_lists_licence_and_source() -> None:
    text = run("--help")
    for word in ("topomortar", "MIT", "github.com/jmlipman/TopoMortar"):
        assert word in text
    text = run("topomortar", "--help")
    for word in ("--labels", "-np", "--overwrite", "Example"):
        assert word in text


def test_help_imports_no_imaging_library() -> None:
    code = (
        "import sys, nnunet_ext.cli.convert; "
        "print([m for m in ('torch', 'nnunetv2', 'skimage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
