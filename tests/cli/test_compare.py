import csv
import json
import math
import os

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from nnunet_ext.cli.compare import compare
from nnunet_ext.errors import UserError

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(compare)


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def write_summary(file, dices, **more):
    """As nnU-Net's own evaluation writes it, NaN included."""
    cases = [
        {
            "prediction_file": f"/{file.stem}/{case}.nii.gz",
            "reference_file": f"/ref/{case}.nii.gz",
            "metrics": {"1": {"Dice": dice, "FP": 10, **dict.fromkeys(more, 2 * dice)}},
        }
        for case, dice in dices.items()
    ]
    file.write_text(json.dumps({"metric_per_case": cases, "mean": {}, "foreground_mean": {}}))
    return file


@pytest.fixture
def summaries(tmp_path):
    a = write_summary(tmp_path / "a.json", {"x": 0.5, "y": 0.6, "z": 0.7, "w": float("nan")}, Beta0Error=1)
    b = write_summary(tmp_path / "b.json", {"w": 0.5, "x": 0.6, "y": 0.7, "z": 0.8}, Beta0Error=1)
    return a, b


def test_table(summaries, tmp_path, monkeypatch):
    monkeypatch.setattr("nnunet_ext.cli.compare.out", Console(width=80))
    result = run(*summaries, "-o", tmp_path / "table.csv")
    assert result.exit_code == 0, result.output
    assert "Dice ↑" in result.output
    assert "Beta0Error ↓" in result.output
    assert "0.1000" in result.output
    assert "3 of 4" in result.output  # one pair has a NaN
    assert "…" not in result.output  # fits in 80 columns
    with open(tmp_path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["metric"] for row in rows} == {"Dice", "Beta0Error"}
    assert rows[1]["p"] == "0.25"  # all three differences are positive: 2 of 8 sign flips


def test_equal_methods_have_p_1(summaries, tmp_path):
    result = run(summaries[1], summaries[1], "--metric", "Dice", "--metric", "FP", "-o", tmp_path / "t.csv")
    assert result.exit_code == 0, result.output
    with open(tmp_path / "t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["metric"], row["p_wilcoxon"], row["p"]) for row in rows] == [
        (metric, "1.0", "1.0") for metric in ("Dice", "FP")
    ]


def test_containment_is_compared_and_fits_in_80_columns(tmp_path, monkeypatch):
    monkeypatch.setattr("nnunet_ext.cli.compare.out", Console(width=80))
    metrics = "ExposedSurface", "ExposedComponents", "ExposedVoxels", "faces_pred"
    a, b = (
        write_summary(tmp_path / f"{name}.json", dict.fromkeys("wxyz", dice), **dict.fromkeys(metrics))
        for name, dice in (("a", 0.4), ("b", 0.2))
    )
    output = run(a, b).output
    for metric in metrics[:3]:
        assert f"{metric} ↓" in output
    assert "faces_pred" not in output
    assert "-0.4000" in output


def test_user_errors(summaries, tmp_path):
    other = write_summary(tmp_path / "other.json", {"x": 0.5, "v": 0.5})
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    for args, message in (
        ((summaries[0], other), "only in B: v.nii.gz"),
        ((summaries[0], tmp_path / "none.json"), "There is no file"),
        ((broken, summaries[0]), "not valid JSON"),
        ((*summaries, "--metric", "clDice"), "clDice"),
    ):
        result = run(*args)
        assert result.exit_code == 1
        assert isinstance(result.exception, UserError), result.exception
        assert message in str(result.exception)


