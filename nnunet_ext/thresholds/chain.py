"""One chain of classes: its histograms of every fold, and the thresholds that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.thresholds.dice import Values, dice_per_case, dice_tables, mean_dice
from nnunet_ext.thresholds.histograms import Counts, Floats, candidates
from nnunet_ext.thresholds.search import best_thresholds


@dataclass(frozen=True)
class ChainCounts:
    """All that is needed of the predictions to tune the thresholds of one chain, as if it were the only one.

    Attributes
    ----------
    names : tuple of str
        Its m classes, outermost first.
    presets : list of float
        θ before any tuning.
    regions : bool
        As in `dice_per_case`.
    edges : ndarray
        float32 (E,), the thresholds between which voxels are counted: `candidates`, and others of interest.
    folds : list of ndarray
        Of each fold int64 (N, m + 1, E + 1), a `level_histogram` per case.
    """

    names: tuple[str, ...]
    presets: list[float]
    regions: bool
    edges: Floats
    folds: list[Counts]

    @cached_property
    def pooled(self) -> Counts:
        """The cases of all folds."""
        return np.concatenate(self.folds)

    @property
    def _allowed(self) -> NDArray[np.intp]:
        return np.searchsorted(self.edges, candidates(self.presets))

    def best(self, counts: Counts, wanted: NDArray[np.bool_]) -> Floats:
        """(m,) thresholds for some of the cases; see `best_thresholds`."""
        allowed = self._allowed
        tables = dice_tables(counts, allowed, self.regions)
        return self.edges[allowed[best_thresholds(tables, self.edges[allowed], self.presets, wanted)]]

    def dice_per_case(self, counts: Counts, thresholds: Floats) -> Values:
        """(N, m) Dice of each class in each case; `thresholds` are edges."""
        return dice_per_case(counts, np.searchsorted(self.edges, thresholds), self.regions)

    def mean_dice(self, counts: Counts, thresholds: Floats) -> Values:
        """(m,) mean Dice of each class; `thresholds` are edges."""
        return mean_dice(counts, np.searchsorted(self.edges, thresholds), self.regions)

    def curves(self, counts: Counts, thresholds: Floats, level: int) -> tuple[Floats, Values]:
        """Move one threshold between its neighbours: its n values, and the mean Dice (n, m) of each class."""
        low, high = np.array([-np.inf, *thresholds, np.inf])[[level, level + 2]]
        values = self.edges[self._allowed]
        values = values[(values > low) & (values < high)]
        dice = []
        for value in values:
            moved = thresholds.copy()
            moved[level] = value
            dice.append(self.mean_dice(counts, moved))
        return values, np.array(dice)


def cut(values: NDArray[Any], lengths: Sequence[int]) -> list[NDArray[Any]]:
    """Values of the levels of all chains, by chain."""
    return np.split(values, np.cumsum(lengths)[:-1])
