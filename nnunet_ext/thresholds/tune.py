"""From the validation predictions of folds to thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.folders import Evaluator, evaluate_cases
from nnunet_ext.thresholds.chain import ChainCounts, cut
from nnunet_ext.thresholds.dice import Values, present_classes
from nnunet_ext.thresholds.histograms import Floats, candidates
from nnunet_ext.thresholds.model import Fold, TrainedModel
from nnunet_ext.thresholds.predictions import CaseCounter, CaseReader, CaseSegmenter, ForeignPrediction
from nnunet_ext.thresholds.tuning import Tuning
from nnunet_ext.worker_pool import Progress, silent


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
    made_with, unknown = _origins(folds)
    origins = {path: cut(theta, model.lengths) for path, theta in made_with.items()}
    cases = CaseReader(
        model.reader, model.label_manager, model.hierarchy, origins, unknown, model.file_ending
    )
    evaluate = partial(_evaluate, model, folds, processes, progress)
    chains = _count(model, folds, cases, evaluate)
    _check_presence(chains, wanted, only)
    thresholds = _best(chains, wanted)
    own = [_best(chains, wanted, k) for k in range(len(folds))]
    if len(chains) == 1:
        per_case = _dice_from_counts(chains[0], folds, thresholds)
    else:
        before = {
            file: cut(fold.checkpoint.thresholds, model.lengths) for fold in folds for _, file in fold.files
        }
        whole = evaluate(CaseSegmenter(cases, before, cut(thresholds, model.lengths)))
        per_case = [np.stack(dice, 1) for dice in whole]
    return Tuning(model.classes, wanted, chains, folds, thresholds, own, per_case, made_with)


def _origins(folds: Sequence[Fold]) -> tuple[dict[Path, Floats], frozenset[Path]]:
    """θ behind every prediction, and the predictions that are not on record."""
    made_with, unknown = {}, set()
    for fold in folds:
        for _, file in fold.files:
            on_record = fold.checkpoint.thresholds_behind(file)
            made_with[file] = fold.checkpoint.thresholds if on_record is None else on_record
            if on_record is None:
                unknown.add(file)
    return made_with, frozenset(unknown)


def _evaluate(
    model: TrainedModel, folds: Sequence[Fold], processes: int, progress: Progress, work: Evaluator
) -> list[list[Any]]:
    """What `work` makes of every case, fold by fold."""
    files = [pair for fold in folds for pair in fold.files]
    results = evaluate_cases(lambda: work, files, processes, progress, "Reading predictions")
    ends = accumulate((len(fold.files) for fold in folds), initial=0)
    by_fold = [results[start:end] for start, end in pairwise(ends)]
    foreign = [[case for case in fold if isinstance(case, ForeignPrediction)] for fold in by_fold]
    if any(foreign):
        pairs = zip(folds, foreign, strict=True)
        commands = [
            model.validation_command(fold.name, fold.checkpoint.path.name) for fold, cases in pairs if cases
        ]
        raise UserError(
            "These predictions were not made with this checkpoint and its thresholds: "
            + "\n  ".join(
                [f"{next(case for cases in foreign for case in cases)}. Make them again:", *commands]
            )
        )
    return by_fold


def _count(
    model: TrainedModel, folds: Sequence[Fold], cases: CaseReader, evaluate: Callable[[Evaluator], Any]
) -> list[ChainCounts]:
    now = [cut(fold.checkpoint.thresholds, model.lengths) for fold in folds]
    edges = [
        np.unique(np.concatenate([candidates(presets), *(thresholds[j] for thresholds in now)]))
        for j, presets in enumerate(model.presets)
    ]
    counts = evaluate(CaseCounter(cases, edges))
    return [
        ChainCounts(
            names,
            model.presets[j],
            model.hierarchy.regions,
            edges[j],
            [np.stack([of_case[j] for of_case in fold]) for fold in counts],
        )
        for j, names in enumerate(model.hierarchy.chains)
    ]


def _check_presence(chains: Sequence[ChainCounts], wanted: NDArray[np.bool_], only: str | None) -> None:
    present = np.concatenate([present_classes(chain.pooled, chain.regions) for chain in chains])
    if not (present & wanted).any():
        what = f"'{only}'" if only else "any class"
        raise UserError(f"No reference of these folds has {what}: there is no Dice to tune for.")


def _best(chains: Sequence[ChainCounts], wanted: NDArray[np.bool_], fold: int | None = None) -> Floats:
    """θ of all chains for one fold, or for all."""
    targets = cut(wanted, [len(chain.names) for chain in chains])
    return np.concatenate(
        [
            chain.best(chain.pooled if fold is None else chain.folds[fold], target)
            for chain, target in zip(chains, targets, strict=True)
        ]
    )


def _dice_from_counts(chain: ChainCounts, folds: Sequence[Fold], thresholds: Floats) -> list[Values]:
    """What `CaseSegmenter` gives, of a chain that is the only one."""
    return [
        np.stack([chain.dice_per_case(counts, theta) for theta in (fold.checkpoint.thresholds, thresholds)])
        for fold, counts in zip(folds, chain.folds, strict=True)
    ]
