import json
import subprocess
import sys

import numpy as np
import pytest
import typer
from rich.console import Console
from skimage import io
from typer.testing import CliRunner

from nnunet_ext.cli.app import main
from nnunet_ext.cli.evaluate import evaluate
from nnunet_ext.errors import UserError
from nnunet_ext.images.instance_files import write_instances

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


def test_a_wrong_folder_of_predictions_is_asked_about(folders):
    images = folders[0].parent / "Dataset001_A" / "imagesTs"
    folders[1].rename(images.parent.mkdir() or images)
    error = str(run("-ref", folders[0], "-pred", images).exception)
    assert "lies in a folder of an nnU-Net dataset" in error
    assert error.endswith("the folder given with -pred: is it that of the predictions?")
    assert "-pred" not in str(run("-ref", folders[0], "-pred", images, "-o", images / "a.json").exception)


def test_help_is_quick():
    code = (
        "import sys, nnunet_ext.cli.evaluate, nnunet_ext.cli.compare\n"
        "print([name for name in ('nnunetv2', 'torch', 'scipy', 'skimage') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
    assert "-pred" in run("--help").output


@pytest.fixture
def nested_folders(tmp_path):
    """A nucleus in its cell; predicted with a cell that lacks a side in one case of two."""
    nested = np.zeros((5, 6), np.uint8)
    nested[1:4, 1:5] = 1
    nested[2, 2:4] = 2
    bare = nested.copy()
    bare[:, 4] = 0
    for folder, maps in (("ref", (nested, nested)), ("pred", (nested, bare))):
        (tmp_path / folder).mkdir()
        for name, labels in zip("ab", maps, strict=True):
            io.imsave(tmp_path / folder / f"{name}.png", labels, check_contrast=False)
    labels = {"background": 0, "cell": 1, "nucleus [DNA]": 2}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".png"}))
    return "-ref", tmp_path / "ref", "-pred", tmp_path / "pred"


