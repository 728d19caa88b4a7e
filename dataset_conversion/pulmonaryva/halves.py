"""Chest volumes of which one half may not be labelled: finding that half, cutting it off, or ignoring it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion import (
    Case,
    Grid,
    Hints,
    Note,
    Progress,
    UnusableCase,
    UnusableCases,
    UserError,
    Volume,
    read_image,
)

#: how the case ids of the two halves of a volume end
HALVES = ("_half1", "_half2")
Slices = tuple[slice, ...]


def halves(shape: tuple[int, ...], grid: Grid) -> tuple[Slices, Slices]:
    """Return the two halves of a volume along the axis nearest to left-right, that of lower indices first.

    Parameters
    ----------
    shape : tuple of int
        (z, y, x).
    grid : Grid
        Its direction tells the axis; without one it is the last.
    """
    axis = len(shape) - 1
    if grid.direction is not None:
        across = np.reshape(np.abs(grid.direction), (len(shape), len(shape)))[0]
        axis -= int(np.argmax(across))  # SimpleITK's axes are x, y, z
    middle, low, high = shape[axis] // 2, [slice(None)] * len(shape), [slice(None)] * len(shape)
    low[axis], high[axis] = slice(0, middle), slice(middle, shape[axis])
    return tuple(low), tuple(high)


def labelled_halves(vessels: NDArray[np.bool_], grid: Grid, share: float) -> tuple[bool, bool]:
    """Tell of each half whether it has at least this share of all vessel voxels, and any at all."""
    numbers = [int(np.count_nonzero(vessels[half])) for half in halves(vessels.shape, grid)]
    low, high = (number > 0 and number >= share * sum(numbers) for number in numbers)
    return low, high


def ignore_half(
    label: NDArray[np.uint8], grid: Grid, share: float, ignored: int | None, file: Path
) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
    """Give the background of a half without vessels the label `ignored`, and note it.

    Raises
    ------
    UnusableCase
        If there is such a half and `ignored` is None.
    """
    labelled = labelled_halves(label > 0, grid, share)
    if all(labelled) or not any(labelled):
        return label, ()
    if ignored is None:
        raise UnusableCase(
            f"{file}: all vessels, or nearly, lie in one half of the volume: the other lung seems not to be "
            "labelled, which is not background. See --lungs"
        )
    result, half = label.copy(), halves(label.shape, grid)[labelled.index(False)]
    result[half][label[half] == 0] = ignored
    return result, (Note("half without labels", f"{file}: its background is ignored"),)


def half_of(case: Case) -> int | None:
    """Return 0 or 1 for a case that is half a volume."""
    return next((number for number, ending in enumerate(HALVES) if case.id.endswith(ending)), None)


def keep_labelled(
    cases: Sequence[Case], numbers: Sequence[int], share: float, progress: Progress
) -> tuple[list[Case], list[Note]]:
    """Read the labels of volumes that are to be cut, and keep the cases whose half has vessels.

    Parameters
    ----------
    cases : sequence of Case
        Halves; see `HALVES`.
    numbers : sequence of int
        Numbers of vessels in the label files.
    share : float
        See `labelled_halves`.
    progress : callable
        Shows a bar.

    Returns
    -------
    tuple of (list of Case, list of Note)
        The cases that are kept, and a note on each other.

    Raises
    ------
    UnusableCases
        If labels cannot be read or have no vessels.
    """
    volumes: dict[Path, list[Case]] = defaultdict(list)
    for case in cases:
        volumes[case.labels[0]].append(case)
    kept, notes, problems = list[Case](), list[Note](), dict[str, list[str]]()
    for file, parts in progress(volumes.items(), len(volumes), "Reading labels"):
        try:
            label = read_image(file, Hints(dimension=3))
            vessels = np.isin(np.rint(label.pixels[0]), numbers)
            found = labelled_halves(vessels, label.grid, share)
            wrong = "" if any(found) else f"{file}: no artery and no vein"
        except UserError as error:
            wrong = str(error)
        if wrong:
            problems |= {case.id: [wrong] for case in parts}
            continue
        kept += [case for case in parts if found[half_of(case) or 0]]
        notes += [
            _half_note(case, vessels, label.grid, share) for case in parts if not found[half_of(case) or 0]
        ]
    if problems:
        raise UnusableCases(problems)
    return kept, notes


def cut(volume: Volume, half: int) -> Volume:
    """Return half 0 or 1 of a volume, at its place in space."""
    piece = halves(volume.channels[0].shape, volume.grid)[half]
    label: NDArray[Any] | None = None if volume.label is None else volume.label[piece]
    grid = _moved(volume.grid, [part.start or 0 for part in piece])
    return Volume(tuple(channel[piece] for channel in volume.channels), label, grid)


def _moved(grid: Grid, start: list[int]) -> Grid:
    """Return the grid of an array that begins at the voxel `start` (z, y, x)."""
    if grid.origin is None or grid.direction is None or grid.spacing is None:
        return grid
    direction = np.reshape(grid.direction, (len(start), len(start)))
    steps = np.multiply(start, grid.spacing)[::-1]
    return replace(grid, origin=tuple((np.asarray(grid.origin) + direction @ steps).tolist()))


def _half_note(case: Case, vessels: NDArray[np.bool_], grid: Grid, share: float) -> Note:
    """Say that a half is left out, and what vessels are in it all the same."""
    number = int(np.count_nonzero(vessels[halves(vessels.shape, grid)[half_of(case) or 0]]))
    words = f", with {number} voxel{'s' * (number > 1)} of vessels (--share {share:g})"
    return Note("half without labels", f"{case.labels[0]}: {case.id} is left out{words * (number > 0)}")
