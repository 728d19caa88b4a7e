"""Seeded splits (sizes, groups, kinds, a missing case), and the folds where nnU-Net's own would not do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_ext.dataset_conversion import Case, folds, split_cases


def make(number: int, groups: int = 0) -> list[Case]:
    return [
        Case(f"c{i:04d}", "train", (Path(f"{i}.png"),), group=f"g{i % groups}" if groups else None)
        for i in range(number)
    ]


def parts(cases: list[Case]) -> dict[str, str]:
    return {case.id: case.part for case in cases}


@pytest.mark.parametrize("sizes", [(532, 66, 67), (212, 27, 27), (559, 70, 70), (4357, 623, 1246)])
def test_the_sizes_of_the_papers_are_exact(sizes: tuple[int, int, int]) -> None:
    wanted = dict(zip(("train", "val", "test"), sizes, strict=True))
    assert Counter(case.part for case in split_cases(make(sum(sizes)), wanted)) == wanted


def test_the_same_seed_in_any_order() -> None:
    cases, sizes = make(40), {"train": 30, "val": 4, "test": 6}
    one, other = split_cases(cases, sizes, 7), split_cases(cases[::-1], sizes, 7)
    assert parts(one) == parts(other)
    assert [case.id for case in one] == [case.id for case in cases]
    assert parts(one) != parts(split_cases(cases, sizes, 8))
    assert cases == make(40)


def test_literal() -> None:
    """Fixed for good: published splits must not change with a version of Python or NumPy."""
    split = split_cases(make(10), {"train": 6, "val": 2, "test": 2}, 12345)
    assert [case.id for case in split if case.part == "test"] == ["c0004", "c0005"]
    assert [case.id for case in split if case.part == "val"] == ["c0007", "c0009"]


def test_a_missing_case_moves_few_others() -> None:
    cases, sizes = make(100), {"train": 80, "val": 10, "test": 10}
    before, after = parts(split_cases(cases, sizes)), parts(split_cases(cases[1:], sizes))
    assert sum(before[case] != part for case, part in after.items()) <= 2


def test_groups_stay_together() -> None:
    split = split_cases(make(93, groups=53), {"train": 74, "val": 19})
    by_group = {case.group: {other.part for other in split if other.group == case.group} for case in split}
    assert all(len(found) == 1 for found in by_group.values())
    assert Counter(case.part for case in split) == {"train": 74, "val": 19}


def test_large_groups_come_near() -> None:
    split = split_cases(make(12, groups=4), {"train": 10, "val": 2})  # groups of three
    assert Counter(case.part for case in split) == {"train": 9, "val": 3}


def test_a_single_group_trains() -> None:
    assert {case.part for case in split_cases(make(5, groups=1), {"train": 4, "val": 1})} == {"train"}


def test_kinds_are_split_in_proportion() -> None:
    kinds = {case.id: "ADGN"[i % 4] for i, case in enumerate(make(600))}
    split = split_cases(make(600), {"train": 480, "val": 120}, strata=lambda case: kinds[case.id])
    assert Counter(kinds[case.id] for case in split if case.part == "val") == dict.fromkeys("ADGN", 30)


def test_a_group_of_two_kinds_is_refused() -> None:
    cases = [replace(case, group="patient") for case in make(4)]
    with pytest.raises(ValueError, match="group 'patient' to be of one kind"):
        split_cases(cases, {"train": 2, "val": 2}, strata=lambda case: case.id)


def test_the_official_validation_cases_are_one_fold() -> None:
    assert folds(["a", "b"], ["c"], {"a": "x", "b": "y"}) == [{"train": ["a", "b"], "val": ["c"]}]


@pytest.mark.parametrize("number", [5, 6, 100])
def test_five_cases_are_left_to_nnunet(number: int) -> None:
    assert folds([str(i) for i in range(number)], [], {}) is None
    assert folds([], [], {}) is None


def test_few_cases_are_left_out_in_turn() -> None:
    assert folds(["a", "b", "c"], [], {}) == [
        {"train": ["b", "c"], "val": ["a"]},
        {"train": ["a", "c"], "val": ["b"]},
        {"train": ["a", "b"], "val": ["c"]},
    ]
    assert len(folds(list("abcd"), [], {})) == 4


def test_a_single_case_is_trained_and_validated_on() -> None:
    assert folds(["a"], [], {}) == [{"train": ["a"], "val": ["a"]}]
    assert folds(["a"], [], {"a": "x"}) == [{"train": ["a"], "val": ["a"]}]


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1, 1, 1), (6, 1, 1, 1, 1, 1), (3, 3), (2, 2, 2, 2, 2, 2, 2)])
def test_groups_stay_in_one_fold(sizes: tuple[int, ...]) -> None:
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


def test_folds_of_groups_are_of_similar_size() -> None:
    groups = {f"{g:02d}-{i}": str(g) for g in range(10) for i in range(3)}
    assert [len(fold["val"]) for fold in folds(sorted(groups), [], groups)] == [6] * 5


def test_one_group_cannot_be_kept_apart() -> None:
    assert folds(list("abcdef"), [], dict.fromkeys("abcdef", "x")) is None
    assert len(folds(list("abc"), [], dict.fromkeys("abc", "x"))) == 3
