"""The dataset folder being written: whose it is, what is done, and how files get into it.

Why it is built this way. Converting a large dataset takes hours, is killed (time limits, full disks), and
is split over the parts of a job array, which know nothing of each other. Therefore the folder itself says
how far things are, and every step leaves it in a state from which any later run can go on:

* A file is written to ``.partial/`` inside the dataset folder and then renamed. A rename within a file
  system happens or does not: nobody, nnU-Net included, sees half a file under its final name.
* The record of a case (source files with size and time, outputs with size) is written after its files. A
  case is done if it has a record and both still agree with the disk. A crash between files and record
  costs one case; a source file that was changed is converted again. Every case has a record file of its
  own, so that parts which run at the same time never write to the same file.
* ``dataset.json``, without which nnU-Net does not take the dataset, is written last and removed first.
  While it is missing the dataset is incomplete; when it is there, so are report and split. The part that
  finds all cases done completes the dataset; if two find that, they write the same.
* ``identity.json``, and later the report, hold converter, source and options. What was converted with
  other ones is refused and never mixed; a folder with neither file is somebody else's and is left alone.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from nnunet_ext.dataset_conversion.base.case import Case, Part, Split
from nnunet_ext.dataset_conversion.base.description import DatasetDescription
from nnunet_ext.dataset_conversion.base.find_files import is_system_file
from nnunet_ext.dataset_conversion.engine.stored import (
    STORED_SPLITS,
    StoredIdentity,
    StoredRecord,
    StoredReport,
)
from nnunet_ext.errors import UserError
from nnunet_ext.files import fingerprint, read_json, write_json
from nnunet_ext.images.instance_files import ENDING

Record: TypeAlias = dict[str, Any]


IMAGES: dict[Part, str] = {"train": "imagesTr", "val": "imagesTr", "test": "imagesTs"}
LABELS: dict[Part, str] = {"train": "labelsTr", "val": "labelsTr", "test": "labelsTs"}
INSTANCES: dict[Part, str] = {"train": "instancesTr", "val": "instancesTr", "test": "instancesTs"}
_FOLDERS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs", "instancesTr", "instancesTs")
_REPORT = "conversion_report.json"
_PARTIAL = ".partial"
_IDENTITY = "identity.json"
_DAMAGED = "Convert again with --overwrite."


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn what the system says about a full disk or a forbidden folder into a `UserError`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"Cannot write to {folder}: {reason}. Cases that are finished are kept.") from error


def fingerprints(case: Case, root: Path) -> dict[str, list[int]]:
    """Return size in bytes and modification time in ns of the case's files, by path below `root`.

    A file that is not there is left out.
    """
    known = {os.path.relpath(path, root): fingerprint(path) for path in case.files}
    return {name: values for name, values in known.items() if values is not None}


def problem_record(case: Case, sources: dict[str, list[int]], problems: Iterable[str], root: Path) -> Record:
    """Return the record of a case that cannot be converted."""
    lines = [shorten_paths(line, root) for line in problems]
    return {"id": case.id, "part": case.part, "sources": sources, "problems": lines}


def shorten_paths(text: str, root: Path) -> str:
    """Cut the source folder off the paths in `text`."""
    return text.replace(f"{root}{os.sep}", "")


def lost_labels(case: Case, record: Record) -> bool:
    """Tell whether a test case has no labels any more, and had some when its record was made."""
    had_labels = any(name.startswith(f"{LABELS['test']}/") for name in record.get("outputs", ()))
    return case.part == "test" and not case.labels and had_labels


class DatasetFolder:
    """One ``DatasetXXX_Name`` folder and what an earlier, perhaps interrupted, conversion left in it.

    Parameters
    ----------
    path : Path
        The folder; need not exist.
    identity : dict
        Converter, source and parameters. Output of another identity is refused.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path = path
        self.identity = identity
        self.partial = path / _PARTIAL
        self.dataset_json = path / "dataset.json"
        self.report = path / _REPORT
        self.splits = path / "splits_final.json"

    @property
    def source(self) -> Path:
        """The folder with the data, as the identity names it."""
        return Path(self.identity["source"])

    def check_ours(self, overwrite: bool) -> None:
        """Make sure the folder is ours to continue, or with `overwrite` to replace.

        Raises
        ------
        UserError
            If the folder was made by something else or from other parameters.
        """
        earlier = self._earlier_identity() if not overwrite else None
        if not self._is_ours():
            if self.path.is_dir() and not all(is_system_file(entry) for entry in self.path.iterdir()):
                raise UserError(
                    f"{self.path} exists and was not made by 'nnunet_ext convert'. "
                    "Choose another id, or move it away."
                )
        elif earlier is not None and earlier != self.identity:
            raise UserError(
                f"{self.path} was converted with {_differences(earlier, self.identity)}. "
                "Choose another id, or replace it with --overwrite."
            )

    def is_replaced(self, overwrite: bool) -> bool:
        """Tell whether an earlier conversion is to be removed; an interrupted one of the same goes on."""
        identity = self.partial / _IDENTITY
        if not overwrite or not self._is_ours():
            return False
        return not identity.exists() or self._interrupted_identity() != self.identity

    def begin(self) -> None:
        """Create the folders and mark the dataset as incomplete."""
        with writing_to(self.path):
            self.partial.mkdir(parents=True, exist_ok=True)
            write_json(self.partial / _IDENTITY, self.identity)
            self.dataset_json.unlink(missing_ok=True)
            for name in _FOLDERS[:2]:
                (self.path / name).mkdir(exist_ok=True)

    def records(self) -> dict[str, Record]:
        """Return the records of the cases done, or tried, so far, by case id."""
        known: dict[str, Record] = {}
        if self.report.exists():
            report = self._read_report()
            known = {**report["cases"], **report.get("not_converted", {})}
        for path in sorted(self.partial.glob("case_*.json")):
            try:
                record = read_json(path, f"Remove it: the case is converted again. {_DAMAGED}", StoredRecord)
            except UserError:
                if path.exists():
                    raise
                return self.records()  # another part has just completed the dataset: all is in its report
            known[record["id"]] = record
        return known

    def was_tried(self, case: Case, record: Record | None) -> bool:
        """Tell whether a record was made from these very files."""
        if record is None:
            return False
        now = fingerprints(case, self.source)
        if lost_labels(case, record):  # they are kept
            return now.items() <= record["sources"].items()
        return bool(record["sources"] == now)

    def is_done(self, case: Case, record: Record | None, description: DatasetDescription) -> bool:
        """Tell whether the case was written from these very files, as it would be now, and is still there."""
        if record is None or "problems" in record or not self.was_tried(case, record):
            return False
        if record["part"] != case.part or record.get("channels") != len(description.channel_names):
            return False  # files that were added changed what the dataset has in common
        return self.has_outputs(record)

    def has_outputs(self, record: Record) -> bool:
        """Tell whether all files are there that were written for a case."""
        outputs = ((self.path / name, size) for name, size in record["outputs"].items())
        return all(path.is_file() and path.stat().st_size == size for path, size in outputs)

    def put(self, temporary: Path, place: str) -> tuple[str, int]:
        """Move a finished file into the folder `place`; return its path below ours and the size in bytes."""
        target = self.path / place / temporary.name
        target.parent.mkdir(exist_ok=True)
        os.replace(temporary, target)
        return f"{place}/{target.name}", target.stat().st_size

    def add_record(self, record: Record) -> None:
        """Mark a case as done, or as one that cannot be converted."""
        write_json(self.partial / f"case_{record['id']}.json", record)

    def is_complete(self, splits: list[Split] | None, converted: Collection[str]) -> bool:
        """Tell whether everything that `finish` writes is there, for these converted cases."""
        if not (self.dataset_json.is_file() and self.report.is_file() and self.earlier_split() == splits):
            return False
        return set(self._read_report()["cases"]) == set(converted)

    def write_report(self, report: dict[str, Any]) -> None:
        """Write the report of a conversion that stops, or is about to be complete."""
        with writing_to(self.path):
            write_json(self.report, report)

    def is_free(self) -> bool:
        """Tell whether there is nothing here but the report of a conversion that did not begin."""
        if not self.path.is_dir():
            return True
        names = {entry.name for entry in self.path.iterdir() if not is_system_file(entry)}
        started = (self.partial / _IDENTITY).exists()
        return not started and (not names or (names == {_REPORT} and self._earlier_identity() is None))

    def remove(self, case: Case, ending: str) -> None:
        """Remove what an earlier conversion wrote for a case that can no longer be converted."""
        for places, pattern in _names(ending):
            for path in (self.path / places[case.part]).glob(f"{glob.escape(case.id)}*"):
                found = re.fullmatch(pattern, path.name)
                if found and found[1] == case.id:
                    path.unlink()

    def finish(self, report: dict[str, Any], splits: list[Split] | None, dataset: dict[str, Any]) -> None:
        """Write split and report, tidy up, and write ``dataset.json`` last."""
        with writing_to(self.path):
            if splits is not None:
                write_json(self.splits, splits)
            else:
                self.splits.unlink(missing_ok=True)
            self.write_report(report)
            shutil.rmtree(self.partial, ignore_errors=True)
            for left_behind in self.path.glob(".*.tmp"):  # by a run that was killed
                left_behind.unlink(missing_ok=True)
            write_json(self.dataset_json, dataset)

    def earlier_split(self) -> list[Split] | None:
        """Return the split an earlier conversion left in this folder, if there is a sound one."""
        try:
            return list(read_json(self.splits, schema=STORED_SPLITS))
        except UserError:
            return None

    def check_unexpected_files(self, cases: Collection[Case], ending: str) -> None:
        """Raise `UserError` if files lie in our folders that belong to none of `cases`."""
        unexpected = []
        for places, pattern in _names(ending):
            for place in dict.fromkeys(places.values()):
                expected = {case.id for case in cases if places[case.part] == place}
                for path in sorted((self.path / place).glob("*")):
                    found = re.fullmatch(pattern, path.name)
                    if not is_system_file(path) and (found is None or found[1] not in expected):
                        unexpected.append(f"{place}/{path.name}")
        if unexpected:
            raise UserError(
                f"{self.path} holds files of cases that are not in the folders given: "
                f"{', '.join(unexpected)}.\n"
                "Give the folders it was made from, an earlier --test too; or remove these files; or convert "
                "everything again with --overwrite, which keeps only what is given then."
            )

    def _read_report(self) -> dict[str, Any]:
        return dict(read_json(self.report, _DAMAGED, StoredReport))

    def _is_ours(self) -> bool:
        return self.report.exists() or (self.partial / _IDENTITY).exists()

    def _earlier_identity(self) -> dict[str, Any] | None:
        if (self.partial / _IDENTITY).exists():
            return dict(read_json(self.partial / _IDENTITY, _DAMAGED, StoredIdentity))
        if not self.report.exists():
            return None
        report = self._read_report()
        began = self.dataset_json.exists() or report.get("cases")
        return dict(report.get("identity", {})) if began else None

    def _interrupted_identity(self) -> Any:
        """Return the identity of an interrupted conversion, None if it is damaged: it is then replaced."""
        try:
            return read_json(self.partial / _IDENTITY)
        except UserError:
            return None

    def clear(self) -> None:
        """Remove an earlier conversion."""
        # dataset.json first, what marks the folder as ours last: an interrupted clearing can be repeated
        self.dataset_json.unlink(missing_ok=True)
        self.splits.unlink(missing_ok=True)
        for name in _FOLDERS:
            shutil.rmtree(self.path / name, ignore_errors=True)
        if self.partial.is_dir() and not self.report.exists():
            write_json(self.report, {"identity": self.identity, "cases": {}})
        shutil.rmtree(self.partial, ignore_errors=True)
        self.report.unlink(missing_ok=True)


def _names(ending: str) -> list[tuple[dict[Part, str], str]]:
    """Return the folders that are written to, each with a pattern whose first group is the case id."""
    own = re.escape(ending)
    return [
        (IMAGES, rf"(.+?)(_\d{{4}}{own}|\.json)"),
        (LABELS, rf"(.+?)({own}|\.json)"),
        (INSTANCES, rf"(.+?){re.escape(ENDING)}"),
    ]


def _differences(earlier: dict[str, Any], now: dict[str, Any]) -> str:
    """Say in words in which entries two identities differ."""
    before = {**earlier.get("parameters", {}), **{k: v for k, v in earlier.items() if k != "parameters"}}
    after = {**now["parameters"], **{k: v for k, v in now.items() if k != "parameters"}}
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return ", ".join(f"{key} {_shown(before.get(key))} instead of {_shown(after.get(key))}" for key in keys)


def _shown(value: Any) -> str:
    """Return the value of an entry for a message; None is an option that was not given."""
    return "as by default" if value is None else f"'{value}'"
