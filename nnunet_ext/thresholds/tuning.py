"""Thresholds of the largest validation Dice, of one fold or of several together, and what they change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.thresholds.chain import ChainCounts, cut
from nnunet_ext.thresholds.dice import Values, mean_of_cases, present_classes
from nnunet_ext.thresholds.histograms import Floats
from nnunet_ext.thresholds.model import Fold
from nnunet_ext.thresholds.search import objective

AGREE = 0.005  # Dice that common thresholds may cost a fold


@dataclass(frozen=True)
class Tuning:
    """Tuned thresholds.

    Attributes
    ----------
    classes : list of str
        In the order of thresholds, chain after chain.
    wanted : ndarray
        bool, the classes whose mean Dice is maximised.
    chains : list of ChainCounts
        What they follow from.
    folds : list of Fold
        Where they will be written.
    thresholds : ndarray
        float32, θ of all chains.
    own : list of ndarray
        Of each fold, θ that would be best for it alone.
    per_case : list of ndarray
        Of each fold float64 (2, N, classes): Dice of its cases before and after, as nnU-Net segments them.
    made_with : dict
        ``.npz`` -> θ of the network that made it.
    """

    classes: list[str]
    wanted: NDArray[np.bool_]
    chains: list[ChainCounts]
    folds: list[Fold]
    thresholds: Floats
    own: list[Floats]
    per_case: list[Values]
    made_with: dict[Path, Floats]

    def dice(self, fold: int | None = None) -> tuple[Values, Values]:
        """Mean Dice of each class before and after, of one fold or of all cases, as in nnU-Net's summary."""
        counts = [chain.pooled if fold is None else chain.folds[fold] for chain in self.chains]
        present = np.concatenate(
            [present_classes(n, chain.regions) for n, chain in zip(counts, self.chains, strict=True)]
        )
        before, after = np.concatenate(self.per_case, 1) if fold is None else self.per_case[fold]
        return mean_of_cases(before, present), mean_of_cases(after, present)

    @property
    def gain(self) -> float:
        """Of the mean Dice of the wanted classes, over all cases."""
        before, after = self.dice()
        return objective(after, self.wanted) - objective(before, self.wanted)

    def score(self, fold: int, thresholds: Floats) -> float:
        """Mean Dice of the wanted classes with any thresholds of ours, chains by themselves."""
        parts = cut(thresholds, [len(chain.names) for chain in self.chains])
        dice = [
            chain.mean_dice(chain.folds[fold], part) for chain, part in zip(self.chains, parts, strict=True)
        ]
        return objective(np.concatenate(dice), self.wanted)

    @property
    def costs(self) -> list[float]:
        """Dice that common thresholds cost each fold against its own; NaN for one without the classes."""
        costs = [self.score(k, own) - self.score(k, self.thresholds) for k, own in enumerate(self.own)]
        return [float(np.maximum(cost, 0)) for cost in costs]  # own ones are the best but for a tolerance

    @property
    def agree(self) -> bool:
        """Whether they cost no fold more than `AGREE`."""
        return not any(cost > AGREE for cost in self.costs)

    def write(self) -> list[Path]:
        """Put the thresholds into the checkpoint of every fold; return those that were not so already."""
        changed = []
        for fold in self.folds:
            files = [prediction for _, prediction in fold.files]
            if fold.checkpoint.write(self.thresholds, {file: self.made_with[file] for file in files}):
                changed.append(fold.checkpoint.path)
        return changed
