"""Which cases a report shows, what it says, and what the command refuses."""

import json
import math
import re

import numpy as np
import pytest
from skimage.io import imsave
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.comparison import compare_models
from nnunet_ext.evaluation.summary import summarize
from nnunet_ext.report.content import CaseTable, choose_cases, verdicts


def test_worst_median_and_most_different_each_once():
    values = {f"c{i}": [0.1 * i, 0.1 * i] for i in range(10)}
    values["c8"] = [0.4, 0.95]  # mean .675
    values["c9"] = [math.nan, 0.9]
    chosen = choose_cases(CaseTable("Dice", True, values))
    assert chosen["worst"] == ["c0", "c1", "c2"]
    assert chosen["median"] == ["c4", "c5"]
    assert chosen["most different"][0] == "c8"
    every = [case for cases in chosen.values() for case in cases]
    assert len(every) == len(set(every))


def test_of_errors_the_worst_are_the_largest_and_of_one_model_none_differs():
    chosen = choose_cases(CaseTable("Beta0Error", False, {f"c{i}": [float(i)] for i in range(6)}))
    assert chosen["worst"] == ["c5", "c4", "c3"]
    assert chosen["most different"] == []


def summaries(*dices):
    return [
        summarize(
            [
                {"prediction_file": f"/{n}/{i}.png", "metrics": {"1": {"Dice": d, "Beta0Error": 1 - d}}}
                for i, d in enumerate(values)
            ],
            {"1": "line"},
        )
        for n, values in enumerate(dices)
    ]


def test_verdicts_say_what_is_known_and_what_is_not():
    low = [np.linspace(0.4, 0.5, 12) + shift for shift in (0, 0.01, 0.02)]
    high = [values + 0.3 for values in low]
    comparison = compare_models({"Ext": summaries(*low), "SCNP": summaries(*high), "Same": summaries(*low)})
    better, same = verdicts(comparison)
    assert better.startswith("SCNP against Ext: better in Dice (by 0.3, p = ")
    assert "Beta0Error (by 0.3, p = " in better
    assert same == "Same against Ext: no difference can be shown in Dice, Beta0Error."
    (worse,) = verdicts(compare_models({"SCNP": summaries(*high), "Ext": summaries(*low)}))
    assert worse.startswith("Ext against SCNP: worse in Dice (by 0.3")
    (single,) = verdicts(compare_models({"SCNP": summaries(high[0]), "Ext": summaries(low[0])}))
    assert single.startswith("Ext against SCNP, these trainings: worse in Dice (by 0.3")


def write_predictions(folder, cases, share, seed=0):
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for number in range(cases):
        label = np.zeros((24, 32), np.uint8)
        label[4 + number % 16, 2:30] = 1
        wrong = random.random(label.shape) < share
        imsave(folder / f"case{number}.png", np.where(wrong, 1 - label, label), check_contrast=False)


@pytest.fixture
def folders(tmp_path):
    write_predictions(tmp_path / "labelsTs", 4, 0)
    write_predictions(tmp_path / "a", 4, 0.05)
    write_predictions(tmp_path / "b", 4, 0.02)
    labels = {"background": 0, '<b>line & "more"': 1}
    content = {"labels": labels, "file_ending": ".png", "channel_names": {"0": "x"}}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    return tmp_path


def run(folders, *words):
    given = ["report", "-ref", str(folders / "labelsTs"), "-o", str(folders / "report"), *map(str, words)]
    return CliRunner().invoke(app, given)


def test_a_page_of_two_models(folders):
    result = run(folders, "-pred", f"<i>A={folders / 'a'}", f"B={folders / 'b'}", "--title", "A & <B>")
    assert result.exit_code == 0, result.output
    (page,) = (folders / "report").iterdir()
    text = page.read_text(encoding="utf-8")
    assert "<title>A &amp; &lt;B&gt;</title>" in text
    assert "&lt;i&gt;A" in text
    assert "<i>A" not in text
    assert "<b>line" not in text
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", text)  # nothing is loaded from elsewhere
    assert text.count("<figure ") == 4
    assert all(f">case{number}<" in text for number in range(4))
    assert str(folders / "labelsTs") in text
    assert run(folders, "-pred", f"A={folders / 'a'}").exit_code == 0  # again, into the same folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Give -ref FOLDER and -pred"),
        (["-pred", "=a"], "expected NAME=FOLDER"),
        (["-pred", "nowhere"], "nowhere: there is no folder nowhere"),
        (["-pred", "A=nowhere"], "there is no folder nowhere"),
        (["-pred", "A={a}", "B={a}"], "given twice"),
        (["-pred", "A={a}", "--training", "B={a}"], "there is no model 'B'"),
        (["-pred", "A={a}", "--experiment", "{a}"], "does not go with --experiment"),
    ],
)
def test_refused(folders, words, message):
    result = run(folders, *(word.format(a=folders / "a") for word in words))
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)
    assert not (folders / "report").exists()


def test_a_folder_of_something_else_is_left_alone(folders):
    (folders / "report").mkdir()
    (folders / "report" / "thesis.tex").touch()
    result = run(folders, "-pred", f"A={folders / 'a'}")
    assert "holds other files" in str(result.exception)
