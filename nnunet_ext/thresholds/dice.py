"""The Dice of nested classes at any thresholds, and the thresholds of the largest, from histograms.

The Dice of a class depends only on how many voxels of each true level have their activation between which
thresholds. So voxels are counted once, on a grid of thresholds, and no segmentation is made to try one out.
And it depends on the class's own threshold and at most on the next one. So the best of all increasing
thresholds follows exactly from pairs, by dynamic programming: of each threshold of a level, the best that
deeper levels can add.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.evaluation.summary import nan_mean

Floats = NDArray[np.float32]
Counts = NDArray[np.int64]
Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

STEPS = 100  # thresholds to choose from per level
TOLERANCE = 1e-4  # of Dice: a gain too small to move a threshold for
ROUNDING = 1e-12


def candidates(presets: list[float]) -> Floats:
    """Thresholds to choose from: 0.005, 0.015 … up to the number of levels, and the preset of each level.

    Where a sigmoid is saturated the activation is a whole number but for rounding, so whole numbers are kept
    in the middle between two candidates.
    """
    grid = (np.arange(STEPS * len(presets)) + 0.5) / STEPS
    return np.unique(np.concatenate([grid, presets]).astype(np.float32))


def level_histogram(activation: Floats, level: NDArray[np.intp], levels: int, edges: Floats) -> Counts:
    """Count the voxels of each true level between each two of E increasing thresholds.

    int64 (levels + 1, E + 1); a voxel is in bin k if its activation exceeds k of the thresholds. At a = θ
    both scores are equal, and nnU-Net takes the outer class.
    """
    bins = np.searchsorted(edges, activation.ravel(), side="left")
    width = len(edges) + 1
    flat = np.bincount(level.ravel() * width + bins, minlength=(levels + 1) * width)
    return flat.reshape(levels + 1, width)


def mean_of_cases(per_case: Values, present: Flags) -> Values:
    """(m,) mean of (N, m) as in nnU-Net's summary, NaN left out; NaN for classes in no reference."""
    return np.where(present, [nan_mean(column) for column in per_case.T], np.nan)


