"""What lies in what, from dataset.json."""

import pytest

from nnunet_ext.errors import UserError
from nnunet_ext.nnunet_files.hierarchy import hierarchy_of

LABELS = {"background": 0, "cell": 1, "nucleus": 2, "debris": 3, "ignore": 4}


def nested(nesting, labels=LABELS):
    return hierarchy_of({"labels": labels, "nesting": nesting})


def test_without_nesting_each_label_lies_in_the_one_before():
    hierarchy = hierarchy_of({"labels": {"background": 0, "nucleus": 2, "cell": 1}})
    assert hierarchy.chains == (("cell", "nucleus"),)
    assert hierarchy.parents == {"nucleus": "cell", "cell": None}
    assert hierarchy.labels == {"nucleus": (2,), "cell": (1, 2)}
    assert hierarchy.levels == ((0,), (1,), (2,))
    assert hierarchy.siblings == ()


@pytest.mark.parametrize(
    "nesting",
    [
        ["cell", "debris", "nucleus"],
        ["background", "cell", "debris", "nucleus"],
        {"cell": {"debris": {"nucleus": {}}}},
        {"background": {"cell": {"debris": {"nucleus": {}}}}},
    ],
)
def test_chain(nesting):
    hierarchy = nested(nesting)
    assert hierarchy.chains == (("cell", "debris", "nucleus"),)
    assert hierarchy.levels == ((0,), (1,), (3,), (2,))


def test_tree():
    hierarchy = nested({"cell": {"nucleus": {}}, "debris": {}})
    assert hierarchy.chains == (("cell", "nucleus"), ("debris",))
    assert hierarchy.siblings == ((0, 1),)
    assert hierarchy.levels == ((0, 0), (1, 0), (2, 0), (0, 1))
    assert hierarchy.labels["cell"] == (1, 2)
    assert hierarchy.own_label == {"cell": 1, "nucleus": 2, "debris": 3}


def test_a_chain_ends_where_two_classes_lie_in_it():
    hierarchy = nested({"cell": {"nucleus": {}, "debris": {}}})
    assert hierarchy.chains == (("cell",), ("nucleus",), ("debris",))
    assert hierarchy.siblings == ((1, 2),)
    assert hierarchy.levels == ((0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 0, 1))


def test_regions_as_in_brats():
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4}
    hierarchy = hierarchy_of({"labels": labels, "regions_class_order": [1, 2, 3]})
    assert hierarchy.regions
    assert hierarchy.chains == (("whole", "core", "enhancing"),)
    assert hierarchy.levels == ((0,), (1,), (2,), (3,))


def test_regions_in_any_order_and_as_a_tree():
    labels = {"background": 0, "tumour": [3], "organ": [1, 3, 4], "cyst": 4, "other": [2, 5]}
    hierarchy = hierarchy_of({"labels": labels})
    assert hierarchy.parents == {"tumour": "organ", "organ": None, "cyst": "organ", "other": None}
    assert hierarchy.chains == (("organ",), ("other",), ("tumour",), ("cyst",))
    assert hierarchy.siblings == ((0, 1), (2, 3))


@pytest.mark.parametrize(
    ("nesting", "text"),
    [
        (["cell", "nucleus"], "'debris'"),
        ({"cell": {"nucleus": {}}}, "'debris'"),
        (["cell", "nucleus", "debris", "cell"], "'cell' within itself"),
        ({"cell": {"nucleus": {"cell": {}}}, "debris": {}}, "'cell' within itself"),
        ({"cell": {"nucleus": {}}, "debris": {"nucleus": {}}}, "'nucleus' twice"),
        ({"cell": {"nucleus": {}}, "dirt": {}}, "'dirt', which is no label"),
        ({"cell": {"nucleus": {}}, "debris": {}, "ignore": {}}, "'ignore', which is no label"),
        ({"cell": "nucleus", "debris": {}}, "in 'cell' there is 'nucleus'"),
        ("cell", "at the top there is 'cell'"),
        (["cell", {"nucleus": {}}], "at the top there is"),
    ],
)
def test_refused_by_name(nesting, text):
    with pytest.raises(UserError, match="nesting") as caught:
        nested(nesting)
    assert text in str(caught.value)


@pytest.mark.parametrize("labels", [{"a": [1, 2], "b": [2, 3]}, {"a": [1, 2], "b": [2, 1]}])
def test_regions_that_are_not_nested(labels):
    with pytest.raises(UserError, match="'a' and 'b' overlap"):
        hierarchy_of({"labels": {"background": 0, **labels}})


def test_a_nesting_beside_regions_must_be_theirs():
    labels = {"background": 0, "cell": [1, 2], "nucleus": [2]}
    assert nested(["cell", "nucleus"], labels) == hierarchy_of({"labels": labels})
    with pytest.raises(UserError, match="something else than the regions"):
        nested(["nucleus", "cell"], labels)


def test_no_labels():
    with pytest.raises(UserError, match="nothing to nest"):
        hierarchy_of({"labels": {"background": 0}})


@pytest.mark.parametrize(
    ("labels", "nesting", "text"),
    [
        ({"cell": 1, "nucleus": 2}, None, "{cell: {nucleus: {}}}"),
        ({"cell": 1, "nucleus": 2, "debris": 3}, {"debris": {}, "cell": {"nucleus": {}}}, None),
        ({"nucleus": 2, "cell": [1, 2]}, None, "{cell: {nucleus: {}}} (regions)"),
    ],
)
def test_as_text(labels, nesting, text):
    json = {"labels": {"background": 0, **labels}}
    found = str(hierarchy_of(json if nesting is None else {**json, "nesting": nesting}))
    assert found == (text or "{cell: {nucleus: {}}, debris: {}}")
