"""``nnunet_ext show weight-maps``: the picture, and mistakes as sentences."""

import json
import subprocess
import sys

import numpy as np
import pytest
from skimage.io import imread, imsave
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.errors import UserError


@pytest.fixture
def raw(nnunet_folders):
    folder = nnunet_folders["nnUNet_raw"] / "Dataset510_Cells"
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir(parents=True)
    for number in range(2):
        image, instances = crowded_cells((48, 48), 9, seed=number)
        imsave(folder / "imagesTr" / f"c{number}_0000.png", image, check_contrast=False)
        imsave(
            folder / "labelsTr" / f"c{number}.png",
            np.minimum(instances, 1).astype(np.uint8),
            check_contrast=False,
        )
    labels = {"background": 0, "cell": 1}
    content = {"channel_names": {"0": "grey"}, "labels": labels, "numTraining": 2, "file_ending": ".png"}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def show(*words):
    return CliRunner().invoke(app, ["show", "weight-maps", *map(str, words)])


def test_all_maps_of_the_first_case_and_what_trains_with_them(raw, tmp_path):
    picture = tmp_path / "figures" / "maps.png"
    result = show("-d", 510, "-o", picture)
    assert result.exit_code == 0, (result.output, result.exception)
    for text in ("nnUNetTrainerBWM", "nnUNetTrainerUNetWM", "nnUNetTrainerDWM", "nnUNetTrainerSAW"):
        assert text in result.output
    assert f"Wrote {picture}" in result.output
    assert imread(picture).shape[1] > 1500


def test_several_cases_and_parameters_as_in_the_trainers_name(raw, tmp_path):
    (raw / "weightsTr").mkdir()
    for number in range(2):
        imsave(raw / "weightsTr" / f"c{number}.png", np.full((48, 48), 7, np.uint8), check_contrast=False)
    words = ("-case", "c0", "c1", "--map", "unet", "unet_peak3_sigma10", "own", "--window", 16)
    result = show("-d", "Dataset510_Cells", *words, "-o", tmp_path / "maps.png")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "nnUNetTrainerUNetWM_peak3_sigma10" in result.output
    assert "nnUNetTrainerWeighted" in result.output
    rows = [line.split("│") for line in result.output.splitlines() if "UNetWM" in line]
    assert len(rows) == 2
    assert rows[0][2:4] != rows[1][2:4]  # least and most weight


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-d", "511", "-o", "a.png"], "has no dataset '511': .*There: Dataset510_Cells"),
        (["-d", "510", "-o", "a.txt"], "a picture ends in one of"),
        (["-d", "510", "-case", "c0", "c7", "-o", "a.png"], "no training case c7. It has: c0, c1"),
        (
            ["-d", "510", "--map", "foo", "-o", "a.png"],
            "no map 'foo'. Known maps: balance, unet, distance, shape, own",
        ),
        (["-d", "510", "--map", "unet_beta3", "-o", "a.png"], "unknown option '_beta3'"),
        (["-d", "510", "--map", "shape_", "-o", "a.png"], "single underscores"),
        (["-d", "510", "--map", "own", "-o", "a.png"], "There is no folder .*weightsTr"),
    ],
)
def test_a_mistake_is_a_sentence_and_nothing_is_written(raw, tmp_path, monkeypatch, words, text):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    result = show(*words)
    assert isinstance(result.exception, UserError)
    with pytest.raises(UserError, match=text):
        raise result.exception
    assert sorted(tmp_path.rglob("*")) == before


def test_raw_folder_not_set(monkeypatch, tmp_path):
    monkeypatch.delenv("nnUNet_raw", raising=False)
    result = show("-d", 510, "-o", tmp_path / "a.png")
    assert "nnUNet_raw is not set" in str(result.exception)


@pytest.mark.slow
def test_help_and_the_command_as_a_whole(raw, tmp_path):
    helped = CliRunner().invoke(app, ["show", "weight-maps", "--help"])
    assert "Example:" in helped.output
    code = "from nnunet_ext.cli.app import main; main()"
    words = ["show", "weight-maps", "-d", "510", "-case", "c0", "nope", "-o", str(tmp_path / "a.png")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "no training case nope" in done.stderr
    assert "Traceback" not in done.stderr
