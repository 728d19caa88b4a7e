"""The report of a conversion: where the data come from, how many cases, what was odd about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnunet_ext import __version__
from nnunet_ext.dataset_conversion.base.case import (
    ALTERATIONS,
    PARTS,
    Case,
    Note,
    Split,
)
from nnunet_ext.dataset_conversion.base.converter import Converter
from nnunet_ext.dataset_conversion.base.description import DatasetDescription
from nnunet_ext.dataset_conversion.base.splits import NNUNET_FOLDS
from nnunet_ext.dataset_conversion.engine.discovery import Discovery
from nnunet_ext.dataset_conversion.engine.formats import format_of
from nnunet_ext.dataset_conversion.engine.output import Record, shorten_paths
from nnunet_ext.dataset_conversion.engine.unused import find_unused
from nnunet_ext.errors import some_of


@dataclass(frozen=True)
class Conversion:
    """What `run.convert` did.

    Attributes
    ----------
    folder : Path
        The dataset folder.
    report : dict
        The content of its ``conversion_report.json``.
    converted : int
        Number of cases written by this call.
    kept : int
        Number of cases an earlier call had written.
    installed_split : Path or None
        Where the split was put for nnU-Net, if it was.
    waiting : int
        Number of cases that other parts have still to convert; the dataset is not complete then and there is
        no report.
    completed : bool
        Whether this call completed the dataset.
    only_tests : bool
        Whether it wrote test cases only, beside the training cases of an earlier call.
    """

    folder: Path
    report: dict[str, Any]
    converted: int
    kept: int
    installed_split: Path | None = None
    waiting: int = 0
    completed: bool = False
    only_tests: bool = False

    @property
    def nothing_to_do(self) -> bool:
        """Whether the dataset was complete before."""
        return not (self.converted or self.waiting or self.completed)


def build_report(
    converter: Converter,
    discovery: Discovery,
    identity: dict[str, Any],
    records: Mapping[str, Record],
    splits: Sequence[Split] | None,
    doubts: Sequence[Note] = (),
) -> dict[str, Any]:
    """Return the content of ``conversion_report.json``.

    "classes" holds for each class and part the number of voxels and their share of all labelled
    voxels of that part; "instances" their number per part, where they are kept, "instances_without_core" how
    many of them cannot come back from the classes; "altered" in how many cases
    something was changed on the way; "notes" what concerns the dataset, followed by the notes of the cases.
    """
    cases = {case.id: records[case.id] for case in discovery.done}
    case_notes = [note for record in cases.values() for note in record["notes"]]
    root, survey = discovery.root, discovery.survey
    unused = find_unused((*discovery.cases, *discovery.left_out), root, converter.known_files())
    known = (*doubts, *survey.notes, *discovery.notes)
    notes = [replace(note, text=shorten_paths(note.text, root)) for note in known]
    notes += [*_dataset_notes(discovery.done, survey.description, splits), *unused.notes()]
    return {
        "complete": True,
        "identity": identity,
        "title": converter.title,
        "licence": converter.licence,
        "url": converter.url,
        "reference": converter.reference,
        "split": converter.split_words(),
        "nnunet_ext_version": __version__,
        "counts": {part: sum(r["part"] == part for r in cases.values()) for part in PARTS},
        "groups": _groups(cases),
        "classes": _classes(survey.description.labels, cases),
        "instances": _instances(cases, "instances"),
        "instances_without_core": _instances(cases, "without_core"),
        "altered": _altered(cases),
        "notes": [vars(note) for note in notes] + case_notes,
        "not_converted": discovery.problems,
        "left_out": {shorten_paths(str(case.images[0]), root): case.left_out for case in discovery.left_out},
        "unused_files": unused.files,
        "unused_on_purpose": unused.on_purpose,
        "cases": cases,
    }


def stopped_report(
    identity: dict[str, Any], done: Mapping[str, Record], problems: Mapping[str, Record]
) -> dict[str, Any]:
    """Return what ``conversion_report.json`` holds while cases are wrong: those, and what is done."""
    return {"complete": False, "identity": identity, "not_converted": dict(problems), "cases": dict(done)}


def dataset_json(
    converter: Converter, description: DatasetDescription, name: str, training_cases: int
) -> dict[str, Any]:
    """Return the content of nnU-Net's ``dataset.json``."""
    reader, order = format_of(description).reader, description.regions_class_order
    touching = description.touching_radius
    return {
        "name": name,
        "description": converter.title,
        "reference": converter.reference,
        "url": converter.url,
        "licence": converter.licence,
        "converted_by": f"nnunet_ext {__version__} ({converter.name}, {converter.parameters()})",
        "channel_names": {str(i): channel for i, channel in enumerate(description.channel_names)},
        "labels": {name: _plain(value) for name, value in description.labels.items()},
        "numTraining": training_cases,
        "file_ending": description.file_ending,
        **({"regions_class_order": list(order)} if order else {}),
        **({"nesting": dict(description.nesting)} if description.nesting else {}),
        **({"touching_radius": dict(touching)} if touching and "touching" in description.labels else {}),
        **({"overwrite_image_reader_writer": reader} if reader else {}),
    }


