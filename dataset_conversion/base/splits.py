"""Which cases train, validate and test: nnU-Net's folds, a split drawn with a seed, a split from a file."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nnunet_ext.dataset_conversion.base.case import PARTS, Case, Part, Split
from nnunet_ext.errors import UserError, some_of
from nnunet_ext.files import composed, read_json

#: number of folds nnU-Net makes by itself; it fails on fewer cases
NNUNET_FOLDS = 5
NOT_NAMED = "not named in the split file"
_LISTED = 5  # cases in a message


def folds(train: Sequence[str], val: Sequence[str], groups: Mapping[str, str]) -> list[Split] | None:
    """Return the folds for ``splits_final.json``, or None to leave them to nnU-Net.

    nnU-Net shuffles single cases into five folds. That does where there are at least five cases, no official
    validation cases and no groups; folds are made here where one of these is not so.

    Parameters
    ----------
    train, val : sequence of str
        Case ids, sorted. With validation cases there is one fold, the official one.
    groups : mapping
        Group of those training cases that have one. A group stays in one fold; the folds, at most five, are
        of similar size.

    Returns
    -------
    list of dict or None
        ``{"train": [...], "val": [...]}`` per fold. Of 2 to 4 cases each is left out once; a single one is
        trained and validated on.

    Examples
    --------
    >>> folds(["a", "b"], [], {})
    [{'train': ['b'], 'val': ['a']}, {'train': ['a'], 'val': ['b']}]
    """
    if val:
        return [{"train": list(train), "val": list(val)}]
    if len(set(groups.values())) == 1 and len(groups) == len(train):
        groups = {}  # all of one group cannot be kept apart
    if not train or (not groups and len(train) >= NNUNET_FOLDS):
        return None
    if len(train) == 1:
        return [{"train": list(train), "val": list(train)}]
    return [
        {"train": [case for case in train if case not in held_out], "val": sorted(held_out)}
        for held_out in _held_out(train, groups)
    ]


def split_cases(
    cases: Sequence[Case],
    sizes: Mapping[Part, int],
    seed: int = 12345,
    strata: Callable[[Case], Hashable] = lambda case: 0,
) -> list[Case]:
    """Assign cases to training, validation and test at random, the same way for the same seed.

    The order in which cases are drawn is that of a hash of seed and group name. So it does not depend on the
    version of Python or NumPy, nor on which other cases there are: a missing case moves few others.

    Parameters
    ----------
    cases : sequence of Case
        The cases; their own parts do not matter. Cases of one `Case.group` stay together.
    sizes : mapping
        Cases per part in the complete dataset: ``{"train": 532, "val": 66, "test": 67}``. Of fewer or more
        cases each part gets its share; of whole groups, as near to it as they allow.
    seed : int
        Another one gives another split.
    strata : callable
        Case -> kind; each kind is split in these proportions. Default: all are of one kind.

    Returns
    -------
    list of Case
        The same cases in the same order, each with its part.

    Raises
    ------
    ValueError
        If a group has cases of several kinds.
    """
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.group or case.id].append(case)
    kinds: dict[Hashable, list[str]] = defaultdict(list)
    for name in sorted(groups, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest()):
        found = {strata(case) for case in groups[name]}
        if len(found) > 1:
            raise ValueError(f"We expect the cases of group {name!r} to be of one kind. Got: {found}")
        kinds[found.pop()].append(name)
    parts: dict[str, Part] = {}
    for names in kinds.values():
        parts |= _fill_parts({name: len(groups[name]) for name in names}, sizes)
    return [replace(case, part=parts[case.group or case.id]) for case in cases]


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
    content = {part: [composed(str(case_id)) for case_id in ids] for part, ids in content.items()}
    named = Counter(case_id for ids in content.values() for case_id in ids)
    _refuse(file, [case_id for case_id, times in named.items() if times > 1], "named more than once")
    _refuse(file, sorted(set(named) - {case.id for case in cases}), "not in the dataset")
    part_of = {case_id: part for part in parts for case_id in content.get(part, ())}
    return [
        replace(case, part=part_of[case.id]) if case.id in part_of else replace(case, left_out=NOT_NAMED)
        for case in cases
    ]


def _held_out(train: Sequence[str], groups: Mapping[str, str]) -> list[set[str]]:
    """Assign the groups to folds, the largest first, each to the fold that is smallest then."""
    members: dict[tuple[str, str], list[str]] = {}
    for case in train:
        key = ("group", groups[case]) if case in groups else ("case", case)
        members.setdefault(key, []).append(case)
    held_out: list[set[str]] = [set() for _ in range(min(NNUNET_FOLDS, len(members)))]
    for key in sorted(members, key=lambda key: (-len(members[key]), key)):
        min(held_out, key=len).update(members[key])
    return held_out


def _fill_parts(members: Mapping[str, int], sizes: Mapping[Part, int]) -> dict[str, Part]:
    """Fill test, then validation, with the groups that fit, in their order; the rest trains."""
    total = sum(members.values())
    left, parts = dict(members), dict.fromkeys(members, PARTS[0])
    for part in reversed(PARTS[1:]):
        wanted = room = round(total * sizes.get(part, 0) / sum(sizes.values()))
        for name in list(left):
            # a part that should have cases gets some, even if every group is larger than it
            is_needed = room == wanted > 0 and left[name] == min(left.values()) and len(left) > 1
            if left[name] <= room or is_needed:
                room -= left.pop(name)
                parts[name] = part
                if room <= 0:
                    break
    return parts


def _refuse(file: Path, wrong: Sequence[str], what: str) -> None:
    if wrong:
        raise UserError(f"{file}: cases {what}: {some_of(wrong, _LISTED)}.")
