"""Checks of what callers hand over, and the form the maps compute in."""

from __future__ import annotations

from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from nnunet_ext.arrays.checks import unsigned_instances

MOST_CLASSES = 2**16
_MOST_FLAGS = 2**22  # ids up to here are looked up in a table
Box = tuple[slice, ...]


def class_labels(labels: NDArray[Any]) -> NDArray[np.integer]:
    """`labels` in C order, which the distance transform wants; a mask is classes 0 and 1."""
    if not isinstance(labels, np.ndarray):
        raise TypeError(f"labels is a numpy array; got {type(labels).__name__}")
    if labels.ndim not in (2, 3):
        raise ValueError(f"labels has two or three axes, (y, x) or (z, y, x); got shape {labels.shape}")
    if labels.dtype == bool:
        labels = labels.view(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels holds integer classes, 0 for background; got {labels.dtype}")
    return np.ascontiguousarray(labels)


def dense_ids(instances: NDArray[Any]) -> tuple[NDArray[np.unsignedinteger], int]:
    """Instances renumbered 1 … n in the order of their ids, and n; not copied if they are so already."""
    ids = unsigned_instances(instances)
    if ids.size == 0:
        return ids, 0
    if ids.max() > _MOST_FLAGS:
        found, ids = np.unique(ids, return_inverse=True)
        ids = (ids.reshape(instances.shape) + (found[0] != 0)).astype(np.uint32)
        return ids, int(ids.max())
    present = np.zeros(int(ids.max()) + 1, bool)
    present[ids] = True
    present[0] = False
    count = int(np.count_nonzero(present))
    if count < len(present) - 1:
        new = np.where(present, np.cumsum(present), 0).astype(ids.dtype)
        ids = new[ids]
    return ids, count


def boxes(ids: NDArray[np.unsignedinteger]) -> list[tuple[int, Box]]:
    """Every id that occurs, with its bounding box."""
    return [(number, box) for number, box in enumerate(find_objects(ids), start=1) if box is not None]


def positive(value: float, name: str) -> float:
    """A finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is a number; got {value!r}")
    if not isfinite(value) or value <= 0:
        raise ValueError(f"{name} is above 0, and finite; got {value!r}")
    return float(value)
