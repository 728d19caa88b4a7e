"""What the tests of the datasets read from a conversion report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def notes(report: Mapping[str, Any], kind: str) -> list[str]:
    """The texts of the notes of one kind."""
    return [note["text"] for note in report["notes"] if note["kind"] == kind]
