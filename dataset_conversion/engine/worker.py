"""One case, from its source files to its files in the dataset folder: read, checked, written.

This runs in worker processes. What the converter has read is checked before anything is written: a case
that is wrong leaves a record of what is wrong, and no file.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.base.case import Case, Note, Sample
from nnunet_ext.dataset_conversion.base.converter import Converter
from nnunet_ext.dataset_conversion.base.description import DatasetDescription
from nnunet_ext.dataset_conversion.base.label_maps import size_text
from nnunet_ext.dataset_conversion.base.looks import Look, digest
from nnunet_ext.dataset_conversion.engine.formats import ImageFormat, format_of
from nnunet_ext.dataset_conversion.engine.looking import as_record
from nnunet_ext.dataset_conversion.engine.output import (
    IMAGES,
    INSTANCES,
    LABELS,
    DatasetFolder,
    Record,
    fingerprints,
    problem_record,
    shorten_paths,
    writing_to,
)
from nnunet_ext.errors import UserError
from nnunet_ext.files import write_json
from nnunet_ext.images.instance_files import ENDING, write_instances
from nnunet_ext.nnunet_files.hierarchy import IGNORE
from nnunet_ext.targets import without_core

EMPTY = "empty masks"  # kind of the note on a case without foreground


def convert_case(
    converter: Converter,
    description: DatasetDescription,
    folder: DatasetFolder,
    item: tuple[Case, Look | None],
) -> Record:
    """Read, check and write one case.

    Parameters
    ----------
    converter, description, folder
        The dataset.
    item : tuple of (Case, Look or None)
        The case, and what it looks like if that was looked at.

    Returns
    -------
    dict
        The record of what was written, or of what is wrong ("problems"); it is in the folder, too.

    Raises
    ------
    UserError
        If the output cannot be written (the disk is full, say).
    """
    case, look = item
    root = folder.source
    sources = fingerprints(case, root)
    try:
        sample = converter.read_case(case, description)
        problems = check_sample(sample, case, description)
    except UserError as error:
        problems = [str(error)]
    except OSError as error:  # nothing is written here: a source file that may not be read, a bad disk
        problems = [f"{error.filename or case.images[0]}: {error.strerror or error}"]
    with writing_to(folder.path):
        if problems:
            record = problem_record(case, sources, problems, root)
        else:
            record = _describe(sample, case, description, root) | {"sources": sources}
            record["look"] = as_record(look or _digests(sample))
            record["outputs"] = dict(_write(sample, case, folder, description))
        folder.add_record(record)
    return record


def check_sample(sample: Sample, case: Case, description: DatasetDescription) -> list[str]:
    """Return what is wrong with a case as read, each line naming a file; empty if nothing is.

    Raises
    ------
    UnusableCase
        If an image that is to be copied cannot be decoded.
    """
    image_format = format_of(description)
    images = [image_format.read(i) if isinstance(i, Path) else i for i in sample.images]
    problems = _check_images(images, case, description, image_format)
    if sample.label is None:
        return problems
    shape, file = image_format.spatial_shape(images[0]), _label_file(case)
    if sample.label.shape != shape:
        problems.append(
            f"{file}: the mask is {size_text(sample.label.shape)}, "
            f"its image {case.images[0]} {size_text(shape)}"
        )
    values, allowed = np.unique(sample.label), list(description.values)
    unknown = np.setdiff1d(values, allowed)
    if unknown.size:
        problems.append(f"{file}: label values {unknown.tolist()} are not among {allowed}")
    if values.tolist() == [description.labels.get(IGNORE)]:
        problems.append(f"{file}: nothing is annotated, all of it would be ignored")
    return problems


def _check_images(
    images: Sequence[NDArray[Any]], case: Case, description: DatasetDescription, image_format: ImageFormat
) -> list[str]:
    file, problems = case.images[0], []
    shapes = {image_format.spatial_shape(pixels) for pixels in images}
    if len(shapes) > 1:
        problems.append(f"{file}: its channels differ in size: {', '.join(map(size_text, sorted(shapes)))}")
    channels = sum(image_format.channels(pixels) for pixels in images)
    if channels != len(description.channel_names):
        wanted = f"{len(description.channel_names)} are expected ({', '.join(description.channel_names)})"
        problems.append(f"{file}: {channels} channels, {wanted}")
    for dtype in sorted({str(pixels.dtype) for pixels in images} - set(image_format.dtypes)):
        problems.append(f"{file}: pixels are {dtype}, {' or '.join(image_format.dtypes)} is expected")
    for number, pixels in enumerate(images):
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            image = case.images[number] if len(case.images) == len(images) else file
            problems.append(f"{image}: holds values that are not finite (NaN or infinity)")
    return problems


def _digests(sample: Sample) -> Look:
    """Return digests of image and label, by which copies are found."""
    files = [image for image in sample.images if isinstance(image, Path)]
    copied = hashlib.blake2b(b"".join(file.read_bytes() for file in files), digest_size=16).hexdigest()
    pixels = [image for image in sample.images if not isinstance(image, Path)]
    label = "" if sample.label is None else digest([sample.label])
    return Look(copied if files else digest(pixels), label)


def _describe(sample: Sample, case: Case, description: DatasetDescription, root: Path) -> Record:
    """Return what the report says of a case."""
    notes = [
        {"kind": note.kind, "text": shorten_paths(note.text, root)}
        for note in (*sample.notes, *_empty_note(sample, case, description))
    ]
    record = {
        "id": case.id,
        "part": case.part,
        "group": case.group,
        "channels": len(description.channel_names),
        "voxels": _count_voxels(sample, description),
        "size": sample.label.size if sample.label is not None else 0,
        "notes": notes,
    }
    if sample.instances is not None:
        record["instances"] = int(sample.instances.max(initial=0))
        if "touching" in description.labels and sample.label is not None:
            record["without_core"] = without_core(sample.instances, sample.label).size
    return record


def _empty_note(sample: Sample, case: Case, description: DatasetDescription) -> tuple[Note, ...]:
    """Return a note if the label map has no foreground."""
    ignored = description.labels.get(IGNORE)
    if sample.label is None or np.setdiff1d(np.unique(sample.label), (0, ignored or 0)).size:
        return ()
    return (Note(EMPTY, f"{_label_file(case)}: no foreground"),)


def _count_voxels(sample: Sample, description: DatasetDescription) -> dict[str, int]:
    """Count the voxels of each class or region."""
    if sample.label is None:
        return {}
    numbers = {value: int(np.count_nonzero(sample.label == value)) for value in description.values}
    labels = description.labels.items()
    return {name: sum(numbers[part] for part in np.ravel(value).tolist()) for name, value in labels}


def _write(
    sample: Sample, case: Case, folder: DatasetFolder, description: DatasetDescription
) -> Iterator[tuple[str, int]]:
    """Write the images, the label and the instances of a case; yield output path and size in bytes."""
    image_format, ending = format_of(description), description.file_ending
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
            write_json(temporary, {"spacing": image_format.spacing(sample.grid)})
            yield folder.put(temporary, place)
    if sample.instances is not None:
        temporary = folder.partial / f"{case.id}{ENDING}"
        write_instances(temporary, sample.instances, sample.grid.spacing)
        yield folder.put(temporary, INSTANCES[case.part])


def _label_file(case: Case) -> Path:
    return case.labels[0] if case.labels else case.images[0]
