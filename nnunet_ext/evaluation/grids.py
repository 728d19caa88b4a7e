"""Whether a prediction lies where its reference does."""

from __future__ import annotations

from pathlib import Path

from nnunet_ext.errors import UnusableCase
from nnunet_ext.images.image import Grid, grid_difference, unplaced_beside

_NO_PLACE = "neither sform nor qform to say where the voxels lie"
Files = tuple[Path, Path]
Shape = tuple[int, ...]


def check_shapes(files: Files, shapes: tuple[Shape, Shape]) -> None:
    """Raise `UnusableCase` unless reference and prediction, in this order, have one shape."""
    reference, prediction = shapes
    if reference != prediction:
        swapped = sorted(reference) == sorted(prediction)
        more = ": its axes are in another order" if swapped else ""
        raise UnusableCase(f"{files[1]}: shape {prediction}, but the reference has {reference}{more}")


def compare_grids(files: Files, grids: tuple[Grid, Grid], shape: Shape, ignore_headers: bool) -> str:
    """Say how the voxels of a prediction lie otherwise than those of its reference, or return "".

    A place that only one of the two files states is taken for that of both, which is said.

    Raises
    ------
    UnusableCase
        If both files place their image in space, in different places, and `ignore_headers` is not set. (A
        spacing alone places nothing: the voxels are compared one by one whatever it is.)
    """
    reference, prediction = grids
    difference = grid_difference(prediction, reference, shape, shape)
    if difference and are_placed(grids) and not ignore_headers:
        raise UnusableCase(
            f"{files[1]}: {difference} in the reference, so the two lie in different places. If only the "
            "headers are wrong, --ignore-headers compares voxel by voxel"
        )
    if difference:
        return f"{difference} in the reference"
    if unplaced_beside(prediction, reference):
        return f"{_NO_PLACE}, unlike the reference"
    return f"{_NO_PLACE} in the reference" if unplaced_beside(reference, prediction) else ""


def are_placed(grids: tuple[Grid, Grid]) -> bool:
    """Whether both files say how their axes lie in space."""
    stated = [grid.stated() for grid in grids]
    return all(grid.origin is not None and grid.direction is not None for grid in stated)


def grid_note(differences: dict[str, str]) -> list[str]:
    """One text about the cases whose grids differ but were evaluated: name of the prediction -> how."""
    if not differences:
        return []
    listed = "; ".join(f"{name}: {text}" for name, text in list(differences.items())[:3])
    more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
    return [
        f"The files of {len(differences)} predictions do not state the grid of their references, and were "
        f"compared voxel by voxel ({listed}{more})."
    ]
