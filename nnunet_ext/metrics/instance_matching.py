"""Which predicted instance is which reference instance, at an IoU threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nnunet_ext.metrics._checks import check_iou
from nnunet_ext.metrics.contingency import FloatArray, InstanceOverlap, IntArray
from nnunet_ext.metrics.panoptic_counts import PanopticCounts


@dataclass(frozen=True)
class Matching:
    """Pairs of instances at one IoU threshold; every instance is in at most one.

    Attributes
    ----------
    iou : float
        The threshold.
    reference_sizes, prediction_sizes : ndarray
        Voxels of all instances, matched or not.
    reference, prediction : (TP,) ndarray of int
        The instances of each pair, as positions in the above.
    scores, dice : (TP,) ndarray of float
        IoU and Dice coefficient of each pair.
    """

    iou: float
    reference_sizes: IntArray
    prediction_sizes: IntArray
    reference: IntArray
    prediction: IntArray
    scores: FloatArray
    dice: FloatArray

    def counts(self, smallest: float = 0, below: float = np.inf, voxel_size: float = 1) -> PanopticCounts:
        """Count pairs and single instances of ``smallest <= size < below``, voxels times `voxel_size`.

        A pair has the size of its reference, an instance without partner its own.
        """
        in_reference, in_prediction = (
            (smallest <= sizes * voxel_size) & (sizes * voxel_size < below)
            for sizes in (self.reference_sizes, self.prediction_sizes)
        )
        in_prediction[self.prediction] = False
        pairs = in_reference[self.reference]
        tp = int(np.count_nonzero(pairs))
        return PanopticCounts(
            self.iou,
            tp=tp,
            fp=int(np.count_nonzero(in_prediction)),
            fn=int(np.count_nonzero(in_reference)) - tp,
            sum_iou=float(self.scores[pairs].sum()),
            sum_dice=float(self.dice[pairs].sum()),
        )


def match_instances(overlap: InstanceOverlap, iou: float = 0.5) -> Matching:
    """Pair instances whose intersection over union is above `iou`.

    From .5 on every instance has at most one such partner. Below, the pairs are chosen so that there are as
    many as possible, and among those choices the one with the largest sum of IoUs.

    Parameters
    ----------
    overlap : InstanceOverlap
        Of a reference and a prediction.
    iou : float
        From 0 to below 1. A pair of exactly this IoU is no match.

    Raises
    ------
    ValueError
        If `iou` is out of range.
    """
    check_iou(iou)
    candidates = np.flatnonzero(overlap.iou > iou)
    chosen = candidates[
        _one_to_one(overlap.reference[candidates], overlap.prediction[candidates], overlap.iou[candidates])
    ]
    return Matching(
        float(iou),
        overlap.reference_sizes,
        overlap.prediction_sizes,
        overlap.reference[chosen],
        overlap.prediction[chosen],
        overlap.iou[chosen],
        overlap.dice[chosen],
    )


def _one_to_one(rows: IntArray, columns: IntArray, scores: FloatArray) -> IntArray:
    """Positions of the candidate pairs to keep."""
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    contested = np.flatnonzero(~alone)
    if not contested.size:
        return np.flatnonzero(alone)
    # Candidates that share no instance do not compete, so each group is a small problem of its own.
    chosen = [
        group[_assign(rows[group], columns[group], scores[group])]
        for group in _groups(contested, rows[contested], columns[contested])
    ]
    return np.sort(np.concatenate([np.flatnonzero(alone), *chosen]))


def _groups(positions: IntArray, rows: IntArray, columns: IntArray) -> list[IntArray]:
    nodes = int(rows.max()) + 1, int(columns.max()) + 1
    graph = coo_array((np.ones(rows.size, bool), (rows, nodes[0] + columns)), shape=(sum(nodes), sum(nodes)))
    group = connected_components(graph, directed=False)[1][rows]
    order = np.argsort(group, kind="stable")
    return np.split(positions[order], np.flatnonzero(np.diff(group[order])) + 1)


def _assign(rows: IntArray, columns: IntArray, scores: FloatArray) -> IntArray:
    _, row = np.unique(rows, return_inverse=True)
    _, column = np.unique(columns, return_inverse=True)
    shape = int(row.max()) + 1, int(column.max()) + 1
    worth = np.zeros(shape)
    # All scores together are worth less than one pair more.
    worth[row, column] = 1 + scores / (2 * min(shape))
    position = np.full(shape, -1)
    position[row, column] = np.arange(row.size)
    found = position[linear_sum_assignment(worth, maximize=True)]
    return found[found >= 0]