def test_containment(nested_folders, tmp_path, monkeypatch):
    monkeypatch.setattr("nnunet_ext.cli.evaluate.out", Console(width=80))
    assert "Containment" not in run(*nested_folders).output
    result = run(*nested_folders, "--containment")
    assert result.exit_code == 0, result.output
    assert "nucleus [DNA] 2 in cell" in result.output
    assert cells_of(result.output, "exposed surface") == ["0.0833", "0.0833", "2", "0.0000", "0.0000"]
    assert cells_of(result.output, "exposed components") == ["0.5000", "0.5000", "2", "0.0000", "0.0000"]
    assert cells_of(result.output, "voxels in those")[0] == "0.5000"
    assert "…" not in result.output  # fits in 80 columns
    assert json.loads((tmp_path / "pred" / "evaluation.json").read_text())["pooled"]["2"]["faces_pred"] == 12
    content = json.loads((tmp_path / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps({**content, "nesting": ["cell", "nucleus [DNA]"]}))
    assert "nucleus [DNA] 2 in cell" in run(*nested_folders).output


@pytest.fixture
def instance_folders(tmp_path):
    """Three squares; in the prediction one is found whole, one by 3/4, one missed."""
    squares = np.zeros((20, 20), np.uint16)
    squares[1:5, 1:5], squares[1:9, 10:18], squares[12:16, 4:8] = 1, 2, 3
    found = squares.copy()
    found[7:9, 10:18] = 0
    found[found == 3] = 0
    for name, instances in (("ref", squares), ("pred", found)):
        (tmp_path / name).mkdir()
        write_instances(tmp_path / name / "a.tif", instances, (0.5, 0.5))
        write_instances(tmp_path / name / "empty.tif", np.zeros((5, 5), np.uint16))
    return tmp_path / "ref", tmp_path / "pred"


def cells_of(output, metric):
    """The numbers in the table's row of that name."""
    (row,) = (line for line in output.splitlines() if line.strip("│ ").startswith(metric + " "))
    return [cell.strip() for cell in row.strip("│ ").split("│")[1:]]


def test_instances(instance_folders, monkeypatch, capsys):
    reference, prediction = map(str, instance_folders)
    words = ["nnunet_ext", "evaluate", "--instances", "-ref", reference, "-pred", prediction]
    monkeypatch.setattr(
        sys, "argv", [*words, "--iou", ".3", ".8", "--tolerance", "2", "3", "--size-bins", "20"]
    )
    with pytest.raises(SystemExit, match="0"):
        main()
    output = capsys.readouterr().out
    assert "2 cases: 3 instances, 2 predicted" in output
    for metric, value in (
        *(("SQ", [0.875, 0.875, 1]), ("P05 = precision", [1])),
        *(("RQ = F1", [0.8, 0.8, 0.4]), ("recall", [2 / 3, 2 / 3, 1 / 3])),
    ):
        rows = [line for line in output.splitlines() if line.strip("│ ").startswith(metric + " ")]
        pooled = [float(row.strip("│ ").split("│")[2]) for row in rows]
        assert pooled == pytest.approx(value, abs=1e-4)
    assert cells_of(output, "AJI")[1:] == [f"{(16 + 48) / (16 + 64 + 16):.4f}", "1"]  # one case has instances
    assert cells_of(output, "below 20") == ["2", "0.6667", "1.0000", "0.6667", "1.0000", "0.5000"]
    assert cells_of(output, "20 and more") == ["1", "0.7500", "0.7500", "1.0000", "1.0000", "1.0000"]
    summary = json.loads((instance_folders[1] / "evaluation.json").read_text())
    assert summary["settings"]["ious"] == [0.5, 0.3, 0.8]
    assert summary["settings"]["tolerances"] == [2, 3]
    assert summary["pooled"]["f1@0.8"] == pytest.approx(0.4)
    assert len((instance_folders[1] / "evaluation.csv").read_text().splitlines()) == 1 + 2


def test_instances_in_physical_units(instance_folders):
    folders = "--instances", "-ref", instance_folders[0], "-pred", instance_folders[1]
    (instance_folders[0] / "empty.tif").unlink()  # has no spacing
    (instance_folders[1] / "empty.tif").unlink()
    result = run(*folders, "--physical", "--tolerance", 1, "--size-bins", 5)
    assert result.exit_code == 0, result.output
    assert "contour F1, 1 (physical)" in result.output
    assert "in which a voxel of" in result.output
    assert "a.tif measures 0.5 x 0.5." in result.output
    assert cells_of(result.output, "below 5")[0] == "2"  # 16 voxels of 0.25


def test_options_of_the_other_kind_are_refused(instance_folders):
    folders = "-ref", instance_folders[0], "-pred", instance_folders[1]
    for args, message in (
        (("--iou", 0.3), "--iou is about instances: give --instances too"),
        (("--physical",), "--physical is about instances"),
        (("--instances", "--connectivity", 1), "--connectivity does not go with --instances"),
        (("--instances", "--containment"), "--containment does not go with --instances"),
        (("--instances", "--physical"), "give --tolerance"),
        (("--instances", "--spacing", 1), "spacing: expected 2 positive numbers"),
    ):
        result = run(*folders, *args)
        assert isinstance(result.exception, UserError), args
        assert message in str(result.exception)
    assert not list(instance_folders[1].glob("evaluation*"))


def test_what_was_ignored_and_the_footnotes_are_printed(folders, instance_folders_with_ignore):
    result = run("-ref", folders[0], "-pred", folders[1])
    assert "clDice: how much of each map's centre lines lies in the objects of the other" in result.output
    assert "β0 error: how many separate pieces the prediction has too many or too few" in result.output
    assert "Not judged" not in result.output
    result = run("--instances", *instance_folders_with_ignore)
    assert result.exit_code == 0, result.output
    assert "Not judged: 200 voxels (25 %) with the ignore label (1) of" in result.output
    assert "instances mostly in there: 1 predicted, 0 of the reference." in result.output


def test_notes_are_printed_and_written(instance_folders_with_ignore):
    reference = instance_folders_with_ignore[1]
    (reference.with_name("labelsTr") / "b.png").unlink()
    result = run("--instances", *instance_folders_with_ignore)
    assert "Note: " in result.output
    assert "for 1 of 2 cases (b.tif): all of them counts." in result.output
    (note,) = json.loads((instance_folders_with_ignore[3] / "evaluation.json").read_text())["notes"]
    assert note in result.output
    result = run(*instance_folders_with_ignore, "--ignored", reference)
    assert "--ignored is about instances" in str(result.exception)


@pytest.fixture
def instance_folders_with_ignore(tmp_path):
    """Two cases; the right half of one is not judged, and something was found there."""
    found = np.zeros((20, 20), np.uint16)
    found[2:6, 2:6], found[2:6, 13:17] = 1, 2
    raw = tmp_path / "raw"
    for folder, instances in (("instancesTr", found * (found == 1)), ("cells", found)):
        (raw / folder).mkdir(parents=True)
        for case in "ab":
            write_instances(raw / folder / f"{case}.tif", instances if case == "a" else found)
    (raw / "labelsTr").mkdir()
    for case in "ab":
        labels = np.zeros((20, 20), np.uint8)
        labels[:, 10:] = case == "a"
        io.imsave(raw / "labelsTr" / f"{case}.png", labels, check_contrast=False)
    labels = {"background": 0, "ignore": 1}
    (raw / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".png"}))
    return "-ref", raw / "instancesTr", "-pred", raw / "cells"


def test_a_prediction_that_is_cut_short_is_named_and_nothing_is_written(instance_folders):
    reference, prediction = instance_folders
    noise = np.random.default_rng(0).integers(1, 60_000, (40, 40)).astype(np.uint16)
    write_instances(reference / "a.tif", noise)
    write_instances(prediction / "a.tif", noise)
    whole = (prediction / "a.tif").read_bytes()
    (prediction / "a.tif").write_bytes(whole[: len(whole) * 6 // 10])
    result = run("--instances", "-ref", reference, "-pred", prediction)
    assert result.exit_code == 1
    assert "1 of 2 cases cannot be evaluated" in str(result.exception)
    assert "pred/a.tif" in str(result.exception)
    assert not list(prediction.glob("evaluation*"))
