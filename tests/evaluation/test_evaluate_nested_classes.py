"""Containment in the evaluation of folders: when it is reported, of which classes, and how it is pooled."""

import json
import math

import numpy as np
import pytest
from skimage import io

from nnunet_ext.errors import UserError
from nnunet_ext.metrics import (
    compare_summaries,
    containment,
    evaluate_folders,
    load_summary,
    save_summary,
)

LABELS = {"background": 0, "cell": 1, "nucleus": 2}
SHARES = ("ExposedSurface", "ExposedComponents", "ExposedVoxels")

NESTED = np.array([[0, 1, 1, 1, 0], [0, 1, 2, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]])
OPEN = np.array([[0, 1, 1, 1, 0], [0, 1, 2, 2, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]])
TWO = np.array([[1, 1, 1, 1, 1], [1, 2, 1, 1, 2], [1, 1, 1, 0, 1], [0, 0, 0, 0, 0]])
NONE = np.array([[0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]])


@pytest.fixture
def write(tmp_path):
    def write_folders(references, predictions, **dataset_json):
        content = {"labels": LABELS, "file_ending": ".png", **dataset_json}
        (tmp_path / "dataset.json").write_text(json.dumps(content))
        for name, maps in (("ref", references), ("pred", predictions)):
            (tmp_path / name).mkdir(exist_ok=True)
            for number, labels in enumerate(maps):
                io.imsave(tmp_path / name / f"{number}.png", labels.astype(np.uint8), check_contrast=False)
        return tmp_path / "ref", tmp_path / "pred"

    return write_folders


def test_shares_of_prediction_and_reference_by_case_in_the_mean_and_pooled(write):
    summary = evaluate_folders(*write([NESTED] * 3, [OPEN, TWO, NONE], nesting=["cell", "nucleus"]))
    assert summary["nesting"] == {"2": {"outer_name": "cell", "inner": (2,), "outer": (1, 2)}}
    nuclei = [case["metrics"]["2"] for case in summary["metric_per_case"]]
    assert [n["ExposedSurface"] for n in nuclei[:2]] == [1 / 6, 0]
    assert [n["ExposedComponents"] for n in nuclei[:2]] == [1, 1 / 2]
    assert [n["ExposedVoxels"] for n in nuclei[:2]] == [1, 1 / 2]
    assert all(math.isnan(nuclei[2][share]) for share in SHARES)
    assert [n["ExposedSurface_ref"] for n in nuclei] == [0, 0, 0]
    assert summary["mean"]["2"]["ExposedVoxels"] == pytest.approx(3 / 4)
    pooled = summary["pooled"]["2"]
    assert (pooled["faces_exposed_pred"], pooled["faces_pred"]) == (1, 6 + 4 + 3)
    assert (pooled["components_exposed_pred"], pooled["components_pred"]) == (2, 3)
    assert (pooled["voxels_exposed_pred"], pooled["voxels_pred"]) == (3, 4)
    assert [pooled[share] for share in SHARES] == [1 / 13, 2 / 3, 3 / 4]
    assert (pooled["components_ref"], pooled["ExposedComponents_ref"]) == (3, 0)


def test_a_class_in_the_background_cannot_stick_out(write):
    summary = evaluate_folders(*write([NESTED], [OPEN], nesting={"cell": {"nucleus": {}}}))
    cell, nucleus = summary["metric_per_case"][0]["metrics"].values()
    assert list(cell) == list(nucleus)
    extra = [key for key in cell if key not in ("Dice", "IoU", "clDice") and math.isnan(cell[key])]
    assert {*SHARES, "faces_pred", "faces_exposed_ref"} <= set(extra)
    assert "1" not in summary["pooled"]
    assert summary["foreground_mean"]["ExposedSurface"] == nucleus["ExposedSurface"] == 1 / 6


def test_a_tree_has_the_labels_of_what_lies_deeper(write):
    labels = {"background": 0, "debris": 1, "cell": 2, "nucleolus": 3, "nucleus": 4}
    nesting = {"cell": {"nucleus": {"nucleolus": {}}}, "debris": {}}
    image = np.array([[2, 2, 2, 2], [2, 4, 3, 1], [2, 2, 2, 2]])
    summary = evaluate_folders(*write([image], [image], labels=labels, nesting=nesting))
    nested = {key: (n["inner"], n["outer"]) for key, n in summary["nesting"].items()}
    assert nested == {"3": ((3,), (3, 4)), "4": ((3, 4), (2, 3, 4))}
    assert summary["mean"]["3"]["ExposedSurface"] == 3 / 4
    assert summary["mean"]["4"]["ExposedSurface"] == 1 / 6


