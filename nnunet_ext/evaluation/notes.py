"""What the user has to know about the cases of an evaluation of instances, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import some_of
from nnunet_ext.evaluation.grids import grid_note
from nnunet_ext.evaluation.ignored import IgnoredRegion
from nnunet_ext.evaluation.instance_case import InstanceCase
from nnunet_ext.evaluation.wrong_folder import pieces_notes, swapped_note


def case_notes(cases: Sequence[InstanceCase], region: IgnoredRegion | None) -> list[str]:
    """Texts on what is odd, or "" for none; a case is named by its prediction."""
    reference, prediction = (file.parent for file in cases[0].files)
    return [
        *swapped_note(reference, prediction, ("instances.json",)),
        *pieces_notes(cases),
        *grid_note({case.files[1].name: case.remarks.grid for case in cases if case.remarks.grid}),
        *equal_note(case.remarks.equal for case in cases),
        *_numbered_background(cases),
        *_without_spacing(cases),
        *_without_labels(cases, region),
    ]


def are_equal(reference: NDArray[Any], prediction: NDArray[Any]) -> bool | None:
    """Whether two maps are the same, voxel by voxel; None where both are empty."""
    return np.array_equal(reference, prediction) if reference.any() or prediction.any() else None


def equal_note(equal: Iterable[bool | None]) -> list[str]:
    """A text if in all cases that hold anything the prediction is the reference, voxel by voxel."""
    known = [case for case in equal if case is not None]
    if not known or not all(known):
        return []
    return ["All predictions equal their references voxel by voxel: is one folder a copy of the other?"]


def _numbered_background(cases: Sequence[InstanceCase]) -> list[str]:
    """A text if only one of two maps has background: where it has a number it counts as an instance."""
    notes = []
    for own, (name, other) in enumerate((("reference", "prediction"), ("prediction", "reference"))):
        names = [
            case.files[own].name for case in cases if case.remarks.full[own] > case.remarks.full[1 - own]
        ]
        if names:
            notes.append(
                f"No voxel of {len(names)} {name}s ({some_of(names)}) is 0, the background, which their "
                f"{other}s have. If the background has a number there, it counts as an instance: set it to 0."
            )
    return notes


def _without_spacing(cases: Sequence[InstanceCase]) -> list[str]:
    """A text if distances are measured along unequal axes in some cases, and the rest does not say which."""
    names = [case.files[0].name for case in cases if case.spacing is None]
    if not names or all(case.spacing is None or len(set(case.spacing)) == 1 for case in cases):
        return []
    return [
        f"{len(names)} of {len(cases)} references ({some_of(names)}) state no spacing: their voxels are "
        "taken for cubes, which those of the others are not. For one contour F1 of all give --spacing."
    ]


def _without_labels(cases: Sequence[InstanceCase], region: IgnoredRegion | None) -> list[str]:
    names = [case.files[0].name for case in cases if case.ignored is None]
    if region is None or not names:
        return []
    return [
        f"{region.folder} has no label map, which would say what to ignore, for {len(names)} of {len(cases)} "
        f"cases ({some_of(names)}): all of them counts."
    ]
