"""Where results may be written, and where they would destroy something."""

import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.errors import UserError
from nnunet_ext.outputs import check_output, check_output_folder


@pytest.fixture
def place(tmp_path):
    """A raw dataset, predictions with their spacing files, a trained fold, results, links."""
    files = {
        "raw/Dataset510_Cells/dataset.json": "{}",
        "raw/Dataset510_Cells/labelsTr/a.tif": "label",
        "raw/Dataset510_Cells/labelsTr/a.json": "spacing",
        "pred/dataset.json": "{}",
        "pred/a.tif": "prediction",
        "pred/a.json": "spacing",
        "pred/evaluation.json": '{"class_names": {}}',
        "pred/summary.json": '{"mean": {}}',
        "flat/c_0000.tif": "image",
        "flat/c.json": "spacing",
        "model/fold_0/checkpoint_final.pth": "weights",
        "model/fold_0/validation/summary.json": '{"mean": {}}',
        "model/nnUNetPlansSmall.json": "plans",
        "results/old.png": "picture",
        "results/summary.json": '{"class_names": {}}',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "linked.json").symlink_to(tmp_path / "pred/a.json")
    os.mkfifo(tmp_path / "fifo.json")
    (tmp_path / "instances").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pred", "is a folder"),
        ("pred/a.tif", "would be taken for data"),
        ("pred/picture.png", "would be taken for data"),
        ("pred/deeper/p.NII.GZ", "would be taken for data"),
        ("pred/a.json", "spacing file of a.tif"),
        ("pred/../pred/a.json", "spacing file of a.tif"),
        ("linked.json", "spacing file of a.tif"),
        ("flat/c.json", "spacing file of c.tif"),
        ("pred/dataset.json", "has the name of a file"),
        ("new/dataset.json", "has the name of a file"),
        ("pred/summary.json", "nnU-Net's, which would be lost"),
        ("model/fold_0/validation/summary.json", "nnU-Net's, which would be lost"),
        ("model/fold_0/checkpoint_final.pth", "nnU-Net's, which would be lost"),
        ("model/nnUNetPlansSmall.json", "nnU-Net's, which would be lost"),
        ("raw/Dataset510_Cells/labelsTr/a.json", "lies in a folder of an nnU-Net dataset"),
        ("raw/Dataset510_Cells/imagesTs/sheet.png", "lies in a folder of an nnU-Net dataset"),
        ("dangling.png", "link to .*nowhere.png, which is not there"),
        ("fifo.json", "no plain file"),
        ("results/old.png", "is what this command reads"),
        ("results/old.png/p.png", "old.png is not a folder"),
    ],
)
def test_what_must_not_be_written(place, name, reason):
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=f"-o .*{reason}"):
        check_output(place / name, [place / "pred", place / "results/old.png"])
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "name",
    [
        "new.png",
        "new/deep/er.json",
        "results/old.png",
        "results/summary.json",
        "pred/evaluation.json",
        "pred/evaluation.csv",
        "pred/second.json",
        "raw/Dataset510_Cells/sheet.png",
    ],
)
def test_what_may_be_written(place, name):
    check_output(place / name, [place / "pred"])


@pytest.mark.skipif(sys.platform == "win32", reason="devices of POSIX")
def test_a_device_is_no_output():
    with pytest.raises(UserError, match="-o /dev/null is no plain file"):
        check_output(Path("/dev/null"))


def test_another_name_of_an_input_is_an_input(place):
    os.link(place / "results/old.png", place / "same.png")
    (place / "link.png").symlink_to(place / "results/old.png")
    for name in ("same.png", "link.png"):
        with pytest.raises(UserError, match="is what this command reads"):
            check_output(place / name, [place / "results/old.png"])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("results/old.png", "not a folder"),
        ("results/old.png/cells", "old.png is not a folder"),
        ("dangling.png", "which is not there"),
        ("flat", "is what this command reads"),
        ("pred", r"holds files of nnU-Net's \(dataset.json\)"),
        ("raw/Dataset510_Cells", r"holds files of nnU-Net's \(dataset.json\)"),
        ("raw/Dataset510_Cells/labelsTr", "belongs to a dataset or model"),
        ("raw/Dataset510_Cells/instancesTs", "belongs to a dataset or model"),
        ("model/fold_0/validation", "belongs to a dataset or model"),
    ],
)
def test_folders_that_are_no_place_for_results(place, name, reason):
    with pytest.raises(UserError, match=reason):
        check_output_folder(place / name, [place / "flat"])


@pytest.mark.parametrize("name", ["new/er", "instances", "results", "flat/cells"])
def test_folders_for_results(place, name):
    check_output_folder(place / name, [place / "flat"])


def of_two(folder):
    """Two summaries of one case."""
    for name in ("a", "b"):
        case = {"prediction_file": "c.png", "reference_file": "c.png", "metrics": {"1": {"Dice": 0.5}}}
        content = {"metric_per_case": [case], "mean": {"1": {"Dice": 0.5}}, "foreground_mean": {"Dice": 0.5}}
        (folder / f"{name}.json").write_text(json.dumps(content))
        (folder / f"{name}.csv").write_text("table")
    return folder / "a.json", folder / "b.json"


@pytest.mark.parametrize("name", ["a.csv", "b.json", "deeper/../b.csv"])
def test_compare_does_not_replace_what_it_compares(tmp_path, name):
    a, b = of_two(tmp_path)
    (tmp_path / "deeper").mkdir()
    result = CliRunner().invoke(app, ["compare", str(a), str(b), "-o", str(tmp_path / name)])
    assert "is what this command reads" in str(result.exception)
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text() == "table"


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "-ref", "pred", "-pred", "pred", "-o", "pred/a.json"],
        ["evaluate", "-ref", "pred", "-pred", "pred", "-o", "fifo.json"],
        ["show", "dataset", "-d", "510", "-o", "raw/Dataset510_Cells/labelsTr/a.png"],
        ["show", "weight-maps", "-d", "510", "-o", "dangling.png"],
        ["tune-thresholds", "-d", "1", "-c", "2d", "-tr", "T", "-f", "0", "-o", "dangling.png"],
        ["instances", "-i", "pred", "-o", "raw/Dataset510_Cells/labelsTr"],
        ["instances", "-i", "pred", "-o", "fifo.json"],
        ["demo", "-o", "pred"],
    ],
    ids=lambda words: f"{words[0]} {words[-1]}",
)
def test_every_command_refuses_before_it_works(place, monkeypatch, words):
    monkeypatch.chdir(place)
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, UserError), result.output
    assert str(result.exception).startswith(f"-o {words[-1]} ")
