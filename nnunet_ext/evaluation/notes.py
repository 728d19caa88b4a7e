"""What the user has to know about the cases of an evaluation of instances, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from nnunet_ext.evaluation.grids import grid_note
from nnunet_ext.evaluation.ignored import IgnoredRegion
from nnunet_ext.evaluation.instance_case import InstanceCase
from nnunet_ext.evaluation.wrong_folder import pieces_notes, swapped_note

_LISTED = 3  # cases in a text


def case_notes(cases: Sequence[InstanceCase], region: IgnoredRegion | None) -> list[str]:
    """Texts on what is odd, or "" for none; a case is named by its prediction."""
    reference, prediction = (file.parent for file in cases[0].files)
    return [
        *swapped_note(reference, prediction, ("instances.json",)),
        *pieces_notes(cases),
        *grid_note({case.files[1].name: case.remarks.grid for case in cases if case.remarks.grid}),
        *equal_note([case.files[1].name for case in cases if case.remarks.equal], len(cases)),
        *_without_labels(cases, region),
    ]


def equal_note(equal: Sequence[str], cases: int) -> list[str]:
    """A text if every prediction that holds anything is its reference, voxel by voxel."""
    if len(equal) < cases:
        return []
    subject = "All predictions equal" if cases > 1 else "The prediction equals"
    return [f"{subject} the reference voxel by voxel: is one folder a copy of the other?"]


def _without_labels(cases: Sequence[InstanceCase], region: IgnoredRegion | None) -> list[str]:
    names = [case.files[0].name for case in cases if case.ignored is None]
    if region is None or not names:
        return []
    listed = ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
    return [
        f"{region.folder} has no label map, which would say what to ignore, for {len(names)} of {len(cases)} "
        f"cases ({listed}): all of them counts."
    ]
