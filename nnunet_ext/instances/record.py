"""The file ``instances.json`` beside the instances of a folder, by which a rerun goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from nnunet_ext.errors import UserError
from nnunet_ext.files import fingerprint, read_json, write_texts
from nnunet_ext.images.instance_files import ENDING, read_instances

_RECORD = "instances.json"
_EVALUATION = "evaluation.json"  # where `nnunet_ext evaluate` writes unless told otherwise
_SUMMARY_KEY = "metric_per_case"
_OTHER = "It is not a record of this command. Choose another folder for -o, or replace it with --overwrite."


class _Entry(TypedDict):
    source: list[Any]
    instances: int
    median_size: float | int | None


class _Content(TypedDict):
    parameters: dict[str, Any]
    cases: dict[str, _Entry]


class Record:
    """What is known of the instances in a folder.

    Attributes
    ----------
    folder : Path
        Of the instances.
    parameters : dict
        What all instances of the folder depend on, as JSON gives it back.
    cases : dict
        Case -> ``source`` (name, size and time of each file), ``bytes`` of the result, and its statistics.
    """

    def __init__(self, folder: Path, parameters: dict[str, Any]) -> None:
        self.folder = folder
        self.parameters = parameters
        self.cases: dict[str, dict[str, Any]] = {}

    def open(self, cases: Iterable[str], overwrite: bool) -> None:
        """Load what an earlier run left, or start anew; a `UserError` where that would mix or replace."""
        path = self.folder / _RECORD
        if overwrite or not path.exists():
            others = [case for case in cases if self._file(case).exists()]
            if others and not overwrite:
                raise UserError(
                    f"{self.folder} has {others[0]}{ENDING}, which this command did not make. Choose "
                    "another folder for -o, or replace with --overwrite."
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            self.save()
            return
        content = read_json(path, _OTHER, _Content)
        before = content["parameters"]
        if before != self.parameters:
            raise UserError(
                f"{self.folder} holds instances made with other parameters "
                f"({_difference(before, self.parameters)}). Choose another folder for -o, or replace them "
                "with --overwrite."
            )
        self.cases = content["cases"]

    def is_done(self, case: str, source: Any) -> bool:
        """Whether the instances of a case are there, whole, and made from these files."""
        entry = self.cases.get(case, {})
        written = fingerprint(self._file(case))
        if entry.get("source") != source or written is None:
            return False
        if "bytes" in entry:
            return bool(entry["bytes"] == written[0])
        try:  # the record of an older version
            read_instances(self._file(case))
        except UserError:
            return False
        return True

    def add(self, case: str, entry: dict[str, Any]) -> None:
        """Remember a finished case, at once: the next one may fail."""
        self.cases[case] = {**entry, "bytes": (fingerprint(self._file(case)) or [0])[0]}
        self.save()

    def save(self) -> None:
        """Write the file."""
        content = {"parameters": self.parameters, "cases": dict(sorted(self.cases.items()))}
        write_texts({self.folder / _RECORD: json.dumps(content, indent=1) + "\n"})

    def drop_evaluation(self) -> list[Path]:
        """Remove an evaluation of the instances that are about to be replaced; return what was removed."""
        file = self.folder / _EVALUATION
        try:
            if f'"{_SUMMARY_KEY}"' not in file.read_text(encoding="utf-8", errors="replace"):
                return []
        except OSError:
            return []
        removed = [path for path in (file, file.with_suffix(".csv")) if path.is_file()]
        for path in removed:
            path.unlink()
        return removed

    def _file(self, case: str) -> Path:
        return self.folder / f"{case}{ENDING}"


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return ", ".join(f"{key} {before.get(key)} → {now.get(key)}" for key in keys)
