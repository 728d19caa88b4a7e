"""What of a case is seen in one panel: the flat image, a slice of a volume, or a projection of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.figures.contact_sheet import telling_slice
from nnunet_ext.metrics.mistakes import Mark

_AXES = "zyx"


@dataclass(frozen=True)
class Spot:
    """A mark in a panel.

    Attributes
    ----------
    kind : str
        Of the mark.
    row, column : float
        Its centre, in pixels.
    extent : float
        The longer edge of its box as it is seen, in columns.
    """

    kind: str
    row: float
    column: float
    extent: float


@dataclass(frozen=True)
class Plane:
    """A plane that everything of a case is looked at in.

    Attributes
    ----------
    axis : int or None
        Of the volume, which is cut or looked along; None for a flat image.
    index : int or None
        Of the slice; None for the projection.
    length : int
        Slices along that axis.
    aspect : float
        Height of a pixel by its width.
    """

    axis: int | None = None
    index: int | None = None
    length: int = 1
    aspect: float = 1.0

    @property
    def name(self) -> str:
        """In words; "" for a flat image."""
        if self.axis is None:
            return ""
        letter = _AXES[self.axis]
        if self.index is None:
            return f"all slices, seen along {letter}"
        return f"{letter} {self.index} of 0–{self.length - 1}"

    @property
    def is_projection(self) -> bool:
        """Whether it is looked through the whole volume."""
        return self.axis is not None and self.index is None

    def cut(self, mask: NDArray[Any]) -> NDArray[Any]:
        """Of a mask or a map: the slice, or the largest value along the axis."""
        if self.axis is None:
            return mask
        return mask.max(self.axis) if self.index is None else mask.take(self.index, self.axis)

    def sees(self, mark: Mark) -> bool:
        """Whether a mark is in the plane."""
        if self.axis is None or self.index is None:
            return True  # the whole
        first, end = mark.box[self.axis]
        return first <= self.index < end

    def spots(self, marks: Iterable[Mark]) -> list[Spot]:
        """Where marks are seen."""
        seen = []
        for mark in marks:
            if self.sees(mark):
                axes = [axis for axis in range(len(mark.centre)) if axis != self.axis]
                (row, column), edges = (mark.centre[a] for a in axes), [mark.box[a] for a in axes]
                height, width = (end - first for first, end in edges)
                seen.append(Spot(mark.kind, row, column, max(height * self.aspect, width)))
        return seen


def planes_of(
    shape: Sequence[int], spacing: Sequence[float] | None, marks: Sequence[Mark], labelled: NDArray[np.bool_]
) -> list[Plane]:
    """Choose what is shown: a flat image as it is; of a volume a slice and a projection.

    Parameters
    ----------
    shape, spacing : sequence
        Of the case, in the order of the axes.
    marks : sequence of Mark
        All mistakes of all models.
    labelled : ndarray of bool
        Where the reference is, for a case without mistakes.

    Returns
    -------
    list of Plane
        The z slice with the most marks, and a view of the whole along its shortest side, where the least lies
        behind something else.
    """
    steps = tuple(spacing) if spacing else (1.0,) * len(shape)
    if len(shape) == 2:
        return [Plane(aspect=steps[0] / steps[1])]
    extents = [length * step for length, step in zip(shape, steps, strict=True)]
    along = min(range(3), key=lambda axis: extents[axis])
    index = _fullest_slice(shape[0], marks)
    if index is None:
        index = telling_slice(labelled, 0)
    return [
        Plane(0, index, shape[0], steps[1] / steps[2]),
        Plane(along, None, shape[along], _aspect(steps, along)),
    ]


def _aspect(steps: Sequence[float], axis: int) -> float:
    row, column = (steps[other] for other in range(3) if other != axis)
    return row / column


def _fullest_slice(length: int, marks: Sequence[Mark]) -> int | None:
    if not marks:
        return None
    changes = np.zeros(length + 1, int)
    for mark in marks:
        first, end = mark.box[0]
        changes[first] += 1
        changes[end] -= 1
    number = np.cumsum(changes[:-1])
    fullest = np.flatnonzero(number == number.max())
    return int(fullest[np.abs(2 * fullest - length + 1).argmin()])  # of several the one nearest the middle
