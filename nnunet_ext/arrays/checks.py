"""Checks of arrays and numbers that callers hand over, and the form in which they are computed with."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
    if isinstance(radius, bool) or not isinstance(radius, Real):
        raise TypeError(f"{name} is a number; got {radius!r}")
    if not isfinite(radius) or radius < 0:
        raise ValueError(f"{name} is 0 or more, and finite; got {radius!r}")
    return float(radius)