@dataclass(frozen=True)
class Chain:
    """One chain of nested classes, as if it were the only one: its histograms, and what follows from them.

    Methods take thresholds and flags of the classes of all chains; `fold` is the index of the fold whose N
    cases count, None for those of all folds.

    Attributes
    ----------
    names : tuple of str
        Its m classes, outermost first.
    place : slice
        Where they are among the classes of all chains.
    presets : list of float
        (m,), θ before any tuning, increasing.
    regions : bool
        Whether a class is where its threshold is exceeded, or that without what lies deeper.
    edges : ndarray
        float32 (E,), the thresholds between which voxels are counted: `candidates`, and others of interest.
    folds : list of ndarray
        Of each fold int64 (N, m + 1, E + 1), the `level_histogram` of each case; filled as they are counted.
    """

    names: tuple[str, ...]
    place: slice
    presets: list[float]
    regions: bool
    edges: Floats
    folds: list[Counts] = field(default_factory=list)

    def present(self, fold: int | None = None) -> Flags:
        """(m,) whether each class is in the reference of any case."""
        return self._voxels(fold)[0][..., -1].sum(0) > 0

    def dice(self, thresholds: Floats, fold: int | None = None) -> Values:
        """(N, m) Dice of every class in every case; `thresholds` are edges. NaN for one that is nowhere."""
        true, every = self._voxels(fold)
        lower = np.searchsorted(self.edges, thresholds[self.place])
        upper = np.full(len(lower), len(self.edges)) if self.regions else [*lower[1:], len(self.edges)]
        ends = zip(lower, upper, strict=True)
        return np.stack([_dice(true[:, k], every, *pair) for k, pair in enumerate(ends)], -1)

    def mean_dice(self, thresholds: Floats, fold: int | None = None) -> Values:
        """(m,) mean Dice of every class; `thresholds` are edges. NaN for one in no reference."""
        return mean_of_cases(self.dice(thresholds, fold), self.present(fold))

    def pair_dice(self, level: int, fold: int | None = None) -> Values:
        """Mean Dice of a class by the thresholds that it depends on, among K `candidates`.

        float64 (K, K): its own threshold, and that of the next class, which has to be larger; (K, 1) where
        the next one has no influence: the innermost class, and regions. 0 for a class in no reference.
        """
        true, every = self._voxels(fold)
        lower = np.searchsorted(self.edges, candidates(self.presets))
        alone = self.regions or level == len(self.names) - 1
        upper = np.array([len(self.edges)]) if alone else lower
        total = np.zeros((len(lower), len(upper)))
        number = np.zeros_like(total)
        for of_case in zip(true[:, level], every, strict=True):
            dice = _dice(*of_case, lower[:, None], upper)
            total += np.nan_to_num(dice)
            number += ~np.isnan(dice)
        return total / np.maximum(number, 1)

    def best(self, wanted: Flags, fold: int | None = None, tolerance: float = TOLERANCE) -> Floats:
        """(m,) the increasing thresholds, of `candidates`, of the largest mean Dice of the wanted classes.

        Classes in no reference do not count. Many thresholds are nearly as good as the best, above all where
        activations are saturated. From the outermost level to the innermost, a threshold is its preset if
        that leads to within `tolerance` of the best; nothing is moved for nothing. Else it is the middle of
        its plateau: of those values within `tolerance` that lie side by side with the best one.
        """
        choices, counted = candidates(self.presets), wanted[self.place] & self.present(fold)
        gains = [
            self.pair_dice(k, fold) / counted.sum() if counts else np.zeros((len(choices), 1))
            for k, counts in enumerate(counted)
        ]
        rests = [gains[-1][:, 0]]  # of each level and threshold: the most that it and deeper ones can give
        later = np.triu(np.ones((len(choices), len(choices)), bool), k=1)
        for gain in reversed(gains[:-1]):
            rests.insert(0, np.where(later, gain + rests[0], -np.inf).max(1))
        floor = rests[0].max() - tolerance - ROUNDING
        outer = np.zeros(len(choices))  # what outer classes give, by this level's threshold
        chosen: list[int] = []
        for preset, gain, rest in zip(self.presets, gains, rests, strict=True):
            values = outer + rest
            values[: chosen[-1] + 1 if chosen else 0] = -np.inf
            chosen.append(_pick(values, floor, choices, preset))
            outer = np.broadcast_to(outer[chosen[-1]] + gain[chosen[-1]], outer.shape)
        return choices[chosen]

    def _voxels(self, fold: int | None) -> tuple[Counts, Counts]:
        """Voxels up to each edge, and all: (N, m, E + 1) truly of each class, (N, E + 1) of any."""
        below = (np.concatenate(self.folds) if fold is None else self.folds[fold]).cumsum(-1)
        true = below[:, 1:]
        return (true[:, ::-1].cumsum(1)[:, ::-1] if self.regions else true), below.sum(1)


def _dice(true: Counts, every: Counts, lower: Any, upper: Any) -> Values:
    """Dice of a class predicted from edge `lower` to edge `upper`; NaN where it is nowhere."""
    hits = true[..., upper] - true[..., lower]
    sizes = every[..., upper] - every[..., lower] + true[..., -1]
    return np.divide(2 * hits, sizes, out=np.full(hits.shape, np.nan), where=sizes > 0)


def _pick(values: Values, floor: float, thresholds: Floats, preset: float) -> int:
    """The index to take among values; see `Chain.best`."""
    near = np.flatnonzero(values >= floor)
    stay = int(np.abs(thresholds - preset).argmin())
    if stay in near:
        return stay
    best = values.argmax()
    runs = np.split(near, np.flatnonzero(np.diff(near) > 1) + 1)
    run = next(run for run in runs if run[0] <= best <= run[-1])
    middle = (thresholds[run[0]] + thresholds[run[-1]]) / 2
    return int(run[np.abs(thresholds[run] - middle).argmin()])
