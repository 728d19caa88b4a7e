import csv
import json
import math

import pytest

from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.summary import nan_mean, summarize
from nnunet_ext.files import write_texts
from nnunet_ext.metrics import (
    compare_models,
    compare_summaries,
    holm,
    load_summary,
    repeated_mean,
    repeated_test,
    save_comparison,
    save_summary,
)

NAN = math.nan


def summary(values, folder="a", names=None):
    """`values`: case -> class key -> Dice; β0 error is 1 - Dice."""
    cases = [
        {
            "prediction_file": f"/{folder}/{case}.png",
            "reference_file": f"/ref/{case}.png",
            "metrics": {key: {"Dice": d, "Beta0Error": 1 - d, "n_pred": 3} for key, d in classes.items()},
        }
        for case, classes in values.items()
    ]
    keys = next(iter(values.values()))
    return summarize(cases, names or {key: f"class {key}" for key in keys})


A = summary({"x": {"2": 0.5, "10": 0.4}, "y": {"2": 0.7, "10": NAN}, "z": {"2": 0.9, "10": 0.8}})
B = summary({"z": {"2": 0.8, "10": 0.9}, "x": {"2": 0.9, "10": 0.6}, "y": {"2": 0.8, "10": 0.5}}, "b")


def test_cases_are_paired_by_name_classes_in_order_nan_dropped():
    rows = compare_summaries(A, B)
    assert [(row.metric, row.class_key) for row in rows] == [
        (metric, key) for metric in ("Dice", "Beta0Error") for key in ("foreground_mean", "2", "10")
    ]
    foreground, two, ten = rows[:3]
    assert two.difference == pytest.approx((0.4 + 0.1 - 0.1) / 3)
    assert (ten.n_pairs, ten.n_dropped) == (2, 1)
    assert ten.difference == pytest.approx(0.15)
    assert foreground.mean_a == pytest.approx((0.45 + 0.7 + 0.85) / 3)  # mean of classes in each case
    assert (two.class_name, foreground.class_name) == ("class 2", "")
    assert (rows[0].higher_is_better, rows[3].higher_is_better) == (True, False)


def test_metrics_can_be_chosen():
    rows = compare_summaries(A, B, ["n_pred"])
    assert {row.metric for row in rows} == {"n_pred"}
    assert rows[0].higher_is_better is None
    assert rows[0].p_wilcoxon == rows[0].p == 1
    with pytest.raises(UserError, match=r"clDice. In all: Dice, Beta0Error, n_pred"):
        compare_summaries(A, B, ["clDice"])


def test_every_case_or_class_in_one_only_is_named():
    more = summary({case: {"2": 0.5, "10": 0.5} for case in ("x", "y", "u", "v")})
    with pytest.raises(UserError, match=r"1 cases only in A: z.png\n2 cases only in B: u.png, v.png"):
        compare_summaries(A, more)
    other = summary({case: {"2": 0.5, "3": 0.5} for case in ("x", "y", "z")})
    with pytest.raises(UserError, match=r"only in A: 10\n.*only in B: 3"):
        compare_summaries(A, other)
    doubled = {**A, "metric_per_case": A["metric_per_case"] * 2}
    with pytest.raises(UserError, match="Summary B has several predictions"):
        compare_summaries(A, doubled)


def test_comparison_is_written_as_csv(tmp_path):
    file = save_comparison(compare_summaries(A, B), tmp_path / "new" / "table.csv")
    with open(file, newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 6
    assert rows[2]["class_key"] == "10"
    assert float(rows[2]["difference"]) == pytest.approx(0.15)


def test_summary_round_trip_with_nan(tmp_path):
    json_file, csv_file = save_summary(A, tmp_path / "summary.json")
    loaded = load_summary(json_file)
    assert loaded["mean"] == A["mean"]
    assert compare_summaries(loaded, B) == compare_summaries(A, B)
    with open(csv_file, newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["case"], row["class"], row["Dice"]) for row in rows][2:4] == [
        ("y.png", "2", "0.7"),
        ("y.png", "10", ""),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["summary.csv", "summary.json"]


def test_means_leave_nan_out_without_a_warning(recwarn):
    nothing = summary({"x": {"1": 0.5, "2": NAN}, "y": {"1": 0.7, "2": NAN}})
    assert math.isnan(nothing["mean"]["2"]["Dice"])
    assert nothing["foreground_mean"]["Dice"] == pytest.approx(0.6)
    assert math.isnan(nan_mean([]))
    assert not recwarn.list


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    target = tmp_path / "summary.json"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_texts({target: "new", tmp_path / "summary.csv": "\ud800"})  # cannot be encoded
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(UserError, match=r"Cannot write .*folder.json: it is a folder"):
        save_summary(A, tmp_path / "folder.json")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no file"),
        ("{", "not valid JSON"),
        ("[1]", "is not a summary"),
        (json.dumps({"metric_per_case": []}), "is not a summary"),
        (json.dumps({"metric_per_case": [{"prediction_file": "a", "metrics": {}}]}), "is not a summary"),
        (
            json.dumps({"metric_per_case": [{"prediction_file": "a", "metrics": {"1": 5}}]}),
            "is not a summary",
        ),
        (
            json.dumps({"metric_per_case": [{"prediction_file": "a", "metrics": {"1": {"Dice": None}}}]}),
            "is not a summary",
        ),
    ],
)
def test_what_is_not_a_summary_is_named(tmp_path, content, message):
    file = tmp_path / "some.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=message) as error:
        load_summary(file)
    assert str(file) in str(error.value)


