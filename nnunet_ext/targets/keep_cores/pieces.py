"""Connected pieces of instances, and the piece of each instance that counts."""

from __future__ import annotations

from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.components import label_components
from nnunet_ext.arrays.slabs import slabs

Box = tuple[slice, ...]


def first_voxels(labels: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Flat index of the first voxel of every label 0 … `count`; 0 where there is none."""
    first = np.zeros(count + 1, np.int64)
    flat = labels.reshape(-1)
    for part in reversed(list(slabs(flat.shape))):
        first[flat[part][::-1]] = np.arange(part.start, part.stop)[::-1]  # the last one written stays
    return first


def grown(box: Box, margin: int | tuple[int, ...], shape: tuple[int, ...]) -> Box:
    """`box` with a margin, cut at the border of the image."""
    widths = (margin,) * len(box) if isinstance(margin, int) else margin
    return tuple(
        slice(max(0, part.start - width), min(length, part.stop + width))
        for part, width, length in zip(box, widths, shape, strict=True)
    )


class Pieces:
    """The connected pieces 1 … `count` of all instances.

    Attributes
    ----------
    labels : ndarray of unsigned integers
        The piece of every voxel, 0 background.
    size : (count + 1,) ndarray of int64
        Voxels of each piece.
    first : (count + 1,) ndarray of int64
        Flat index of each piece's first voxel.
    unit : (count + 1,) ndarray of bool
        Whether it is the largest piece of its instance, of equals the first.
    """

    def __init__(self, instances: NDArray[Any]) -> None:
        self.labels, self.count = label_components(instances)
        statistics = cc3d.statistics(self.labels, no_slice_conversion=True)
        self.size = statistics["voxel_counts"].astype(np.int64)
        self._ends = statistics["bounding_boxes"].astype(np.int64)
        self.first = first_voxels(self.labels, self.count)
        owner = instances.reshape(-1)[self.first]
        order = 1 + np.lexsort((-self.first[1:], self.size[1:], owner[1:]))
        last = np.append(owner[order][1:] != owner[order][:-1], True)[: self.count]
        self.unit = np.zeros(self.count + 1, bool)
        self.unit[order[last]] = True

    def box(self, piece: int) -> Box:
        """The smallest box that holds a piece."""
        ends = self._ends[piece].reshape(-1, 2)[: self.labels.ndim]
        return tuple(slice(int(start), int(end) + 1) for start, end in ends)
