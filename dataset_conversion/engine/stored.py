"""What an earlier run left in a dataset folder, as far as a later one reads it; checked when it is read."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict


class StoredRecord(TypedDict):
    """What later runs read of a record."""

    id: str
    part: Literal["train", "val", "test"]
    sources: dict[str, list[int]]
    outputs: NotRequired[dict[str, int]]
    problems: NotRequired[list[str]]
    notes: NotRequired[list[dict[str, str]]]


class StoredIdentity(TypedDict):
    """What a dataset was made from."""

    converter: str
    source: str
    parameters: dict[str, Any]


class StoredReport(TypedDict):
    """What later runs read of a report."""

    identity: NotRequired[StoredIdentity]
    cases: dict[str, StoredRecord]
    not_converted: NotRequired[dict[str, StoredRecord]]


#: of splits_final.json
STORED_SPLITS = list[dict[str, list[str]]]
