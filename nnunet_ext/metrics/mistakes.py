"""Where a segmentation is wrong: false and missed components, breaks, merges; instances one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from nnunet_ext.metrics.checks import BoolArray

#: kinds of mistakes of a class, in the order of tables and legends
CLASS_KINDS = ("false", "missed", "break", "merge")
#: kinds of instances, likewise
INSTANCE_KINDS = ("matched", "missed", "extra", "merged", "split")


@dataclass(frozen=True)
class Mark:
    """One place.

    Attributes
    ----------
    kind : str
        One of `CLASS_KINDS`, or of `INSTANCE_KINDS`.
    centre : tuple of int
        The voxel of it that is nearest to its centre of mass, in the order of the axes.
    box : tuple of (int, int)
        First voxel and one past the last, along each axis.
    size : int
        Its voxels.
    """

    kind: str
    centre: tuple[int, ...]
    box: tuple[tuple[int, int], ...]
    size: int


@dataclass(frozen=True)
class InstanceMark(Mark):
    """One instance.

    Attributes
    ----------
    of : {"reference", "prediction"}
        The map it is in.
    id : int
        Its number there.
    """

    of: Literal["reference", "prediction"]
    id: int


def locate_class_mistakes(
    prediction: BoolArray,
    reference: BoolArray,
    connectivity: int | None = None,
    ignored: BoolArray | None = None,
) -> list[Mark]:
    """False and missed components, breaks and merges of one class."""
    raise NotImplementedError


def locate_instance_mistakes(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    iou: float = 0.5,
    ignored: BoolArray | None = None,
) -> list[InstanceMark]:
    """Give every instance of both maps one kind."""
    raise NotImplementedError
