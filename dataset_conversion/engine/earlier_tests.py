"""Test cases of an earlier run that are not given this time: they stay, and nothing replaces them unsaid.

``--test`` names one folder of images. Who adds new images to predict names another one than before; the test
cases there were, and their labels, are then neither removed nor overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from nnunet_ext.dataset_conversion.base.case import Case, Note
from nnunet_ext.dataset_conversion.engine.discovery import Discovery
from nnunet_ext.dataset_conversion.engine.output import DatasetFolder, Record, fingerprints, lost_labels
from nnunet_ext.errors import UserError

KEPT = "test cases of an earlier run"
KEPT_LABELS = "test labels of an earlier run"


def keep_earlier_tests(folder: DatasetFolder, discovery: Discovery, records: Mapping[str, Record]) -> None:
    """Add to a discovery the test cases of earlier runs from other folders, and notes on what is kept.

    Raises
    ------
    UserError
        If a test case would replace an earlier one that was made from other files.
    """
    earlier = {
        case_id: record
        for case_id, record in records.items()
        if record["part"] == "test" and "problems" not in record and folder.has_outputs(record)
    }
    now = {case.id: case for case in discovery.cases}
    _refuse_replacing(earlier, now, folder)
    given = {file.parent for case in (*discovery.cases, *discovery.left_out) for file in case.files}
    kept = {
        case_id: _sources(record, folder)
        for case_id, record in sorted(earlier.items())
        if case_id not in now and given.isdisjoint(file.parent for file in _sources(record, folder))
    }
    discovery.earlier_tests = tuple(Case(case_id, "test", files) for case_id, files in kept.items())
    if kept:
        folders = sorted({str(files[0].parent) for files in kept.values()})
        discovery.notes.append(Note(KEPT, f"{len(kept)}, from {', '.join(folders)}, are kept"))
    unlabelled = [id for id, record in earlier.items() if id in now and lost_labels(now[id], record)]
    if unlabelled:
        text = f"{len(unlabelled)} test cases keep theirs, as --test names no labels now"
        discovery.notes.append(Note(KEPT_LABELS, text))


def _refuse_replacing(earlier: Mapping[str, Record], now: Mapping[str, Case], folder: DatasetFolder) -> None:
    """Refuse other files for the same case, unless they are the same files in another place."""
    known = {case_id.casefold(): case_id for case_id in earlier}
    lines = [
        f"  {case.images[0]}: test case '{case_id}' differs from '{known[case_id.casefold()]}', made from "
        f"{', '.join(sorted(earlier[known[case_id.casefold()]]['sources']))}, only in upper and lower case"
        for case_id, case in sorted(now.items())
        if case_id not in earlier and case_id.casefold() in known
    ]
    for case_id in sorted(earlier.keys() & now.keys()):
        case, record = now[case_id], earlier[case_id]
        sources, found = record["sources"], fingerprints(case, folder.source)
        if found.keys() <= sources.keys() and not lost_labels(case, record):
            continue  # the same paths: new versions of the files, if they changed
        if case.part == "test" and found.items() <= sources.items():
            continue  # the same images, without the labels
        if found.keys() > sources.keys() and all(found[name] == sources[name] for name in sources):
            continue  # labels were added
        if sorted(found.values()) != sorted(sources.values()):
            lines.append(
                f"  {case.images[0]}: test case '{case_id}' was made from {', '.join(sorted(sources))}"
            )
    if lines:
        raise UserError(
            "\n".join(
                [
                    f"{folder.path.name} has test cases of these names already, made from other files:",
                    *lines,
                    "Rename the new images; or give their labels too, if these are new versions of the same "
                    "images; or convert all again with --overwrite, which keeps only what is given then.",
                ]
            )
        )


def _sources(record: Record, folder: DatasetFolder) -> tuple[Path, ...]:
    return tuple(Path(os.path.normpath(folder.source / name)) for name in record["sources"])
