"""The increasing thresholds of the largest Dice, found exactly: dynamic programming from the inside out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.thresholds.dice import Values
from nnunet_ext.thresholds.histograms import Floats

TOLERANCE = 1e-4  # of Dice: a gain too small to move a threshold for
ROUNDING = 1e-12


def objective(dice: Values, wanted: NDArray[np.bool_]) -> float:
    """Mean Dice of the wanted classes that have one; NaN if none has."""
    values = dice[wanted & ~np.isnan(dice)]
    return float(values.mean()) if len(values) else float("nan")


def best_thresholds(
    tables: Sequence[Values],
    thresholds: Floats,
    presets: Sequence[float],
    wanted: NDArray[np.bool_],
    tolerance: float = TOLERANCE,
) -> list[int]:
    """Choose an increasing threshold for every level.

    The Dice of a class depends on its own threshold and at most on the next one, so the best of all
    increasing choices follows from pairs: of each threshold of a level, the best that deeper levels can add.

    Many thresholds are nearly as good as the best, above all where activations are saturated. From the
    outermost level to the innermost, a threshold is its preset if that leads to within `tolerance` of the
    best; nothing is moved for nothing. Else it is the middle of its plateau: of those values within
    `tolerance` that lie side by side with the best one.

    Parameters
    ----------
    tables : sequence of ndarray
        `dice_tables` of the chain, for K thresholds.
    thresholds : ndarray
        float32 (K,), the thresholds to choose from, increasing, presets among them.
    presets : sequence of float
        (m,), thresholds before any tuning, increasing.
    wanted : ndarray
        bool (m,), the classes whose mean Dice is to be large. Those without a Dice do not count.
    tolerance : float
        As above, of the mean Dice of the wanted classes.

    Returns
    -------
    list of int
        (m,), strictly increasing indices into `thresholds`.
    """
    weights = _weights(tables, wanted)
    gains = [weight * np.nan_to_num(table) for weight, table in zip(weights, tables, strict=True)]
    rests = _best_rests(gains)
    floor = rests[0].max() - tolerance - ROUNDING
    places = np.arange(len(thresholds))
    fixed = np.zeros(len(thresholds))  # what outer classes give, by this level's threshold
    chosen = [-1]
    for preset, gain, rest in zip(presets, gains, rests, strict=True):
        values = np.where(places > chosen[-1], fixed + rest, -np.inf)
        chosen.append(_pick(values, floor, thresholds, preset))
        fixed = np.broadcast_to(fixed[chosen[-1]] + gain[chosen[-1]], fixed.shape)
    return chosen[1:]


def _weights(tables: Sequence[Values], wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
    counts = np.array(
        [want and not np.isnan(table).all() for want, table in zip(wanted, tables, strict=True)]
    )
    return counts / max(counts.sum(), 1)


def _best_rests(gains: list[Values]) -> list[Values]:
    """Of each level and threshold: the most that this class and deeper ones can give; -inf without room."""
    rests = [gains[-1][:, 0]]
    later = np.triu(np.ones((len(rests[0]), len(rests[0])), bool), k=1)
    for gain in reversed(gains[:-1]):
        rests.insert(0, np.where(later, gain + rests[0], -np.inf).max(1))
    return rests


def _pick(values: Values, floor: float, thresholds: Floats, preset: float) -> int:
    """The index to take among values; see `best_thresholds`."""
    near = np.flatnonzero(values >= floor)
    stay = int(np.abs(thresholds - preset).argmin())
    if stay in near:
        return stay
    best = int(values.argmax())
    runs = np.split(near, np.flatnonzero(np.diff(near) > 1) + 1)
    run = next(run for run in runs if run[0] <= best <= run[-1])
    middle = (thresholds[run[0]] + thresholds[run[-1]]) / 2
    return int(run[np.abs(thresholds[run] - middle).argmin()])
