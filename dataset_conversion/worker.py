"""One case, from its source files to its files in the dataset folder; runs in worker processes."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnunet_ext.dataset_conversion.checks import check_sample, empty_note
from nnunet_ext.dataset_conversion.converter import Case, CaseError, Converter, Sample
from nnunet_ext.dataset_conversion.formats import FORMATS
from nnunet_ext.dataset_conversion.output import (
    IMAGES,
    LABELS,
    DatasetFolder,
    Record,
    fingerprint,
    writing_to,
)


@dataclass(frozen=True)
class Outcome:
    """What became of one case: its record, or its problems."""

    case_id: str
    record: Record | None = None
    problems: tuple[str, ...] = ()


def convert_case(converter: Converter, root: Path, folder: DatasetFolder, case: Case) -> Outcome:
    """Read, check and write one case.

    Raises
    ------
    UserError
        If the output cannot be written (the disk is full, say).
    """
    try:
        before = fingerprint(case, root)
        sample = converter.read_case(case)
        problems = check_sample(sample, case, converter.describe())
    except CaseError as error:
        problems = [str(error)]
    if problems:
        return Outcome(case.id, problems=tuple(problems))
    notes = [
        {"kind": note.kind, "text": below(root, note.text)}
        for note in (*sample.notes, *empty_note(sample, case))
    ]
    with writing_to(folder.path):
        record = {
            "id": case.id,
            "part": case.part,
            "group": case.group,
            "voxels": _count(sample, converter),
            "notes": notes,
            "sources": before,
            "outputs": _write(sample, case, folder, converter.describe().file_ending),
        }
        folder.add_record(record)
    return Outcome(case.id, record)


def _write(sample: Sample, case: Case, folder: DatasetFolder, ending: str) -> dict[str, int]:
    """Write the images and then the label of a case; return the sizes in bytes by output path."""
    image_format = FORMATS[ending]
    outputs = {}
    for number, image in enumerate(sample.images):
        name = f"{case.id}_{number:04d}{ending}"
        temporary = folder.partial / name
        if isinstance(image, Path):
            shutil.copyfile(image, temporary)
        else:
            image_format.write(temporary, image)
        output, size = folder.put(temporary, f"{IMAGES[case.part]}/{name}")
        outputs[output] = size
    if sample.label is not None:
        temporary = folder.partial / f"{case.id}{ending}"
        image_format.write(temporary, sample.label.astype(np.uint8))
        output, size = folder.put(temporary, f"{LABELS[case.part]}/{temporary.name}")
        outputs[output] = size
    return outputs


def _count(sample: Sample, converter: Converter) -> dict[str, int]:
    if sample.label is None:
        return {}
    labels = converter.describe().labels
    return {name: int(np.count_nonzero(sample.label == value)) for name, value in labels.items()}


def below(root: Path, text: str) -> str:
    """Shorten the paths in `text` to what follows the source folder."""
    return text.replace(f"{root}{os.sep}", "")