def test_where_no_case_has_a_number_there_is_no_test_to_correct_for(tmp_path):
    words = []
    for name, dice in (("a1", 0.5), ("a2", 0.6), ("b1", 0.7), ("b2", 0.8)):
        metrics = {"1": {"Dice": math.nan, "IoU": dice}}
        content = {"metric_per_case": [{"prediction_file": "/x/0.png", "metrics": metrics}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        words.append(f"{name[0].upper()}={tmp_path / name}.json")
    output = run(*words, "--metric", "Dice", "--metric", "IoU").output
    assert "corrected for the 1 tests made here" in " ".join(output.split())
    assert "over trainings and cases" in " ".join(output.split())  # although the first row has no test
    assert "One case: p says whether trainings differ on it" in " ".join(output.split())


def test_few_pairs_and_old_summaries_are_said(summaries, tmp_path):
    result = run(*summaries)
    assert "With 3 pairs no p can be below 0.25, so no difference can be significant at 0.05" in result.output
    assert "β0 error: how many separate pieces" in result.output
    assert "clDice:" not in result.output
    many = [
        write_summary(tmp_path / f"{name}.json", {f"c{i}": shift + i / 20 for i in range(6)})
        for name, shift in (("c", 0.1), ("d", 0.2))
    ]
    assert "significant" not in run(*many).output
    for case in ("x", "y"):
        (tmp_path / f"{case}.nii.gz").touch()
    later = summaries[0].stat().st_mtime + 10
    os.utime(tmp_path / "x.nii.gz", (later, later))
    os.utime(tmp_path / "y.nii.gz", (1, 1))
    output = run(*summaries).output
    assert "a.json is from before 1 of its 4 predictions changed (x.nii.gz). Evaluate again." in output


def test_an_infinite_value_is_no_pair(tmp_path):
    values = {f"c{i}": i / 10 for i in range(7)}
    a = write_summary(tmp_path / "a.json", {**values, "c3": float("inf")})
    b = write_summary(tmp_path / "b.json", values)
    result = run(a, b)
    assert result.exit_code == 0
    assert "6 of 7" in result.output
    assert "<0.0001" not in result.output


def test_models_by_name_and_pattern(tmp_path, monkeypatch):
    monkeypatch.setattr("nnunet_ext.cli.compare.out", Console(width=80))
    for name, shift in (("ext", 0.0), ("scnp", 0.2), ("joint", 0.1)):
        for seed in (1, 2, 3):
            dices = {case: 0.1 * i + shift + 0.01 * seed * i for i, case in enumerate("uvwxyz")}
            write_summary(tmp_path / f"{name}_{seed}.json", dices)
    models = [f"{name}={tmp_path}/{name.lower()}_*.json" for name in ("Ext", "SCNP", "joint")]
    result = run(*models, "-o", tmp_path / "table.csv")
    assert result.exit_code == 0, result.output
    assert "SCNP − Ext" in result.output
    assert "joint − Ext" in result.output
    assert "joint − SCNP" not in result.output
    assert "0.2500 ± 0.0250" not in result.output.replace("\n", " ")  # of 1 class: no foreground mean
    assert "0.3000 ± 0.0250" in result.output
    assert "corrected for the 2 tests" in " ".join(result.output.split())
    with open(tmp_path / "table_means.csv", newline="") as file:
        assert {row["model"]: row["n_trainings"] for row in csv.DictReader(file)} == dict.fromkeys(
            ("Ext", "SCNP", "joint"), "3"
        )
    assert "joint − SCNP" in run(*models, "--all-pairs").output
    assert "Ext − joint" in run(*models, "--baseline", "joint").output


def test_names_that_cannot_be_read(summaries, tmp_path):
    a, b = summaries
    for words, message in (
        ([a], "give two summaries, or a name for each"),
        ([a, f"B={b}"], "give two summaries, or a name for each"),
        ([f"A={a}", f"B={tmp_path}/no*.json"], "there is no such file"),
        ([f"A={a}", f"B={a}"], "given twice"),
        ([f"={a}", f"B={b}"], "expected NAME=FILE"),
        ([f"A={a}"], "two models or more"),
    ):
        error = run(*words).exception
        assert isinstance(error, UserError), words
        assert message in str(error)