def _dataset_notes(
    cases: Sequence[Case],
    description: DatasetDescription,
    splits: Sequence[Split] | None,
) -> list[Note]:
    """Return notes on the whole: parts that are not complete or not labelled, unusual folds."""
    notes = []
    counts = Counter(case.part for case in cases)
    for part, official in description.official_counts.items():
        if counts[part] != official:
            text = f"{part}: {counts[part]} cases found, {official} in the complete dataset"
            notes.append(Note("partial dataset", text))
    bare = [case.id for case in cases if case.part == "test" and not case.labels]
    if 0 < len(bare) < counts["test"]:
        text = f"{len(bare)} of {counts['test']}: {some_of(bare)}"
        notes.append(Note("test cases without labels", text))
    return [*notes, *_few_cases(cases, splits)]


def _few_cases(cases: Sequence[Case], splits: Sequence[Split] | None) -> list[Note]:
    number = sum(case.part == "train" for case in cases)
    if not splits or number >= NNUNET_FOLDS or any(case.part == "val" for case in cases):
        return []
    text = f"nnU-Net's own five folds need {NNUNET_FOLDS}; splits_final.json leaves one out per fold"
    if number == 1:
        text = "it is also the validation case (fold 0), whose scores will be too good"
    return [Note("few training cases", f"{number} training case{'s' * (number > 1)}: {text}")]


def _instances(cases: Mapping[str, Record], key: str) -> dict[str, int]:
    kept = [record for record in cases.values() if key in record]
    numbers = {part: [r[key] for r in kept if r["part"] == part] for part in PARTS}
    return {part: sum(found) for part, found in numbers.items() if found}


def _groups(cases: Mapping[str, Record]) -> dict[str, dict[str, int]]:
    groups = {
        part: Counter(r["group"] for r in cases.values() if r["part"] == part and r["group"])
        for part in PARTS
    }
    return {part: dict(sorted(count.items())) for part, count in groups.items() if count}


def _altered(cases: Mapping[str, Record]) -> dict[str, int]:
    kinds = [{note["kind"] for note in record["notes"]} for record in cases.values()]
    numbers = {kind: sum(kind in found for found in kinds) for kind in ALTERATIONS}
    return {kind: number for kind, number in numbers.items() if number}


def _classes(
    labels: Mapping[str, int | tuple[int, ...]], cases: Mapping[str, Record]
) -> dict[str, dict[str, Any]]:
    voxels = {part: Counter[str]() for part in PARTS}
    sizes = Counter[str]()
    for record in cases.values():
        voxels[record["part"]].update(record["voxels"])
        sizes[record["part"]] += record.get("size", sum(record["voxels"].values()))
    classes: dict[str, dict[str, Any]] = {}
    for name, value in labels.items():
        counts = {part: voxels[part][name] for part in PARTS if sizes[part]}
        share = {part: round(number / sizes[part], 6) for part, number in counts.items()}
        classes[name] = {"value": _plain(value), "voxels": counts, "share": share}
    return classes


def _plain(value: int | tuple[int, ...]) -> int | list[int]:
    return list(value) if isinstance(value, tuple) else value
