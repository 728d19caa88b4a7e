"""The folds of the cross-validation where nnU-Net's own random ones would not do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: folds nnU-Net makes by itself; it fails on fewer cases
NNUNET_FOLDS = 5


def folds(
    train: Sequence[str], val: Sequence[str], groups: Mapping[str, str]
) -> list[dict[str, list[str]]] | None:
    """Return the folds for ``splits_final.json``, or None to leave them to nnU-Net.

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
        {"train": [case for case in train if case not in fold], "val": sorted(fold)}
        for fold in _left_out(train, groups)
    ]


def _left_out(train: Sequence[str], groups: Mapping[str, str]) -> list[set[str]]:
    """Deal out the groups, the largest first, each to the smallest fold."""
    members: dict[tuple[str, str], list[str]] = {}
    for case in train:
        key = ("group", groups[case]) if case in groups else ("case", case)
        members.setdefault(key, []).append(case)
    dealt: list[set[str]] = [set() for _ in range(min(NNUNET_FOLDS, len(members)))]
    for key in sorted(members, key=lambda key: (-len(members[key]), key)):
        min(dealt, key=len).update(members[key])
    return dealt
