"""Dice of nested classes at given thresholds, from histograms: no segmentation is made."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.thresholds.histograms import Counts

Indices = NDArray[np.intp]
Values = NDArray[np.float64]


def dice_per_case(counts: Counts, chosen: Any, regions: bool) -> Values:
    """Dice of every class of a chain in every case.

    Parameters
    ----------
    counts : ndarray
        int64 (N, m + 1, E + 1), the `level_histogram` of each case.
    chosen : sequence of int
        (m,), index of each level's threshold among the E edges, increasing.
    regions : bool
        Whether a class is where its threshold is exceeded, or that without what lies deeper.

    Returns
    -------
    ndarray
        float64 (N, m), NaN where a class is in neither segmentation.
    """
    below = _below(counts)
    uppers = _uppers(list(chosen), counts.shape[-1] - 1, regions)
    columns = [
        _dice(*_voxels_below(below, level, regions), lower, upper)
        for level, (lower, upper) in enumerate(zip(chosen, uppers, strict=True), start=1)
    ]
    return np.stack(columns, -1)


def mean_dice(counts: Counts, chosen: Any, regions: bool) -> Values:
    """(m,) mean over the cases as in nnU-Net's summary; NaN for a class in no reference."""
    return mean_of_cases(dice_per_case(counts, chosen, regions), present_classes(counts, regions))


def mean_of_cases(per_case: Values, present: NDArray[np.bool_]) -> Values:
    """(m,) mean over the cases of (N, m) that have a value; NaN for classes that are not present."""
    counted = (~np.isnan(per_case)).sum(0)
    total = np.nansum(per_case, 0)
    return np.where(present & (counted > 0), total / np.maximum(counted, 1), np.nan)


def present_classes(counts: Counts, regions: bool) -> NDArray[np.bool_]:
    """(m,) whether each class is in the reference of any case."""
    voxels = counts.sum((0, 2))
    deeper = voxels[::-1].cumsum()[::-1]
    return (deeper if regions else voxels)[1:] > 0


def dice_tables(counts: Counts, allowed: Indices, regions: bool) -> list[Values]:
    """Mean Dice of every class of a chain at all thresholds that it depends on.

    Parameters
    ----------
    counts, regions
        As in `dice_per_case`.
    allowed : ndarray
        int (K,), indices of the edges to choose from.

    Returns
    -------
    list of ndarray
        Of each class float64 (K, K): its own threshold, and that of the next class; (K, 1) where the next
        one has no influence: the innermost class, and regions. NaN for a class that is in no reference.
    """
    below, present = _below(counts), present_classes(counts, regions)
    levels, last = counts.shape[1] - 1, counts.shape[2] - 1
    tables = []
    for level in range(1, levels + 1):
        upper = np.array([[last]]) if regions or level == levels else allowed[None]
        total = np.zeros((len(allowed), upper.shape[1]))
        number = np.zeros_like(total)
        for true, every in zip(*_voxels_below(below, level, regions), strict=True):
            dice = _dice(true, every, allowed[:, None], upper)
            total += np.nan_to_num(dice, posinf=0, neginf=0)
            number += ~np.isnan(dice)
        tables.append(np.where(present[level - 1], total / np.maximum(number, 1), np.nan))
    return tables


def _below(counts: Counts) -> Counts:
    """(…, k): voxels whose activation does not exceed edge k; the last: all voxels."""
    return counts.cumsum(-1)


def _voxels_below(below: Counts, level: int, regions: bool) -> tuple[Counts, Counts]:
    """Of `_below`: voxels that truly are of a class, and all."""
    return (below[:, level:].sum(1) if regions else below[:, level]), below.sum(1)


def _uppers(chosen: list[int], last: int, regions: bool) -> list[int]:
    """Where each class ends: at the next threshold, or nowhere."""
    return [last] * len(chosen) if regions else [*chosen[1:], last]


def _dice(true: Counts, every: Counts, lower: Any, upper: Any) -> Values:
    """Dice of a class predicted from edge `lower` to edge `upper`; NaN where it is nowhere."""
    hits = true[..., upper] - true[..., lower]
    sizes = every[..., upper] - every[..., lower] + true[..., -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return 2 * hits / sizes
