"""What the output folder remembers: parameters, and which case was made from which files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nnunet_ext.errors import UserError
from nnunet_ext.files import read_json, write_texts
from nnunet_ext.images.instance_files import ENDING

NAME = "instances.json"


class Record:
    """The file ``instances.json`` beside the instances; makes a rerun resume.

    Attributes
    ----------
    cases : dict
        Case -> ``source`` (files with size and time), ``instances``, ``median_size``.
    """

    def __init__(self, folder: Path, parameters: dict[str, Any]) -> None:
        self.folder = folder
        self.parameters = parameters
        self.cases: dict[str, dict[str, Any]] = {}

    def open(self, cases: Iterable[str], overwrite: bool) -> None:
        """Load what an earlier run left, or start anew; a `UserError` where that would mix or replace."""
        path = self.folder / NAME
        if overwrite or not path.exists():
            strangers = [case for case in cases if (self.folder / f"{case}{ENDING}").exists()]
            if strangers and not overwrite:
                raise UserError(
                    f"{self.folder} has {strangers[0]}{ENDING}, which this command did not make. Choose "
                    "another folder for -o, or replace with --overwrite."
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            self.save()
            return
        content = read_json(path, "Delete it and run again with --overwrite.")
        if not isinstance(content, dict) or not isinstance(content.get("cases"), dict):
            raise UserError(f"{path} is not a record of this command. Choose another folder for -o.")
        before = content.get("parameters")
        if before != self.parameters:
            raise UserError(
                f"{self.folder} holds instances made with other parameters "
                f"({_difference(before, self.parameters)}). Choose another folder for -o, or replace them "
                "with --overwrite."
            )
        self.cases = content["cases"]

    def is_done(self, case: str, source: Any) -> bool:
        """Whether the instances of a case are there, made from these files."""
        made_from = self.cases.get(case, {}).get("source")
        return made_from == source and (self.folder / f"{case}{ENDING}").is_file()

    def add(self, case: str, entry: dict[str, Any]) -> None:
        """Remember a finished case, at once: the next one may fail."""
        self.cases[case] = entry
        self.save()

    def save(self) -> None:
        """Write the file."""
        content = {"parameters": self.parameters, "cases": dict(sorted(self.cases.items()))}
        write_texts({self.folder / NAME: json.dumps(content, indent=1) + "\n"})


def source_of(files: Iterable[Path]) -> list[list[Any]]:
    """Name, size and time of the files a case is made from, as JSON gives them back."""
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _difference(before: Any, now: dict[str, Any]) -> str:
    before = before if isinstance(before, dict) else {}
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return ", ".join(f"{key} {before.get(key)} → {now.get(key)}" for key in keys)
