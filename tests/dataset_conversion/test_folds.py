"""The folds where nnU-Net's own would not do."""

import pytest

from nnunet_ext.dataset_conversion.base.splits import folds


def test_the_official_validation_cases_are_one_fold():
    assert folds(["a", "b"], ["c"], {"a": "x", "b": "y"}) == [{"train": ["a", "b"], "val": ["c"]}]


@pytest.mark.parametrize("number", [5, 6, 100])
def test_five_cases_are_left_to_nnunet(number):
    assert folds([str(i) for i in range(number)], [], {}) is None
    assert folds([], [], {}) is None


def test_few_cases_are_left_out_in_turn():
    assert folds(["a", "b", "c"], [], {}) == [
        {"train": ["b", "c"], "val": ["a"]},
        {"train": ["a", "c"], "val": ["b"]},
        {"train": ["a", "b"], "val": ["c"]},
    ]
    assert len(folds(list("abcd"), [], {})) == 4


def test_a_single_case_is_trained_and_validated_on():
    assert folds(["a"], [], {}) == [{"train": ["a"], "val": ["a"]}]
    assert folds(["a"], [], {"a": "x"}) == [{"train": ["a"], "val": ["a"]}]


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1, 1, 1), (6, 1, 1, 1, 1, 1), (3, 3), (2, 2, 2, 2, 2, 2, 2)])
def test_groups_stay_together(sizes):
    groups = {f"{g}-{i}": f"g{g}" for g, size in enumerate(sizes) for i in range(size)}
    cases = sorted([*groups, "alone"])
    found = folds(cases, [], groups)
    assert len(found) == min(5, len(sizes) + 1)
    assert sorted(case for fold in found for case in fold["val"]) == cases  # each case is validated once
    for fold in found:
        assert sorted(fold["train"] + fold["val"]) == cases
        assert fold["train"]
        assert not {groups.get(case) for case in fold["val"]} & {
            groups.get(case, 0) for case in fold["train"]
        }
    assert folds(cases, [], groups) == found


def test_folds_of_groups_are_of_similar_size():
    groups = {f"{g:02d}-{i}": str(g) for g in range(10) for i in range(3)}
    assert [len(fold["val"]) for fold in folds(sorted(groups), [], groups)] == [6] * 5


def test_one_group_cannot_be_kept_apart():
    assert folds(list("abcdef"), [], dict.fromkeys("abcdef", "x")) is None
    assert len(folds(list("abc"), [], dict.fromkeys("abc", "x"))) == 3
