"""From the validation predictions of folds to thresholds, and what these change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.evaluation.folders import evaluate_cases
from nnunet_ext.evaluation.summary import nan_mean
from nnunet_ext.thresholds.checkpoint import Case
from nnunet_ext.thresholds.dice import Chain, Flags, Floats, Values, candidates, mean_of_cases
from nnunet_ext.thresholds.model import Fold, TrainedModel
from nnunet_ext.thresholds.predictions import count_levels, segmented_dice
from nnunet_ext.worker_pool import Progress, silent

AGREE = 0.005  # Dice that common thresholds may cost a fold


@dataclass(frozen=True)
class Tuning:
    """Thresholds of the largest validation Dice, of one fold or of several together, and what they change.

    Attributes
    ----------
    classes : list of str
        In the order of thresholds, chain after chain.
    wanted : ndarray
        bool, the classes whose mean Dice is maximised.
    chains : list of Chain
        What they follow from.
    folds : list of Fold
        Where they will be written.
    thresholds : ndarray
        float32, θ of all chains.
    own : list of ndarray
        Of each fold, θ that would be best for it alone.
    per_case : list of ndarray
        Of each fold float64 (2, N, classes): Dice of its cases before and after, as nnU-Net segments them.
    """

    classes: list[str]
    wanted: Flags
    chains: list[Chain]
    folds: list[Fold]
    thresholds: Floats
    own: list[Floats]
    per_case: list[Values]

    def dice(self, fold: int | None = None) -> tuple[Values, Values]:
        """Mean Dice of each class before and after, of one fold or of all cases, as in nnU-Net's summary."""
        present = np.concatenate([chain.present(fold) for chain in self.chains])
        before, after = np.concatenate(self.per_case, 1) if fold is None else self.per_case[fold]
        return mean_of_cases(before, present), mean_of_cases(after, present)

    @property
    def gain(self) -> float:
        """Of the mean Dice of the wanted classes, over all cases."""
        before, after = (nan_mean(dice[self.wanted]) for dice in self.dice())
        return after - before

    def score(self, fold: int, thresholds: Floats) -> float:
        """Mean Dice of the wanted classes with any thresholds of ours, chains by themselves."""
        dice = np.concatenate([chain.mean_dice(thresholds, fold) for chain in self.chains])
        return nan_mean(dice[self.wanted])

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
        return [
            fold.checkpoint.path for fold in self.folds if fold.checkpoint.write(self.thresholds, fold.cases)
        ]


def tune(
    model: TrainedModel,
    folds: list[Fold],
    only: str | None = None,
    processes: int = 1,
    progress: Progress = silent,
) -> Tuning:
    """Find the increasing thresholds of the largest mean Dice on the folds' validation cases.

    The predictions are read once. Of a tree of classes each chain is tuned by itself, as if the others were
    not there; then the predictions are read once more, for the Dice of the whole.

    Parameters
    ----------
    model : TrainedModel
        The model.
    folds : list of Fold
        Folds of it. Tuned together: every case counts alike.
    only : str, optional
        Maximise the Dice of this class alone; by default the mean of all.
    processes, progress
        As in `evaluate_folders`.

    Returns
    -------
    Tuning

    Raises
    ------
    UserError
        If the class is unknown or in no reference, or predictions cannot be used.
    """
    if only is not None and only not in model.classes:
        raise UserError(f"--class {only}: the classes are {', '.join(model.classes)}.")
    wanted = np.array([only in (None, name) for name in model.classes])
    evaluate = partial(_of_every_case, folds, processes, progress)
    chains = _chains(model, np.array([fold.checkpoint.thresholds for fold in folds]))
    for counts in evaluate(partial(count_levels, model, chains)):
        for chain, of_chain in zip(chains, zip(*counts, strict=True), strict=True):
            chain.folds.append(np.stack(of_chain))
    present = np.concatenate([chain.present() for chain in chains])
    if not (present & wanted).any():
        what = f"'{only}'" if only else "any class"
        raise UserError(f"No reference of these folds has {what}: there is no Dice to tune for.")
    thresholds, *own = (
        np.concatenate([chain.best(wanted, fold) for chain in chains]) for fold in (None, *range(len(folds)))
    )
    if len(chains) > 1:
        per_case = [np.stack(dice, 1) for dice in evaluate(partial(segmented_dice, model, thresholds))]
    else:
        per_case = [
            np.stack([chains[0].dice(theta, k) for theta in (fold.checkpoint.thresholds, thresholds)])
            for k, fold in enumerate(folds)
        ]
    return Tuning(model.classes, wanted, chains, folds, thresholds, own, per_case)


def _chains(model: TrainedModel, before: Floats) -> list[Chain]:
    """The chains, nothing counted yet; thresholds before tuning (folds, classes) are edges, too."""
    parts = zip(model.hierarchy.chains, model.places, model.presets, strict=True)
    return [
        Chain(
            names, place, presets, model.hierarchy.regions, np.union1d(candidates(presets), before[:, place])
        )
        for names, place, presets in parts
    ]


def _of_every_case(
    folds: Sequence[Fold], processes: int, progress: Progress, work: Callable[[Case], Any]
) -> list[list[Any]]:
    """What `work` makes of every case, fold by fold; one `UserError` names all cases that are unusable."""
    cases: list[Any] = [case for fold in folds for case in fold.cases]
    attempt = partial(_attempt, work)
    results = iter(evaluate_cases(lambda: attempt, cases, processes, progress, "Reading predictions"))
    by_fold = [list(islice(results, len(fold.cases))) for fold in folds]
    problems = [[result for result in of_fold if isinstance(result, str)] for of_fold in by_fold]
    if any(problems):
        listed = [text for of_fold in problems for text in of_fold]
        commands = [fold.command for fold, of_fold in zip(folds, problems, strict=True) if of_fold]
        raise UserError(
            "\n  ".join([f"{len(listed)} of {len(cases)} cases cannot be used:", *listed])
            + "\n  ".join(["\nTo make their predictions again:", *commands])
        )
    return by_fold


def _attempt(work: Callable[[Case], Any], case: Case) -> Any:
    """What `work` makes of a case, or as a text why it cannot be used."""
    try:
        return work(case)
    except UnusableCase as problem:
        return str(problem)
