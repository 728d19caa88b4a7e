"""One-to-one assignment of instances where several could be partners."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nnunet_ext.metrics.contingency import FloatArray, IntArray


def one_to_one(rows: IntArray, columns: IntArray, scores: FloatArray) -> IntArray:
    """Positions of the candidate pairs to keep: no row and no column twice.

    Nearly all pairs have no competitor. The others fall into small groups that share no instance, and each
    is an assignment problem of its own: one assignment over all instances would need a dense table.
    """
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    contested = np.flatnonzero(~alone)
    if not contested.size:
        return np.flatnonzero(alone)
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
