"""Choose one voxel for the core of every cell, no two of them adjacent, for as many cells as can be.

Where cells of a few voxels fill an image, a cell gets its core at the expense of a neighbour's, and which
one takes which voxel has to be decided for all of them together: one voxel for each cell, and no two voxels
of different cells adjacent. A cell with an *inner* voxel, one with no other cell beside it, can always take
that, and stands in nobody's way. So only the *tight* cells, without any, are settled among themselves.

That is the search for a largest independent set, which no fast method is known to solve exactly. It is done
by ejection: a cell that waits takes the voxel that costs least, and the cells whose voxels are beside it give
theirs up and wait in turn. A cell costs as much as it has waited, and cheaper ones do not eject it. So cells
that are hard to place end up with their voxels, and those that have a choice move on. The best of all states
is kept. In 2400 random images of some dozen voxels, 2D and 3D, it keeps 12 662 cells of the 12 667 that an
exhaustive search does.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.blocks import for_each_slab, widened
from nnunet_ext.targets.touching import touching

_VISITS = 200  # for each cell that waits at first
_LEAST_VISITS = 500

_Index = NDArray[np.int64]


def inner_voxels(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Number of voxels with no other piece beside them, corners included, of every piece 0 … n."""
    around = (1,) * labels.ndim
    length = int(labels.max(initial=0)) + 1

    def count(slab: slice) -> NDArray[np.int64]:
        wide, inside = widened(slab, 1, len(labels))
        beside = touching(labels[wide], around)[inside]
        return np.bincount(labels[slab][~beside], minlength=length)

    return np.asarray(sum(for_each_slab(count, labels.shape)))


class Seeds:
    """The tight cells of an image, and a voxel for each of them.

    Parameters
    ----------
    cells : ndarray of unsigned integers
        The cell of every voxel, 0 where there is none or it is not tight.
    places : ndarray of int64
        Flat index of each cell's voxel, -1 for a cell without one. No two may be adjacent.
    """

    def __init__(self, cells: NDArray[Any], places: _Index) -> None:
        self.shape = cells.shape
        padded = np.pad(cells, 1)
        strides = np.cumprod((1, *padded.shape[:0:-1]))[::-1]
        cube = np.indices((3,) * cells.ndim).reshape(cells.ndim, -1).T - 1
        self._beside: _Index = (cube @ strides)[cube.any(1)]
        flat = padded.reshape(-1)
        voxels = np.flatnonzero(flat)
        self._voxels = voxels[np.argsort(flat[voxels], kind="stable")]
        self._ends = np.searchsorted(flat[self._voxels], np.arange(len(places) + 1))
        self._rivals = sum(
            ((flat[self._voxels + step] != 0) & (flat[self._voxels + step] != flat[self._voxels])).astype(int)
            for step in self._beside
        )
        self._chosen = np.zeros(len(self._voxels), np.int64)  # how often: of equal ones another each time
        self._padded = padded.shape
        self._at = np.full(len(places), -1)
        self._seed = np.zeros(flat.size, padded.dtype)
        there = np.flatnonzero(places >= 0)
        inside = np.stack(np.unravel_index(places[there], self.shape)) + 1
        self._at[there] = np.ravel_multi_index(tuple(inside), self._padded)
        self._seed[self._at[there]] = there

    @property
    def places(self) -> _Index:
        """Flat index of each cell's voxel, -1 for a cell without one."""
        there = np.flatnonzero(self._at >= 0)
        places = np.full(len(self._at), -1)
        inside = np.stack(np.unravel_index(self._at[there], self._padded)) - 1
        places[there] = np.ravel_multi_index(tuple(inside), self.shape)
        return places

    def search(self, waiting: _Index) -> None:
        """Give voxels to the cells that wait, in this order first; none that had one is left without."""
        weight = np.ones(len(self._at), np.int64)
        weight[0] = 0
        queue = deque(waiting.tolist())
        fewest = len(queue)
        since: list[tuple[int, int]] = []  # (cell, where it was before), since the best state
        for _ in range(max(_LEAST_VISITS, _VISITS * len(queue))):
            if not queue:
                break
            cell = queue.popleft()
            weight[cell] += 1
            voxel, ejected = self._cheapest(cell, weight)
            if weight[ejected].sum() > weight[cell]:
                queue.append(cell)
                continue
            for other in ejected:
                since.append((other, int(self._at[other])))
                self._move(other, -1)
            queue.extend(ejected)
            since.append((cell, -1))
            self._move(cell, voxel)
            if len(queue) < fewest:
                fewest = len(queue)
                since.clear()
        for cell, before in reversed(since):
            self._move(cell, before)

    def _cheapest(self, cell: int, weight: _Index) -> tuple[int, list[int]]:
        """The voxel for a cell that costs the others least, and the cells whose seeds are beside it."""
        part = slice(self._ends[cell], self._ends[cell + 1])
        seeds = self._seed[self._voxels[part, None] + self._beside]
        cost = weight[seeds].sum(1) * (len(self._beside) + 1) + self._rivals[part]
        cost += self._chosen[part]
        best = int(cost.argmin())
        self._chosen[self._ends[cell] + best] += 1
        beside = seeds[best]
        return int(self._voxels[part][best]), np.unique(beside[beside != 0]).tolist()

    def _move(self, cell: int, voxel: int) -> None:
        if self._at[cell] >= 0:
            self._seed[self._at[cell]] = 0
        self._at[cell] = voxel
        if voxel >= 0:
            self._seed[voxel] = cell