def test_summary_must_be_json(tmp_path):
    with pytest.raises(UserError, match=r"summary\.txt: the name of the summary has to end in \.json"):
        save_summary(A, tmp_path / "summary.txt")


def trainings(dices, folder):
    """One summary for each training, of three cases and one class."""
    return [
        summary({case: {"1": dice} for case, dice in zip("xyz", values, strict=True)}, f"{folder}{number}")
        for number, values in enumerate(dices)
    ]


MODELS = {
    "Ext": trainings([(0.5, 0.6, 0.7), (0.6, 0.7, 0.8)], "e"),
    "SCNP": trainings([(0.7, 0.8, 0.9), (0.7, 0.9, 0.8), (0.8, 0.8, 0.8)], "s"),
    "Dice": trainings([(0.1, 0.2, 0.3)], "d"),
}


def test_several_models_with_several_trainings():
    result = compare_models(MODELS, ["Dice"])
    assert [(row.model, row.n_trainings, row.n_cases) for row in result.means] == [
        ("Ext", 2, 3),
        ("SCNP", 3, 3),
        ("Dice", 1, 3),
    ]
    first = repeated_mean([[0.5, 0.6, 0.7], [0.6, 0.7, 0.8]])
    assert (result.means[0].mean, result.means[0].sd) == (first.mean, first.sd)
    assert [(row.a, row.b) for row in result.differences] == [("Ext", "SCNP"), ("Ext", "Dice")]
    test = repeated_test([[0.5, 0.6, 0.7], [0.6, 0.7, 0.8]], [[0.7, 0.8, 0.9], [0.7, 0.9, 0.8], [0.8] * 3])
    assert (result.differences[0].p, result.differences[0].low) == (test.p, test.low)
    assert [row.p_holm for row in result.differences] == holm([row.p for row in result.differences])
    assert any(note.startswith("One training of Dice:") for note in result.notes)


def test_the_baseline_or_all_pairs():
    pairs = [(row.a, row.b) for row in compare_models(MODELS, ["Dice"], baseline="Dice").differences]
    assert pairs == [("Dice", "Ext"), ("Dice", "SCNP")]
    pairs = [(row.a, row.b) for row in compare_models(MODELS, ["Dice"], all_pairs=True).differences]
    assert pairs == [("Ext", "SCNP"), ("Ext", "Dice"), ("SCNP", "Dice")]
    with pytest.raises(UserError, match=r"no model 'JC' to compare with\. There are: Ext, SCNP, Dice"):
        compare_models(MODELS, baseline="JC")
    with pytest.raises(UserError, match="two models or more"):
        compare_models({"Ext": MODELS["Ext"]})


def test_a_training_given_twice_or_of_other_cases_is_said():
    same = {"Ext": [MODELS["Ext"][0]] * 2, "SCNP": MODELS["SCNP"]}
    assert any(note.startswith("All numbers of Ext (1) and Ext (2)") for note in compare_models(same).notes)
    other = {"Ext": MODELS["Ext"], "SCNP": [MODELS["SCNP"][0], summary({"x": {"1": 0.5}}, "o")]}
    with pytest.raises(UserError, match=r"cases only in Ext \(1\): y.png, z.png"):
        compare_models(other)


def test_a_case_that_one_training_has_no_number_for_is_in_no_mean():
    models = {"A": trainings([(0.5, 0.6, NAN)], "a"), "B": trainings([(0.7, 0.8, 0.1)], "b")}
    result = compare_models(models, ["Dice"])
    assert [(row.mean, row.n_cases, row.n_dropped) for row in result.means] == [
        (pytest.approx(0.55), 2, 1),
        (pytest.approx(0.75), 2, 1),
    ]
    assert result.differences[0].n_dropped == 1


def test_pooled_values_of_instances_are_given_without_a_test():
    models = {name: [{**each, "pooled": {"Dice": 0.5}} for each in of] for name, of in MODELS.items()}
    result = compare_models(models, ["Dice"])
    pooled = [row for row in result.means if row.class_key == "pooled"]
    assert [(row.model, row.mean) for row in pooled] == [("Ext", 0.5), ("SCNP", 0.5), ("Dice", 0.5)]
    assert (pooled[0].sd, math.isnan(pooled[2].sd)) == (0, True)
    assert {row.class_key for row in result.differences} == {"1"}


def test_an_interval_ends_where_the_metric_does():
    models = {
        "A": trainings([(0.9, 0.99, 1.0), (0.2, 0.1, 0.3)], "a"),
        "B": trainings([(0.7, 0.8, 0.9)], "b"),
    }
    row = compare_models(models, ["Dice"]).means[0]
    assert (row.low, row.high) == (0, 1)
    of_errors = compare_models(models, ["Beta0Error"]).means[0]
    assert of_errors.low == 0
    assert of_errors.high > 1


def test_a_single_model_has_means_alone():
    result = compare_models({"A": MODELS["Ext"]}, ["Dice"], single=True)
    assert [row.model for row in result.means] == ["A"]
    assert result.differences == []
