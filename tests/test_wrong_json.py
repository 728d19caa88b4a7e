"""Every JSON file that is read, with each of its entries replaced or missing: an error text, no traceback."""

import copy
import json

import pytest

from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.comparison import compare_summaries
from nnunet_ext.evaluation.summary import load_summary
from nnunet_ext.instances.options import find_cell_classes
from nnunet_ext.nnunet_files.dataset_json import read_classes, read_dataset_json
from nnunet_ext.nnunet_files.hierarchy import hierarchy_of
from nnunet_ext.nnunet_files.plans import write_small_plans

OTHERS = [None, True, -1, 1.5, 10**30, "x", "", [], [[]], {}, {"x": None}, [1, 2]]


def places(content, path=()):
    """Keys and indices of every entry, the whole first."""
    yield path
    entries = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, inner in entries:
        yield from places(inner, (*path, key))


def variants(content):
    """The content with each entry replaced by something else, or taken away; and texts that are no JSON."""
    text = json.dumps(content)
    yield from ("", text[:-1], text.replace(":", ";", 1), "\x00", "[" * 5000)
    for path in places(content):
        for other in OTHERS:
            changed = {"": copy.deepcopy(content)}
            at = changed
            for key in ("", *path)[:-1]:
                at = at[key]
            at[("", *path)[-1]] = other
            yield json.dumps(changed[""])
        if path:
            changed = copy.deepcopy(content)
            at = changed
            for key in path[:-1]:
                at = at[key]
            del at[path[-1]]
            yield json.dumps(changed)


def dataset(file):
    content = read_dataset_json(file)
    read_classes(content, file)


def cell_classes(file):
    find_cell_classes(read_dataset_json(file), file)


def hierarchy(file):
    hierarchy_of(read_dataset_json(file))


def comparison(file):
    summary = load_summary(file)
    compare_summaries(summary, summary, n_resamples=10)


def plans(file):
    write_small_plans("7", overwrite=True)


DATASET = {
    "channel_names": {"0": "x"},
    "labels": {"background": 0, "cell": 1, "touching": 2, "ignore": 3},
    "file_ending": ".tif",
    "numTraining": 1,
    "overwrite_image_reader_writer": "NaturalImage2DIO",
}
REGIONS = {
    **DATASET,
    "labels": {"background": 0, "whole": [1, 2], "core": [2]},
    "regions_class_order": [1, 2],
}
NESTED = {**DATASET, "nesting": {"cell": {"touching": {}}}}
SUMMARY = {
    "metric_per_case": [
        {
            "prediction_file": f"{case}.png",
            "reference_file": "r",
            "metrics": {"1": {"Dice": 0.5, "n_pred": 3}},
        }
        for case in "ab"
    ],
    "class_names": {"1": "cell"},
    "mean": {},
}
PLANS = {
    "plans_name": "nnUNetPlans",
    "configurations": {
        "2d": {
            "batch_size": 12,
            "patch_size": [64, 64],
            "architecture": {
                "arch_kwargs": {
                    "n_stages": 3,
                    "kernel_sizes": [[3, 3]] * 3,
                    "strides": [[1, 1], [2, 2], [2, 2]],
                    "n_conv_per_stage": [2] * 3,
                    "n_conv_per_stage_decoder": [2] * 2,
                }
            },
        },
        "more": {"inherits_from": "2d", "next_stage": ["2d"]},
    },
}


@pytest.mark.parametrize(
    ("content", "read"),
    [
        *[(content, read) for content in (DATASET, REGIONS) for read in (dataset, cell_classes, hierarchy)],
        (NESTED, hierarchy),
        (SUMMARY, comparison),
        (PLANS, plans),
    ],
)
def test_wrong_json_is_an_error_text(tmp_path, monkeypatch, content, read):
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    (tmp_path / "Dataset007_A").mkdir()
    file, refused, passed = tmp_path / "Dataset007_A" / "nnUNetPlans.json", 0, 0
    for text in variants(content):
        file.write_text(text)
        try:
            read(file)
            passed += 1
        except UserError:
            refused += 1
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}\nof {text}")
    assert refused > 20
