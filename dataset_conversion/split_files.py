"""Splits of the user's own, for datasets whose published split says how many cases but not which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nnunet_ext.dataset_conversion.case import Case, Part
from nnunet_ext.dataset_conversion.folds import split_cases
from nnunet_ext.errors import UserError
from nnunet_ext.files import read_json

NOT_NAMED = "not named in the split file"
_LISTED = 5


def deal_cases(
    cases: Sequence[Case],
    sizes: Mapping[Part, int],
    seed: int,
    split_file: Path | None,
    strata: Callable[[Case], Hashable] = lambda case: 0,
) -> list[Case]:
    """Deal cases to parts as a file says or, without one, at random; see `folds.split_cases`."""
    if split_file is None:
        return split_cases(cases, sizes, seed, strata)
    return split_from_file(cases, split_file, tuple(sizes))


def split_from_file(cases: Sequence[Case], file: Path, parts: Sequence[Part]) -> list[Case]:
    """Give cases the parts that a JSON file ``{"train": [ids], "val": [ids], ...}`` has them in.

    Parameters
    ----------
    cases : sequence of Case
        The cases; their own parts do not matter. One that the file does not name is left out.
    file : Path
        The file.
    parts : sequence of str
        The keys it may have.

    Raises
    ------
    UserError
        If the file is not of that form, or names a case twice or one that is not there.
    """
    content = read_json(file)
    keys = ", ".join(f'"{part}": [case ids]' for part in parts)
    form = f"{file}: a split is expected as {{{keys}}}"
    if not isinstance(content, dict) or not all(isinstance(ids, list) for ids in content.values()):
        raise UserError(f"{form}.")
    if unknown := sorted(set(content) - set(parts)):
        raise UserError(f"{form}; found {', '.join(unknown)}.")
    named = Counter(case_id for ids in content.values() for case_id in map(str, ids))
    _check(file, [case_id for case_id, times in named.items() if times > 1], "named more than once")
    _check(file, sorted(set(named) - {case.id for case in cases}), "not in the dataset")
    part_of = {str(case_id): part for part in parts for case_id in content.get(part, ())}
    return [
        replace(case, part=part_of[case.id]) if case.id in part_of else replace(case, left_out=NOT_NAMED)
        for case in cases
    ]


def _check(file: Path, wrong: Sequence[str], what: str) -> None:
    if wrong:
        more = f" and {len(wrong) - _LISTED} more" if len(wrong) > _LISTED else ""
        raise UserError(f"{file}: cases {what}: {', '.join(wrong[:_LISTED])}{more}.")
