"""What is known of the results in a folder, one for each case, by which a rerun goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.files import fingerprint, read_json, write_texts
from nnunet_ext.worker_pool import Progress

_EVALUATION = "evaluation.json"  # where `nnunet_ext evaluate` writes unless told otherwise
_SUMMARY_KEY = "metric_per_case"
_OTHER = "It is not a record of this command. Choose another folder for -o, or replace it with --overwrite."


class _Content(TypedDict):
    parameters: dict[str, Any]
    cases: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Filled:
    """What `Record.fill` did.

    Attributes
    ----------
    cases : dict
        Case -> what is known of its result, of all that are there.
    kept : int
        How many of them an earlier run had made.
    problems : list of str
        One text per case that could not be made; the others are there.
    notes : list of str
        Whether an evaluation was removed.
    """

    cases: dict[str, dict[str, Any]]
    kept: int
    problems: list[str]
    notes: list[str]


class Record:
    """The results of a folder, ``CASE`` and an ending each, and the file with what is known of them.

    Attributes
    ----------
    folder : Path
        Of the results.
    parameters : dict
        What all of them depend on, as JSON gives it back.
    name : str
        Of the file, without ``.json``.
    what : str
        What the results are, for error texts.
    ending : str
        Of the results' files.
    cases : dict
        Case -> ``source`` (name, size and time of each file), ``bytes`` of the result, and its statistics.
    """

    def __init__(self, folder: Path, parameters: dict[str, Any], name: str, what: str, ending: str) -> None:
        self.folder = folder
        self.parameters = parameters
        self.name = name
        self.what = what
        self.ending = ending
        self.cases: dict[str, dict[str, Any]] = {}

    def fill(
        self,
        files: Mapping[str, Sequence[Path]],
        overwrite: bool,
        make: Callable[[list[str]], Iterator[tuple[str, dict[str, Any] | UnusableCase]]],
        progress: Progress,
        title: str,
    ) -> Filled:
        """Make what is missing, damaged or has newer input, and keep the rest.

        Parameters
        ----------
        files : mapping
            Case -> the files that its result is made from.
        overwrite : bool
            Replace what is in the folder.
        make : callable
            Makes these cases; yields each with what is to be noted of it, or why not, as they finish.
        progress : callable
            Draws a progress bar, called `title`. Not called if nothing is to be made.

        Raises
        ------
        UserError
            Where that would mix or replace results.
        """
        sources = {case: source_of(paths) for case, paths in files.items()}
        self.open(files, overwrite)
        todo = [case for case in files if not self.is_done(case, sources[case])]
        replaced = overwrite or any(case in self.cases for case in todo)
        removed = self.drop_evaluation() if replaced and todo else []
        results, problems = make(todo), []
        for case, result in progress(results, len(todo), title) if todo else results:
            if isinstance(result, UnusableCase):
                problems.append(str(result))
            else:
                self.add(case, {"source": sources[case], **result})
        notes = []
        if removed:
            names = " and ".join(path.name for path in removed)
            notes = [f"Removed {names} from {self.folder}: of the {self.what} before. Evaluate again."]
        cases = {case: self.cases[case] for case in files if self.is_done(case, sources[case])}
        return Filled(cases, len(files) - len(todo), sorted(problems), notes)

    def open(self, cases: Iterable[str], overwrite: bool) -> None:
        """Load what an earlier run left, or start anew; a `UserError` where that would mix or replace."""
        path = self._path
        if overwrite or not path.exists():
            others = [case for case in cases if self._file(case).exists()]
            if others and not overwrite:
                raise UserError(
                    f"{self.folder} has {others[0]}{self.ending}, which this command did not make. Choose "
                    "another folder for -o, or replace with --overwrite."
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            self.save()
            return
        content = read_json(path, _OTHER, _Content)
        before = content["parameters"]
        if before != self.parameters:
            raise UserError(
                f"{self.folder} holds {self.what} made with other parameters "
                f"({_difference(before, self.parameters)}). Choose another folder for -o, or replace them "
                "with --overwrite."
            )
        self.cases = content["cases"]

    def is_done(self, case: str, source: Any) -> bool:
        """Whether the result of a case is there, whole, and made from these files."""
        entry = self.cases.get(case, {})
        written = fingerprint(self._file(case))
        whole = written is not None and entry.get("bytes") == written[0]
        return bool(whole and entry.get("source") == source)

    def add(self, case: str, entry: dict[str, Any]) -> None:
        """Remember a finished case, at once: the next one may fail."""
        self.cases[case] = {**entry, "bytes": (fingerprint(self._file(case)) or [0])[0]}
        self.save()

    def save(self) -> None:
        """Write the file."""
        content = {"parameters": self.parameters, "cases": dict(sorted(self.cases.items()))}
        write_texts({self._path: json.dumps(content, indent=1) + "\n"})

    def drop_evaluation(self) -> list[Path]:
        """Remove an evaluation of the results that are about to be replaced; return what was removed."""
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

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.name}.json"

    def _file(self, case: str) -> Path:
        return self.folder / f"{case}{self.ending}"


def source_of(files: Iterable[Path]) -> list[list[Any]]:
    """Name, size and time of the files that a case is made from, as JSON gives them back."""
    return [[file.name, *(fingerprint(file) or ())] for file in files]


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return ", ".join(f"{key} {before.get(key)} → {now.get(key)}" for key in keys)
