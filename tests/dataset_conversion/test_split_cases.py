"""Seeded splits: sizes, groups, kinds, and that a missing case moves few others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_ext.dataset_conversion.base.case import Case
from nnunet_ext.dataset_conversion.base.splits import split_cases


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
    dealt = split_cases(make(10), {"train": 6, "val": 2, "test": 2}, 12345)
    assert [case.id for case in dealt if case.part == "test"] == ["c0004", "c0005"]
    assert [case.id for case in dealt if case.part == "val"] == ["c0007", "c0009"]


def test_a_missing_case_moves_few_others() -> None:
    cases, sizes = make(100), {"train": 80, "val": 10, "test": 10}
    before, after = parts(split_cases(cases, sizes)), parts(split_cases(cases[1:], sizes))
    assert sum(before[case] != part for case, part in after.items()) <= 2


def test_groups_stay_together() -> None:
    dealt = split_cases(make(93, groups=53), {"train": 74, "val": 19})
    by_group = {case.group: {other.part for other in dealt if other.group == case.group} for case in dealt}
    assert all(len(found) == 1 for found in by_group.values())
    assert Counter(case.part for case in dealt) == {"train": 74, "val": 19}


def test_large_groups_come_near() -> None:
    dealt = split_cases(make(12, groups=4), {"train": 10, "val": 2})  # groups of three
    assert Counter(case.part for case in dealt) == {"train": 9, "val": 3}


def test_a_single_group_trains() -> None:
    assert {case.part for case in split_cases(make(5, groups=1), {"train": 4, "val": 1})} == {"train"}


def test_kinds_are_dealt_in_proportion() -> None:
    kinds = {case.id: "ADGN"[i % 4] for i, case in enumerate(make(600))}
    dealt = split_cases(make(600), {"train": 480, "val": 120}, strata=lambda case: kinds[case.id])
    assert Counter(kinds[case.id] for case in dealt if case.part == "val") == dict.fromkeys("ADGN", 30)


def test_a_group_of_two_kinds_is_refused() -> None:
    cases = [replace(case, group="patient") for case in make(4)]
    with pytest.raises(ValueError, match="group 'patient' to be of one kind"):
        split_cases(cases, {"train": 2, "val": 2}, strata=lambda case: case.id)
