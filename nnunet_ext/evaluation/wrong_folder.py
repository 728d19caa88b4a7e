"""Folders that hold something else than what is to be evaluated, and what to give instead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.instance_case import InstanceCase

_CLASSES = ("labelsTr", "labelsTs", "gt_segmentations")
_IMAGES = ("imagesTr", "imagesTs")
_INSTANCES = ("instancesTr", "instancesTs")
_RECORD = "instances.json"  # `nnunet_ext instances` leaves it beside what it makes
_PREDICTED = "classes (a dataset.json lies in it)"
_PIECES = 3  # connected components per id, on average, from which on ids look like classes


def refuse_for_instances(reference: Path, prediction: Path) -> None:
    """Raise `UserError` if a folder, by its name or a dataset.json, does not hold instances."""
    for option, folder in (("-ref", reference), ("-pred", prediction)):
        kind = _kind(folder)
        if kind == "instances":
            continue
        if kind == _PREDICTED and option == "-pred":
            raise UserError(
                f"{folder} holds predicted classes, not instances. Make instances of them first: "
                f"nnunet_ext instances -i {folder} -o ..."
            )
        if kind:
            raise UserError(f"{option} {folder} holds {kind}, not instances. {_instead(folder, 'instances')}")


def refuse_for_classes(reference: Path, prediction: Path) -> None:
    """Raise `UserError` if a folder, by its name or what lies in it, holds instances or images."""
    for option, folder in (("-ref", reference), ("-pred", prediction)):
        kind = _kind(folder)
        if kind == "instances":
            remedy = _instead(folder, "labels") + " Or add --instances."
            raise UserError(f"{option} {folder} holds instances, not classes. {remedy.strip()}")
        if kind in ("images", "a whole dataset"):
            raise UserError(f"{option} {folder} holds {kind}, not classes. {_instead(folder, 'labels')}")


def swapped_note(reference: Path, prediction: Path, marks: Sequence[str]) -> list[str]:
    """A text if the reference folder has the marks of predictions, and the other has not."""
    found = [mark for mark in marks if (reference / mark).is_file() and not (prediction / mark).is_file()]
    if not found:
        return []
    return [f"-ref {reference} holds predictions, as {found[0]} in it tells: are -ref and -pred swapped?"]


def pieces_notes(cases: Sequence[InstanceCase]) -> list[str]:
    """A text for each of the two folders whose ids look like classes: few, and each of many pieces."""
    notes = []
    for side, name in enumerate(("reference", "prediction")):
        pieces = [case.remarks.pieces[side] for case in cases]
        if None in pieces:
            continue
        ids, components = (sum(number) for number in zip(*(p for p in pieces if p is not None), strict=True))
        if ids and components >= _PIECES * ids:
            folder = cases[0].files[side].parent
            notes.append(
                f"The ids of the {name}s in {folder} look like classes: no map has more than a few, and one "
                f"id is {components / ids:.3g} separate pieces on average. If they are classes, all numbers "
                f"here are wrong: {_REMEDY[name]}"
            )
    return notes


_REMEDY = {
    "reference": "give the folder of instance ids (instancesTs, not labelsTs).",
    "prediction": "make instances of them first with nnunet_ext instances.",
}


def _kind(folder: Path) -> str:
    """What a folder holds, in words, as far as that is sure."""
    folder = folder.resolve()
    in_dataset = (folder.parent / "dataset.json").is_file()
    if (folder / _RECORD).is_file() or (folder.name in _INSTANCES and in_dataset):
        return "instances"
    if (folder / "dataset.json").is_file():
        inside = any((folder / name).is_dir() for name in (*_CLASSES, *_IMAGES))
        return "a whole dataset" if inside else _PREDICTED
    if in_dataset and folder.name in _CLASSES:
        return "classes (background, cell, …)"
    return "images" if in_dataset and folder.name in _IMAGES else ""


def _instead(folder: Path, wanted: str) -> str:
    """Which folder of the dataset to give."""
    folder = folder.resolve()
    dataset = folder if (folder / "dataset.json").is_file() else folder.parent
    parts = [folder.name[-2:]] if folder.name[-2:] in ("Tr", "Ts") else ["Ts", "Tr"]
    there = [dataset / f"{wanted}{part}" for part in parts if (dataset / f"{wanted}{part}").is_dir()]
    if there:
        return f"Give {' or '.join(map(str, there))}."
    return f"Give the folder of {'instance ids' if wanted == 'instances' else 'label maps'}."
