"""Summaries that are of different truth, or were measured differently, are no two methods to compare."""

import json
import os

import numpy as np
import pytest

from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.comparability import comparison_notes, same_numbers_note, stale_notes
from nnunet_ext.images.instance_files import write_instances
from nnunet_ext.metrics import compare_summaries, evaluate_instance_folders, load_summary, save_summary


def summary(
    folder="a", *, truth=100, reference="/data/Dataset1_X/labelsTs", names=None, ignored=None, **more
):
    cases = [
        {
            "prediction_file": f"/{folder}/{case}.png",
            "reference_file": f"{reference}/{case}.png",
            "metrics": {"1": {"Dice": number / 10, "Beta0Error": number, "n_ref": truth + number}},
            **({} if ignored is None else {"ignored_voxels": ignored}),
        }
        for number, case in enumerate("xyz")
    ]
    return {"metric_per_case": cases, "class_names": names or {"1": "cell"}, **more}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            summary(truth=200),
            r"The references differ in 3 cases: class 1 of x.png has 100 voxels in A and 200 in B",
        ),
        (summary(names={"1": "vessel"}), "Class 1 is 'cell' in A and 'vessel' in B"),
        (summary(connectivity=1), "The β errors of A are of connectivity full, of B 1"),
        (summary(ignored=7), "nobody judged it differs in 3 cases: in x.png 0 voxels in A and 7 in B"),
    ],
)
def test_different_truth_or_ways_are_refused(other, message):
    mine, theirs = ({"connectivity": None, "ignored": None, **s} for s in (summary(), other))
    with pytest.raises(UserError, match=message):
        compare_summaries(mine, theirs)


def test_what_has_no_influence_may_differ():
    mine, theirs = summary(connectivity=None), summary("b", connectivity=1)
    assert {row.metric for row in compare_summaries(mine, theirs, ["Dice"])} == {"Dice"}
    full = summary("b", connectivity=2)  # full in 2D
    assert len(compare_summaries(mine, full)) == 2
    nnunets = summary("b", ignored=None, names={"1": ""})  # does not say what it ignored
    assert len(compare_summaries(summary(ignored=5), nnunets)) == 2


def test_a_class_is_called_as_any_of_the_summaries_calls_it():
    nnunets = summary()
    del nnunets["class_names"]
    for pair in ((nnunets, summary("b")), (summary(), {**nnunets, **summary("b", names={"1": ""})})):
        assert {row.class_name for row in compare_summaries(*pair, ["Dice"])} == {"cell"}


def test_what_is_odd_is_said():
    same, other = summary(), summary("b", reference="/mnt/Dataset1_X/labelsTr")
    del other["metric_per_case"][0]["metrics"]["1"]["Beta0Error"]
    other["metric_per_case"][1]["metrics"]["1"]["Dice"] = 0.9
    notes = comparison_notes(same, other)
    assert notes == [
        "Only in A, so not compared: Beta0Error.",
        "The reference of x.png is /data/Dataset1_X/labelsTs/x.png in A, /mnt/Dataset1_X/labelsTr/x.png in "
        "B. Are they the same?",
    ]
    elsewhere = summary("b", reference="/other/machine/Dataset1_X/labelsTs")
    assert comparison_notes(same, elsewhere) == []
    (copied,) = same_numbers_note(same, elsewhere)
    assert copied.startswith("All numbers of A and B are the same.")
    changed = summary("b", reference="labelsTs")
    changed["metric_per_case"][0]["metrics"]["1"]["Dice"] = float("nan")
    assert comparison_notes(same, changed) == same_numbers_note(same, changed) == []


def make_evaluation(root, name, cell, **options):
    for folder, instances in (("ref", np.eye(6, dtype=np.uint16)), (name, cell)):
        (root / folder).mkdir(exist_ok=True)
        write_instances(root / folder / "a.tif", instances, (0.5, 0.5))
    found = evaluate_instance_folders(root / "ref", root / name, **options)
    return save_summary(found, root / name / "evaluation.json")[0]


def test_contours_measured_in_different_units_are_refused(tmp_path):
    a = load_summary(make_evaluation(tmp_path, "a", np.eye(6, dtype=np.uint16)))
    in_um = {"physical": True, "tolerances": [2]}
    b = load_summary(make_evaluation(tmp_path, "b", np.eye(6, dtype=np.uint16), **in_um))
    with pytest.raises(UserError, match=r"unit voxels in A, physical in B.*--metric PQ"):
        compare_summaries(a, b)
    assert len(compare_summaries(a, b, ["PQ", "AJI"])) == 2
    c = load_summary(make_evaluation(tmp_path, "c", np.eye(6, dtype=np.uint16), spacing=(2, 1)))
    with pytest.raises(UserError, match=r"spacing as in the files in A, 2 x 1 in B"):
        compare_summaries(a, c)
    d = load_summary(make_evaluation(tmp_path, "d", np.eye(6, dtype=np.uint16), tolerances=[2, 9]))
    assert "Only in B, so not compared: ContourF1@9." in comparison_notes(a, d)


def test_a_summary_from_before_its_predictions_changed(tmp_path):
    file = make_evaluation(tmp_path, "a", np.eye(6, dtype=np.uint16))
    content = load_summary(file)
    assert stale_notes(file, content) == []
    later = file.stat().st_mtime_ns + 10**9
    os.utime(tmp_path / "a" / "a.tif", ns=(later, later))
    (note,) = stale_notes(file, content)
    assert "a/evaluation.json is from before 1 of its 1 predictions changed (a.tif). Evaluate again." in note
    moved = (tmp_path / "a").rename(tmp_path / "copied")  # named in the summary by a path that is no more
    assert len(stale_notes(moved / "evaluation.json", content)) == 1
    (moved / "a.tif").unlink()
    (tmp_path / "a").mkdir()
    (note,) = stale_notes(moved / "evaluation.json", content)
    assert "predictions went (a.tif)" in note


@pytest.mark.parametrize(
    "wrong",
    [
        {"class_names": []},
        {"class_names": {"1": 3}},
        {"settings": 3},
        {"settings": {"spacing": "x"}},
        {"ignored": [1]},
        {"ignored": {"left_out": "ab"}},
        {"connectivity": "full"},
        {"metric_per_case": {}},
        {"metric_per_case": [[]]},
        {"metric_per_case": [{"prediction_file": "a", "metrics": {"1": {"Dice": "0.5"}}}]},
        {"metric_per_case": [{"prediction_file": "a", "metrics": {"1": {"Dice": True}}}]},
        {"metric_per_case": [{"prediction_file": 3, "metrics": {"1": {"Dice": 1}}}]},
        {"metric_per_case": [{"prediction_file": "a", "metrics": {"1": {}}}]},
        {
            "metric_per_case": [
                {"prediction_file": "a", "metrics": {"1": {"Dice": 1}}},
                {"prediction_file": "b", "metrics": {"1": {"IoU": 1}}},
            ]
        },
    ],
)
def test_a_summary_of_the_wrong_shape_is_named(tmp_path, wrong):
    file = tmp_path / "a.json"
    file.write_text(json.dumps({**summary(), **wrong}))
    with pytest.raises(UserError, match=r"a.json: .*This is not a summary"):
        load_summary(file)
    file.write_text(json.dumps(summary()))
    assert load_summary(file) == summary()
