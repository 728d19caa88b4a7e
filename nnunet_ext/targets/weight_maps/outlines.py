"""Contours and skeletons of cells and of their concavities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays import components as morphology
from nnunet_ext.targets.weight_maps.arguments import Box, boxes
from nnunet_ext.targets.weight_maps.hulls import convex_hull

Mask = NDArray[np.bool_]


def outlines(ids: NDArray[np.unsignedinteger]) -> tuple[Mask, Mask]:
    """Γ and K: the contours and the skeletons of all cells and of their concave complements hull \\ cell.

    Each is taken on its own, so that those of touching cells stay apart and those that overlap unite.
    """
    contours, skeletons = np.zeros(ids.shape, bool), np.zeros(ids.shape, bool)
    for number, box in boxes(ids):
        around = _grown(box, ids.shape)
        cell = ids[around] == number
        for part in (cell, convex_hull(cell) & ~cell):
            if part.any():
                contours[around] |= inner_contour(part)
                skeletons[around] |= skeleton(part)
    return contours, skeletons


def inner_contour(part: Mask) -> Mask:
    """Voxels of `part` with a voxel outside of it beyond a face; the image's border is none."""
    inner = part.copy()
    for axis in range(part.ndim):
        along, lines = np.moveaxis(inner, axis, 0), np.moveaxis(part, axis, 0)
        along[1:] &= lines[:-1]
        along[:-1] &= lines[1:]
    return part & ~inner


def skeleton(part: Mask) -> Mask:
    """Thinned `part`, each of its boxes by itself.

    A part of a volume that is one voxel thick is thinned in its plane, where the 3D thinning would delete it.
    """
    result = np.zeros(part.shape, bool)
    for _, box in boxes(part.view(np.uint8)):
        inside = part[box]
        thin = tuple(axis for axis, length in enumerate(inside.shape) if length == 1)[: part.ndim - 2]
        result[box] = np.expand_dims(morphology.skeleton(inside.squeeze(thin)), thin)
    return result


def _grown(box: Box, shape: tuple[int, ...]) -> Any:
    """`box` with one more voxel at either side, where the image has one."""
    return tuple(
        slice(max(0, side.start - 1), min(length, side.stop + 1))
        for side, length in zip(box, shape, strict=True)
    )
