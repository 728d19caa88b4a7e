"""One validation case: activations read off nnU-Net's probabilities, counted, or segmented anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nnunet_ext.errors import UnusableCase
from nnunet_ext.networks.multilevel import SCORE_SCALE, MultiLevelHead, score_pairs
from nnunet_ext.nnunet_files.hierarchy import Hierarchy
from nnunet_ext.nnunet_files.reading import read_labels, read_probabilities
from nnunet_ext.thresholds.checkpoint import Case
from nnunet_ext.thresholds.dice import Chain, Counts, Flags, Floats, Values, level_histogram
from nnunet_ext.thresholds.model import TrainedModel

PIECE = 1 << 20  # voxels at a time
# nnU-Net adds tiles up in half precision: activations come out a few thousandths off …
TOLERANCE = 0.02
# … and far off in the corners of a volume: 3.5 % of the voxels of a single cubic tile.
STRANGE = 0.1


def count_levels(model: TrainedModel, chains: Sequence[Chain], case: Case) -> list[Counts]:
    """The `level_histogram` of a case in each chain, between the edges of that."""
    levels = np.array(model.hierarchy.levels, np.intp)
    counts = [np.zeros((len(chain.names) + 1, len(chain.edges) + 1), np.int64) for chain in chains]
    for activations, labels in _pieces(model, case):
        for j, (chain, activation) in enumerate(zip(chains, activations, strict=True)):
            counts[j] += level_histogram(activation, levels[:, j][labels], len(chain.names), chain.edges)
    return counts


def segmented_dice(model: TrainedModel, thresholds: Floats, case: Case) -> Values:
    """Dice of a case segmented as nnU-Net does, with the checkpoint's thresholds and with others.

    Where chains exclude each other a voxel's class depends on all of them, which no histogram tells.
    float64 (2, classes), NaN for a class that is nowhere.
    """
    hierarchy = model.hierarchy
    members = [hierarchy.labels[c] if hierarchy.regions else (hierarchy.own_label[c],) for c in model.classes]
    overlap, size = np.zeros((2, 2, len(members)))
    for activations, labels in _pieces(model, case):
        for when, theta in enumerate((case.thresholds, thresholds)):
            found = _segment(model, activations, theta)
            for k, own in enumerate(members):
                one, other = np.isin(found, own), np.isin(labels, own)
                overlap[when, k] += (one & other).sum()
                size[when, k] += one.sum() + other.sum()
    with np.errstate(invalid="ignore"):
        return 2 * overlap / size


def recover_activations(
    probabilities: NDArray[Any], hierarchy: Hierarchy, thresholds: Sequence[Sequence[float] | Floats]
) -> tuple[list[Floats], Flags]:
    r"""Undo the softmax (of regions: the sigmoids) of the scores that a multi-level network gives.

    With S the `SCORE_SCALE`: where two labels differ by the level l of one chain,
    :math:`\log p_l - \log p_{l-1} = S (a - \theta_l)`; of a region,
    :math:`\operatorname{logit} p_l = S (a - \theta_l)`. Each level says what a is. Of every voxel the one
    counts that is most precise: of labels the pair with the largest probabilities, of regions the
    probability nearest to one half. So no depth of chain drowns it.

    Parameters
    ----------
    probabilities : ndarray
        Floating (C, *shape), as in nnU-Net's ``.npz``: one channel per label, or per region.
    hierarchy : Hierarchy
        The classes.
    thresholds : sequence of sequence or ndarray of float
        θ of each chain that the network had when it predicted.

    Returns
    -------
    activations : list of ndarray
        float32 (*shape), one per chain. 0 where nnU-Net cropped the image away, or where another chain is so
        much more probable that nothing is left of this one. Of regions more than 2 beyond all thresholds, the
        number of levels.
    strange : ndarray
        bool (*shape), True where no network with these thresholds gives such probabilities: an activation is
        not from 0 to the number of levels, or two levels do not agree on it.
    """
    p, limits = probabilities.astype(np.float32, copy=False), np.finfo(probabilities.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):  # cropped: -inf
        logs = np.log(p)
        logits = logs - np.log1p(-p) if hierarchy.regions else logs
    # below: rounded off, of regions to 1
    precise_enough = np.log(limits.eps) * 0.75 if hierarchy.regions else np.log(limits.tiny) + 1
    strange = np.zeros(p.shape[1:], bool)
    activations = []
    for pairs, theta in zip(score_pairs(hierarchy), thresholds, strict=True):
        m, tolerance = len(theta), TOLERANCE * len(theta)
        estimates, precisions = [], []
        with np.errstate(invalid="ignore"):
            for (output, base), t in zip(pairs, theta, strict=True):
                score = logits[output] if base is None else logs[output] - logs[base]
                estimates.append(score / np.float32(SCORE_SCALE) + np.float32(t))
                precisions.append(-np.abs(score) if base is None else np.minimum(logs[output], logs[base]))
            a, highest = estimates[0], precisions[0]
            for estimate, precision in zip(estimates[1:], precisions[1:], strict=True):
                a = np.where(precision > highest, estimate, a)
                highest = np.maximum(precision, highest)
            a = np.where(np.isfinite(a), a, np.where(a > 0, np.float32(m), np.float32(0)))
            strange |= (a < -tolerance) | (a > m + tolerance)
            for estimate, precision in zip(estimates, precisions, strict=True):
                strange |= (np.abs(estimate - a) > tolerance) & (precision > precise_enough)
        activations.append(a)
    return activations, strange


def _pieces(model: TrainedModel, case: Case) -> Iterator[tuple[list[Floats], NDArray[Any]]]:
    """Activations of each chain, and labels, of the counted voxels; flat, piece by piece.

    A stale prediction is an `UnusableCase`: one that the checkpoint's record does not know and whose
    segmentation beside it is another than its probabilities give (trained or validated again without
    ``--npz``), or one with more than `STRANGE` voxels that no network with these thresholds gives. Not
    detected: a prediction, complete with its segmentation, of another network with nearly the same
    thresholds, as of an earlier training or of another checkpoint with the presets.
    """
    labels = _labels(model, case.reference)
    heads = model.label_manager.num_segmentation_heads
    p = read_probabilities(case.prediction, heads, labels.shape, None, model.hierarchy.regions)
    segmentation = case.prediction.with_name(f"{case.prediction.stem}{model.file_ending}")
    if case.recorded is None and segmentation.is_file():
        decided = model.label_manager.convert_probabilities_to_segmentation(p)
        if not np.array_equal(decided, _labels(model, segmentation)):
            raise UnusableCase(f"{case.prediction} and {segmentation.name} are not of the same prediction")
    made_with, ignore = [case.made_with[place] for place in model.places], model.label_manager.ignore_label
    labels, p, strange = labels.ravel(), p.reshape(len(p), -1), 0
    for start in range(0, labels.size, PIECE):
        piece = slice(start, start + PIECE)
        activations, off = recover_activations(p[:, piece], model.hierarchy, made_with)
        strange += int(off.sum())
        counted = slice(None) if ignore is None else labels[piece] != ignore
        yield [a[counted] for a in activations], labels[piece][counted]
    if strange > STRANGE * labels.size:
        raise UnusableCase(
            f"{case.prediction} was not made with the checkpoint's thresholds: {strange} of {labels.size} "
            "voxels do not fit"
        )


def _labels(model: TrainedModel, file: Path) -> NDArray[Any]:
    """Labels of a file, without axes of one slice."""
    largest = max(*map(int, model.label_manager.all_labels), model.label_manager.ignore_label or 0)
    return read_labels(model.reader, file, range(largest + 1))[0]


def _segment(model: TrainedModel, activations: list[Floats], thresholds: Floats) -> NDArray[Any]:
    """Labels (*shape) that nnU-Net makes of a network's scores with these thresholds."""
    theta = [thresholds[place].tolist() for place in model.places]
    head = MultiLevelHead(model.hierarchy, theta, steepness=1.0, spacing=1.0)  # these shape a, not the scores
    scores = head.scores([torch.from_numpy(a)[None] for a in activations])[0]
    labels: NDArray[Any] = model.label_manager.convert_logits_to_segmentation(scores.numpy())
    return labels