def test_nested_regions_say_so_themselves(write):
    regions = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
    image = np.array([[1, 1, 1, 0], [1, 2, 3, 0], [1, 1, 1, 0]])
    summary = evaluate_folders(*write([image], [image], labels=regions, regions_class_order=[1, 2, 3]))
    assert summary["nesting"] == {
        "(2, 3)": {"outer_name": "whole", "inner": (2, 3), "outer": (1, 2, 3)},
        "3": {"outer_name": "core", "inner": (3,), "outer": (2, 3)},
    }
    assert summary["mean"]["(2, 3)"]["ExposedSurface"] == 1 / 6
    assert summary["mean"]["3"]["ExposedSurface"] == 3 / 4
    assert math.isnan(summary["mean"]["(1, 2, 3)"]["ExposedSurface"])


@pytest.mark.parametrize(
    "regions",
    [
        {"background": 0, "one": [1, 2], "other": [2, 3]},  # overlap
        {"background": 0, "one": [1, 2], "other": [3]},  # apart
    ],
)
def test_other_regions_are_evaluated_without_it(write, regions):
    folders = write([NESTED], [OPEN], labels=regions, regions_class_order=[1, 3])
    summary = evaluate_folders(*folders)
    assert not {"nesting", "pooled"} & set(summary)
    assert "ExposedSurface" not in summary["foreground_mean"]
    with pytest.raises(UserError, match=r"overlap|no class of dataset\.json lies in another"):
        evaluate_folders(*folders, containment=True)


def test_plain_labels_are_a_chain_only_when_asked(write):
    folders = write([NESTED], [OPEN])
    plain = evaluate_folders(*folders)
    assert "nesting" not in plain
    assert "ExposedSurface" not in plain["metric_per_case"][0]["metrics"]["2"]
    asked = evaluate_folders(*folders, containment=True)
    assert asked["nesting"]["2"]["outer"] == (1, 2)
    assert asked["mean"]["2"]["ExposedSurface"] == 1 / 6
    assert asked["mean"]["2"]["Dice"] == plain["mean"]["2"]["Dice"]


def test_a_wrong_nesting_is_named(write):
    with pytest.raises(UserError, match="nucleolus"):
        evaluate_folders(*write([NESTED], [OPEN], nesting=["cell", "nucleolus"]))


def test_what_is_ignored_is_neutral(write):
    reference = NESTED.copy()
    reference[1, 4] = 3  # beside the predicted nucleus
    labels = {**LABELS, "ignore": 3}
    folders = write([reference], [OPEN], labels=labels, nesting=["cell", "nucleus"])
    metrics = evaluate_folders(*folders)["metric_per_case"][0]["metrics"]["2"]
    assert (metrics["faces_pred"], metrics["faces_exposed_pred"]) == (5, 0)
    assert metrics["ExposedComponents"] == 1  # the corners above and below the ignored voxel


def test_json_and_csv_hold_it(write, tmp_path):
    folders = write([NESTED, TWO], [OPEN, NONE], nesting=["cell", "nucleus"])
    json_file, csv_file = save_summary(evaluate_folders(*folders), tmp_path / "out.json")
    header, *rows = csv_file.read_text().splitlines()
    assert len(rows) == 2 * 2
    assert {"ExposedSurface", "ExposedVoxels_ref", "components_exposed_pred"} <= set(header.split(","))
    loaded = load_summary(json_file)
    assert loaded["pooled"]["2"]["components_ref"] == 3
    assert loaded["nesting"]["2"]["outer"] == [1, 2]


def test_methods_are_compared_by_it(write):
    folders = write([NESTED] * 3, [OPEN] * 3, nesting=["cell", "nucleus"])
    a = evaluate_folders(*folders)
    b = evaluate_folders(*write([NESTED] * 3, [NESTED] * 3, nesting=["cell", "nucleus"]))
    rows = [row for row in compare_summaries(a, b) if row.metric in SHARES]
    assert [(row.metric, row.class_key) for row in rows] == [  # not "1", which lies in no other
        (share, key) for share in SHARES for key in ("foreground_mean", "2")
    ]
    rows = rows[1::2]
    assert [row.difference for row in rows] == [-1 / 6, -1, -1]
    assert {row.higher_is_better for row in rows} == {False}
    (baseline,) = (row for row in compare_summaries(a, b, ["ExposedSurface_ref"]) if row.class_key == "2")
    assert baseline.difference == 0


def test_equals_the_array_function_on_random_maps(write):
    rng = np.random.default_rng(0)
    references, predictions = rng.integers(0, 3, (2, 3, 12, 10))
    summary = evaluate_folders(*write(references, predictions, nesting=["cell", "nucleus"]))
    for maps, suffix, case_suffix in ((predictions, "", "pred"), (references, "_ref", "ref")):
        counts = [containment(labels, (2,), (1, 2)) for labels in maps]
        cases = [case["metrics"]["2"] for case in summary["metric_per_case"]]
        assert [c[f"ExposedSurface{suffix}"] for c in cases] == [c.surface_share for c in counts]
        total = counts[0] + counts[1] + counts[2]
        pooled = summary["pooled"]["2"]
        assert pooled[f"voxels_{case_suffix}"] == np.count_nonzero(maps == 2)
        assert pooled[f"ExposedVoxels{suffix}"] == total.voxel_share
