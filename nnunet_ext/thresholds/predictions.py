"""One case of a fold's validation: from files to histograms, or to the Dice of other thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UnusableCase
from nnunet_ext.evaluation.folders import Files
from nnunet_ext.nnunet_files.hierarchy import Hierarchy
from nnunet_ext.nnunet_files.reading import read_labels, read_probabilities
from nnunet_ext.thresholds.histograms import Counts, Floats, level_histogram
from nnunet_ext.thresholds.recovery import levels_of, recover_activations

PIECE = 1 << 20  # voxels at a time
# nnU-Net's half-precision tiles are far off in the corners of a volume: 3.5 % of a single cubic tile.
STRANGE = 0.1


class ForeignPrediction(Exception):  # noqa: N818 - collected and reported together
    """A prediction of another network, or another prediction than the segmentation beside it."""


Problem = UnusableCase | ForeignPrediction


@dataclass(frozen=True)
class CaseReader:
    """Reads activations and labels of cases.

    Attributes
    ----------
    reader, label_manager
        nnU-Net's.
    hierarchy : Hierarchy
        The classes.
    thresholds : dict
        ``.npz`` -> θ of each chain with which it was made.
    unknown : frozenset of Path
        The ``.npz`` that may be of another network than the checkpoint.
    file_ending : str
        Of the segmentations beside.
    """

    reader: Any
    label_manager: Any
    hierarchy: Hierarchy
    thresholds: dict[Path, list[Floats]]
    unknown: frozenset[Path]
    file_ending: str

    def labels(self, file: Path) -> NDArray[Any]:
        """Labels of a file, without axes of one slice."""
        ignore = self.label_manager.ignore_label
        largest = max(*map(int, self.label_manager.all_labels), ignore or 0)
        return read_labels(self.reader, file, range(largest + 1))[0]

    def probabilities(self, file: Path, shape: tuple[int, ...]) -> NDArray[Any]:
        """What nnU-Net wrote, (C, *shape), checked against the segmentation that it wrote with it."""
        p = read_probabilities(file, self.label_manager.num_segmentation_heads, shape, None)
        segmentation = file.with_name(f"{file.stem}{self.file_ending}")
        if file in self.unknown and segmentation.is_file():
            decided = self.label_manager.convert_probabilities_to_segmentation(p)
            if not np.array_equal(decided, self.labels(segmentation)):
                raise ForeignPrediction(f"{file} and {segmentation.name} are not of the same prediction")
        return p

    def pieces(self, files: Files) -> Iterator[tuple[list[Floats], NDArray[Any]]]:
        """Activations of each chain, and labels, of the counted voxels; flat, piece by piece."""
        reference, prediction = files
        labels = self.labels(reference)
        p = self.probabilities(prediction, labels.shape)
        labels, p = labels.ravel(), p.reshape(len(p), -1)
        strange, ignore = 0, self.label_manager.ignore_label
        for start in range(0, labels.size, PIECE):
            piece = slice(start, start + PIECE)
            activations, off = recover_activations(p[:, piece], self.hierarchy, self.thresholds[prediction])
            strange += int(off.sum())
            counted = slice(None) if ignore is None else labels[piece] != ignore
            yield [a[counted] for a in activations], labels[piece][counted]
        if strange > STRANGE * labels.size:
            raise ForeignPrediction(f"{strange} of {labels.size} voxels of {prediction} do not fit")


@dataclass(frozen=True)
class CaseCounter:
    """Counts a case; see `level_histogram`.

    Attributes
    ----------
    cases : CaseReader
        Where it comes from.
    edges : list of ndarray
        Increasing thresholds of each chain.
    """

    cases: CaseReader
    edges: list[Floats]

    def __call__(self, files: Files) -> list[Counts] | Problem:
        """The histogram of each chain."""
        hierarchy = self.cases.hierarchy
        lengths = [len(chain) for chain in hierarchy.chains]
        counts = [
            np.zeros((m + 1, len(edges) + 1), np.int64) for m, edges in zip(lengths, self.edges, strict=True)
        ]
        try:
            for activations, labels in self.cases.pieces(files):
                for j, levels in enumerate(levels_of(labels, hierarchy)):
                    counts[j] += level_histogram(activations[j], levels, lengths[j], self.edges[j])
        except (UnusableCase, ForeignPrediction) as problem:
            return problem
        return counts


@dataclass(frozen=True)
class CaseSegmenter:
    """Segments a case with other thresholds, as nnU-Net will.

    Attributes
    ----------
    cases : CaseReader
        Where it comes from.
    before : dict
        ``.npz`` -> θ of each chain before tuning.
    after : list of ndarray
        θ of each chain after it.
    """

    cases: CaseReader
    before: dict[Path, list[Floats]]
    after: list[Floats]

    def __call__(self, files: Files) -> NDArray[np.float64] | Problem:
        """(2, classes) Dice before and after, in the order of the chains; NaN for a class that is nowhere."""
        hierarchy = self.cases.hierarchy
        names = [name for chain in hierarchy.chains for name in chain]
        own = {name: (hierarchy.own_label[name],) for name in names} if not hierarchy.regions else {}
        voxels = np.zeros((2, len(names), 2))
        try:
            for activations, labels in self.cases.pieces(files):
                for when, thresholds in enumerate((self.before[files[1]], self.after)):
                    found = self.segment(activations, thresholds)
                    for k, name in enumerate(names):
                        members = own.get(name, hierarchy.labels[name])
                        one, other = np.isin(found, members), np.isin(labels, members)
                        voxels[when, k] += 2 * (one & other).sum(), one.sum() + other.sum()
        except (UnusableCase, ForeignPrediction) as problem:
            return problem
        with np.errstate(invalid="ignore"):
            return voxels[..., 0] / voxels[..., 1]

    def segment(self, activations: list[Floats], thresholds: list[Floats]) -> NDArray[Any]:
        """Labels (*shape) that nnU-Net makes of a network's scores with these thresholds."""
        import torch

        from nnunet_ext.networks.multilevel import MultiLevelHead

        # κ and h shape the activation, not what follows
        head = MultiLevelHead(self.cases.hierarchy, [t.tolist() for t in thresholds], 1.0, 1.0)
        scores = head.scores([torch.from_numpy(a)[None] for a in activations])[0]
        labels: NDArray[Any] = self.cases.label_manager.convert_logits_to_segmentation(scores.numpy())
        return labels
