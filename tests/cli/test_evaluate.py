import json
import subprocess
import sys

import numpy as np
import pytest
import typer
from skimage import io
from typer.testing import CliRunner

from nnunet_ext.cli.evaluate import evaluate
from nnunet_ext.errors import UserError

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(evaluate)


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def folders(tmp_path):
    ring = np.zeros((8, 8), np.uint8)
    ring[1:6, 1:6] = 1
    ring[3, 3] = 0
    broken = ring.copy()
    broken[3, 4:] = 0
    for name, image in (("ref", ring), ("pred", broken)):
        (tmp_path / name).mkdir()
        for case in ("a", "b"):
            io.imsave(tmp_path / name / f"{case}.png", image, check_contrast=False)
    labels = {"background": 0, "cell [wall]": 1, "absent": 2}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".png"}))
    return tmp_path / "ref", tmp_path / "pred"


@pytest.mark.filterwarnings("error:Mean of empty slice")
def test_table_and_files(folders):
    result = run("-ref", folders[0], "-pred", folders[1])
    assert result.exit_code == 0, result.output
    assert "cell [wall] 1" in result.output
    assert "1.0000" in result.output  # β1 error of the broken ring
    assert "foreground mean" in result.output
    (absent,) = (line for line in result.output.splitlines() if "absent 2" in line)
    assert absent.count("–") == 2  # Dice and clDice
    summary = json.loads((folders[1] / "evaluation.json").read_text())
    assert summary["mean"]["1"]["Beta1Error"] == 1
    assert summary["foreground_mean"]["Dice"] == summary["mean"]["1"]["Dice"]
    assert len((folders[1] / "evaluation.csv").read_text().splitlines()) == 1 + 2 * 2
    assert "evaluation.json" in result.output


def test_output_and_dataset_json_can_be_named(folders, tmp_path):
    elsewhere = tmp_path / "elsewhere.json"
    (tmp_path / "dataset.json").rename(elsewhere)
    target = tmp_path / "new" / "scores.json"
    args = ("-ref", folders[0], "-pred", folders[1], "-djfile", elsewhere, "-o", target, "--connectivity", 1)
    assert run(*args).exit_code == 0
    assert json.loads(target.read_text())["connectivity"] == 1
    assert target.with_suffix(".csv").is_file()
    assert not (folders[1] / "evaluation.json").exists()


def test_a_user_error_writes_nothing(folders):
    (folders[1] / "b.png").unlink()
    result = run("-ref", folders[0], "-pred", folders[1])
    assert result.exit_code == 1
    assert isinstance(result.exception, UserError)
    assert "b.png" in str(result.exception)
    assert not list(folders[1].glob("evaluation*"))
    assert run("-ref", folders[0], "-pred", folders[1], "--chill").exit_code == 0


def test_summary_must_be_json(folders):
    result = run("-ref", folders[0], "-pred", folders[1], "-o", "scores.csv")
    assert isinstance(result.exception, UserError)
    assert "scores.csv" in str(result.exception)


def test_help_is_quick():
    code = (
        "import sys, nnunet_ext.cli.evaluate, nnunet_ext.cli.compare\n"
        "print([name for name in ('nnunetv2', 'torch', 'scipy', 'skimage') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
    assert "-pred" in run("--help").output
