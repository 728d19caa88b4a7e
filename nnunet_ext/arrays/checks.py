"""Checks of arrays and numbers that callers hand over, and the form in which they are computed with."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGEST_TABLE = 2**22  # ids up to here are renumbered by a table, larger ones by sorting


def check_axes(array: NDArray[Any], name: str) -> None:
    """Raise unless `array` is a numpy array in 2D or 3D."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} is a numpy array; got {type(array).__name__}")
    if array.ndim not in (2, 3):
        raise ValueError(f"{name} has two or three axes, (y, x) or (z, y, x); got shape {array.shape}")


def unsigned_instances(instances: NDArray[Any]) -> NDArray[np.unsignedinteger]:
    """`instances` in C order and an unsigned dtype of at most 32 bits; a copy only where one is needed."""
    check_axes(instances, "instances")
    if not np.issubdtype(instances.dtype, np.integer):
        hint = " (a mask without ids: see touching_from_binary)" if instances.dtype == bool else ""
        raise TypeError(f"instances holds integer ids, 0 for background; got {instances.dtype}{hint}")
    if np.issubdtype(instances.dtype, np.signedinteger) and instances.size and instances.min() < 0:
        raise ValueError(f"instance ids are positive, 0 is background; got {instances.min()}")
    native = instances.astype(instances.dtype.newbyteorder("="), order="C", copy=False)
    if native.dtype.itemsize < 8:
        return native.view(f"u{native.dtype.itemsize}")
    if native.size and native.max() > np.iinfo(np.uint32).max:
        ids, dense = np.unique(native, return_inverse=True)
        native = dense.reshape(native.shape) + (ids[0] != 0)
    return native.astype(np.uint32)


def dense_instances(instances: NDArray[Any]) -> tuple[NDArray[np.unsignedinteger], int]:
    """`unsigned_instances` renumbered 1 … n in the order of their ids, and n; not copied if they are so."""
    ids = unsigned_instances(instances)
    if ids.size == 0:
        return ids, 0
    if ids.max() > _LARGEST_TABLE:
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


def class_labels(labels: NDArray[Any]) -> NDArray[np.integer]:
    """`labels` in C order; a mask is classes 0 and 1."""
    check_axes(labels, "labels")
    if labels.dtype == bool:
        labels = labels.view(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels holds integer classes, 0 for background; got {labels.dtype}")
    return np.ascontiguousarray(labels)


def binary_mask(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """`mask` as bool; integers may only be two values, the lower one 0."""
    check_axes(mask, "mask")
    if mask.dtype == bool:
        return mask
    if not np.issubdtype(mask.dtype, np.integer):
        raise TypeError(f"mask is boolean or integer; got {mask.dtype}")
    values = np.unique(mask)
    if len(values[values != 0]) > 1:
        raise ValueError(
            f"mask has one foreground value beside 0; got {len(values)} values up to {values[-1]}. "
            "Of instance ids, semantic_from_instances makes the classes"
        )
    return mask != 0


def digits(value: Any) -> str:
    """Return a number with all digits that tell it from others, for messages.

    Examples
    --------
    >>> digits(1.000001), digits(np.float32(-1)), digits(16_777_217)
    ('1.000001', '-1', '16777217')
    """
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    return np.format_float_positional(value, trim="-")


def exact_below(dtype: np.dtype[Any]) -> int:
    """Return the whole number from which on a floating-point type may hold another one in its place.

    Examples
    --------
    >>> exact_below(np.dtype("float32")), exact_below(np.dtype("float16"))
    (16777216, 2048)
    """
    return int(2 ** (np.finfo(dtype).nmant + 1))


def check_spacing(spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    """One positive edge length per axis; ones without `spacing`."""
    if spacing is None:
        return (1.0,) * ndim
    edges = tuple(float(edge) for edge in spacing)
    if len(edges) != ndim or not all(isfinite(edge) and edge > 0 for edge in edges):
        got = " ".join(map(str, spacing))
        raise ValueError(f"spacing: expected {ndim} positive numbers, one per axis, got {got or 'none'}")
    return edges


def check_radius(radius: float, name: str) -> float:
    """A finite number that is not negative."""
    _check_number(radius, name)
    if not isfinite(radius) or radius < 0:
        raise ValueError(f"{name} is 0 or more, and finite; got {radius!r}")
    return float(radius)


def check_positive(value: float, name: str) -> float:
    """A finite number above 0."""
    _check_number(value, name)
    if not isfinite(value) or value <= 0:
        raise ValueError(f"{name} is above 0, and finite; got {value!r}")
    return float(value)


def _check_number(value: float, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is a number; got {value!r}")
