"""The gaps between the pieces of a component: the shortest ways through it that join them all.

The same search finds breaks and merges: a break is a gap between predicted pieces of one reference
component, a merge one between reference pieces of one predicted component.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from nnunet_ext.metrics.contingency import InstanceOverlap, IntArray

Labels = NDArray[np.unsignedinteger]


def gaps_between(
    wholes: Labels, pieces: Labels, overlap: InstanceOverlap, connectivity: int
) -> list[NDArray[np.intp]]:
    """Return the voxels of the gaps in components that several pieces cover.

    Of a component with n pieces these are n − 1 gaps: a minimum spanning tree of its pieces, where the
    distance of two pieces is the number of steps of the shortest way between them within the component. A gap
    is the voxels, covered by no piece, of all the shortest ways that the search finds between its two.

    Parameters
    ----------
    wholes, pieces : ndarray of unsigned integers
        Components of two maps of one shape, from `label_components`.
    overlap : InstanceOverlap
        Of ``(wholes, pieces)``.
    connectivity : int
        With which they were made.

    Returns
    -------
    list of (K, ndim) ndarray
        Positions of the voxels of each gap, at least one.

    References
    ----------
    Mehlhorn. A faster approximation algorithm for the Steiner problem in graphs. Information Processing
    Letters 27 (1988): of the distances only those across the borders of the pieces' nearest voxels matter.
    """
    several = np.bincount(overlap.reference, minlength=overlap.reference_sizes.size) > 1
    if not several.any():
        return []
    search = _Search(wholes, pieces, overlap, several, connectivity)
    search.grow()
    gaps, at = search.trace(*search.narrowest())
    positions = np.stack(np.unravel_index(at, search.shape), axis=1) - 1  # without the margin
    return np.split(positions, np.flatnonzero(np.diff(gaps)) + 1)


class _Search:
    """Pieces growing into the gaps of their component, step by step, until they meet.

    The arrays have a margin of one voxel and are flat, so that a neighbour is an index away.
    """

    def __init__(
        self,
        wholes: Labels,
        pieces: Labels,
        overlap: InstanceOverlap,
        several: NDArray[np.bool_],
        connectivity: int,
    ) -> None:
        wanted = np.append(False, several)[np.pad(wholes, 1)]  # the components with several pieces
        covering = np.pad(pieces, 1)
        self.shape = wanted.shape
        open_voxels = wanted & (covering == 0)
        covered = np.flatnonzero(wanted & (covering != 0))
        # A node is a piece within one component: the same piece may lie in several.
        count = overlap.prediction_sizes.size
        keys = overlap.reference * count + overlap.prediction
        self.nodes = np.zeros(wanted.size, np.int32)
        whole = np.pad(wholes, 1).reshape(-1)[covered].astype(np.int64) - 1
        piece = covering.reshape(-1)[covered].astype(np.int64) - 1
        self.nodes[covered] = np.searchsorted(keys, whole * count + piece) + 1
        self.count = keys.size
        self.open = open_voxels.reshape(-1)
        self.steps = np.zeros(wanted.size, np.int32)
        strides = np.cumprod((1, *self.shape[:0:-1]))[::-1]
        near = [step for step in product((-1, 0, 1), repeat=wholes.ndim) if np.abs(step).sum() > 0]
        self.offsets = [int(np.dot(step, strides)) for step in near if np.abs(step).sum() <= connectivity]

    def grow(self) -> None:
        """Give every open voxel its nearest piece (`nodes`) and the steps to it (`steps`)."""
        missing = np.flatnonzero(self.open)
        beside = np.zeros(self.open.size, bool)
        for offset in self.offsets:
            beside[missing + offset] = True
        front = np.flatnonzero(beside & (self.nodes > 0))
        step = 0
        while front.size:
            step += 1
            reached = []
            for offset in self.offsets:
                new = self.open[front + offset] & (self.nodes[front + offset] == 0)
                at = front[new] + offset
                self.nodes[at], self.steps[at] = self.nodes[front[new]], step
                reached.append(at)
            front = np.concatenate(reached)

    def narrowest(self) -> tuple[IntArray, IntArray]:
        """Return the gaps of the spanning tree and the voxels where their shortest ways cross the border."""
        missing = np.flatnonzero(self.open)
        borders, here, there = [], [], []
        for offset in self.offsets:
            own, other = self.nodes[missing], self.nodes[missing + offset]
            meets = (other > 0) & (other != own)
            at, beyond = missing[meets], missing[meets] + offset
            low, high = np.minimum(own, other)[meets], np.maximum(own, other)[meets]
            borders.append(low.astype(np.int64) * (self.count + 1) + high)
            here.append(at)
            there.append(beyond)
        border, at, beyond = (np.concatenate(part) for part in (borders, here, there))
        length = self.steps[at] + self.steps[beyond] + 1
        keys, which = np.unique(border, return_inverse=True)
        shortest = np.full(keys.size, np.iinfo(np.int32).max)
        np.minimum.at(shortest, which, length)
        gap = self._tree(keys, shortest)[which]
        chosen = (length == shortest[which]) & (gap >= 0)
        gap, ends = gap[chosen], np.stack([at[chosen], beyond[chosen]])
        gaps, ends = np.tile(gap, 2), ends.reshape(-1)
        inside = self.open[ends]
        return gaps[inside], ends[inside]

    def _tree(self, keys: IntArray, lengths: IntArray) -> IntArray:
        """Number the borders of the minimum spanning tree; the others are −1."""
        size = self.count + 1
        graph = coo_array((lengths, np.divmod(keys, size)), shape=(size, size))
        tree = minimum_spanning_tree(graph.tocsr()).tocoo()
        number = np.full(keys.size, -1)
        in_tree = np.searchsorted(keys, np.sort(tree.row.astype(np.int64) * size + tree.col))
        number[in_tree] = np.arange(in_tree.size)
        return number

    def trace(self, gaps: IntArray, at: IntArray) -> tuple[IntArray, IntArray]:
        """Go back from the border to the pieces; return every (gap, voxel) on the way once, in order."""
        found = [(gaps, at)]
        while at.size:
            back = []
            for offset in self.offsets:
                to = at + offset
                nearer = (self.steps[to] == self.steps[at] - 1) & (self.nodes[to] == self.nodes[at])
                nearer &= self.open[to]
                back.append((gaps[nearer], to[nearer]))
            gaps, at = _distinct(*(np.concatenate(part) for part in zip(*back, strict=True)))
            found.append((gaps, at))
        return _distinct(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _distinct(gaps: IntArray, at: IntArray) -> tuple[IntArray, IntArray]:
    pairs = np.unique(np.stack([gaps, at]), axis=1)
    return pairs[0], pairs[1]
