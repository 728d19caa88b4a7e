"""What is checked before a case is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.base.case import (
    Case,
    Note,
    Sample,
)
from nnunet_ext.dataset_conversion.base.description import IGNORE, DatasetDescription
from nnunet_ext.dataset_conversion.base.label_maps import size_text
from nnunet_ext.dataset_conversion.engine.formats import ImageFormat, format_of

EMPTY = "empty masks"


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
    shape = image_format.spatial_shape(images[0])
    label_file = case.labels[0] if case.labels else case.images[0]
    if sample.label.shape != shape:
        problems.append(
            f"{label_file}: the mask is {size_text(sample.label.shape)}, "
            f"its image {case.images[0]} {size_text(shape)}"
        )
    values, allowed = np.unique(sample.label), list(description.values)
    unknown = np.setdiff1d(values, allowed)
    if unknown.size:
        problems.append(f"{label_file}: label values {unknown.tolist()} are not among {allowed}")
    if values.tolist() == [description.labels.get(IGNORE)]:
        problems.append(f"{label_file}: nothing is annotated, all of it would be ignored")
    return problems


def _check_images(
    images: list[NDArray[Any]], case: Case, description: DatasetDescription, image_format: ImageFormat
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


def empty_note(sample: Sample, case: Case, description: DatasetDescription) -> tuple[Note, ...]:
    """Return a note if the label map has no foreground."""
    ignored = description.labels.get(IGNORE)
    if sample.label is None or np.setdiff1d(np.unique(sample.label), (0, ignored or 0)).size:
        return ()
    return (Note(EMPTY, f"{case.labels[0] if case.labels else case.id}: no foreground"),)


def check_ids(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Return the problems that show without reading: clashing ids and missing files, by case id."""
    by_id: dict[str, list[Case]] = {}
    for case in cases:
        by_id.setdefault(case.id, []).append(case)
    problems: dict[str, list[str]] = {}
    for case_id, same in by_id.items():
        found = [f"{path}: missing" for case in same for path in case.files if not path.is_file()]
        if len(same) > 1:
            files = ", ".join(str(case.images[0]) for case in same)
            found.append(f"{files}: {len(same)} cases with the same id '{case_id}'")
        if found:
            problems[case_id] = found
    return problems
