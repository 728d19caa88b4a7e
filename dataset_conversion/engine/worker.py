"""One case, from its source files to its files in the dataset folder; runs in worker processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnunet_ext.dataset_conversion.base.case import Case, Sample
from nnunet_ext.dataset_conversion.base.converter import Converter
from nnunet_ext.dataset_conversion.base.description import DatasetDescription
from nnunet_ext.dataset_conversion.engine.checks import check_sample, empty_note
from nnunet_ext.dataset_conversion.engine.formats import format_of
from nnunet_ext.dataset_conversion.engine.output import (
    IMAGES,
    INSTANCES,
    LABELS,
    DatasetFolder,
    Record,
    fingerprint,
    writing_to,
)
from nnunet_ext.errors import UserError
from nnunet_ext.files import write_json
from nnunet_ext.images.instance_files import ENDING, write_instances


@dataclass(frozen=True)
class Outcome:
    """What became of one case: the record of what was written, or of what is wrong ("problems")."""

    case_id: str
    record: Record


def convert_case(
    converter: Converter, description: DatasetDescription, root: Path, folder: DatasetFolder, case: Case
) -> Outcome:
    """Read, check and write one case.

    Raises
    ------
    UserError
        If the output cannot be written (the disk is full, say).
    """
    before = fingerprint(case, root)
    try:
        sample = converter.read_case(case, description)
        problems = check_sample(sample, case, description)
    except UserError as error:
        problems = [str(error)]
    except OSError as error:  # nothing is written here: a source file that may not be read, a bad disk
        problems = [f"{error.filename or case.images[0]}: {error.strerror or error}"]
    if problems:
        record = problem_record(case, before, problems, root)
        with writing_to(folder.path):
            folder.add_record(record)
        return Outcome(case.id, record)
    notes = [
        {"kind": note.kind, "text": below(root, note.text)}
        for note in (*sample.notes, *empty_note(sample, case, description))
    ]
    record = {
        "id": case.id,
        "part": case.part,
        "group": case.group,
        "channels": len(description.channel_names),
        "voxels": _count(sample, description),
        "size": sample.label.size if sample.label is not None else 0,
        "notes": notes,
        "sources": before,
    }
    if sample.instances is not None:
        record["instances"] = int(sample.instances.max(initial=0))
    with writing_to(folder.path):
        record["outputs"] = dict(_write(sample, case, folder, description))
        folder.add_record(record)
    return Outcome(case.id, record)


def _write(
    sample: Sample, case: Case, folder: DatasetFolder, description: DatasetDescription
) -> Iterator[tuple[str, int]]:
    """Write the images, the label and the instances of a case; yield output path and size in bytes."""
    image_format, ending = format_of(description), description.file_ending
    spacing = {"spacing": image_format.spacing(sample.grid)}
    for number, image in enumerate(sample.images):
        temporary = folder.partial / f"{case.id}_{number:04d}{ending}"
        if isinstance(image, Path):
            shutil.copyfile(image, temporary)
        else:
            image_format.write(temporary, image, sample.grid)
        yield folder.put(temporary, IMAGES[case.part])
    if sample.label is not None:
        temporary = folder.partial / f"{case.id}{ending}"
        image_format.write(temporary, sample.label.astype(np.uint8, copy=False), sample.grid)
        yield folder.put(temporary, LABELS[case.part])
    if image_format.spacing_file:
        for place in (IMAGES[case.part], *([LABELS[case.part]] if sample.label is not None else [])):
            temporary = folder.partial / f"{case.id}.json"
            write_json(temporary, spacing)
            yield folder.put(temporary, place)
    if sample.instances is not None:
        temporary = folder.partial / f"{case.id}{ENDING}"
        write_instances(temporary, sample.instances, sample.grid.spacing)
        yield folder.put(temporary, INSTANCES[case.part])


def problem_record(case: Case, sources: dict[str, list[int]], problems: Sequence[str], root: Path) -> Record:
    """Return the record of a case that cannot be converted."""
    lines = [below(root, line) for line in problems]
    return {"id": case.id, "part": case.part, "sources": sources, "problems": lines}


def _count(sample: Sample, description: DatasetDescription) -> dict[str, int]:
    if sample.label is None:
        return {}
    numbers = {value: int(np.count_nonzero(sample.label == value)) for value in description.values}
    labels = description.labels.items()
    return {name: sum(numbers[part] for part in np.ravel(value).tolist()) for name, value in labels}


def below(root: Path, text: str) -> str:
    """Shorten the paths in `text` to what follows the source folder."""
    return text.replace(f"{root}{os.sep}", "")
