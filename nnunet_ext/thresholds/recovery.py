"""The activation of every chain, read off the probabilities that nnU-Net has written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.networks.multilevel import SCORE_SCALE, score_pairs
from nnunet_ext.nnunet_files.hierarchy import Hierarchy
from nnunet_ext.thresholds.histograms import Floats

# nnU-Net adds tiles up in half precision: activations come out a few thousandths off.
TOLERANCE = 0.02


def recover_activations(
    probabilities: NDArray[Any], hierarchy: Hierarchy, thresholds: Sequence[Sequence[float] | Floats]
) -> tuple[list[Floats], NDArray[np.bool_]]:
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
    channels = _Channels(probabilities, hierarchy.regions)
    strange = np.zeros(probabilities.shape[1:], bool)
    activations = []
    for outputs, theta in zip(score_pairs(hierarchy), thresholds, strict=True):
        with np.errstate(invalid="ignore"):  # cropped: -inf
            estimates = [channels.estimate(*pair, t) for pair, t in zip(outputs, theta, strict=True)]
            activation, off = _agree(estimates, channels.precise_enough, TOLERANCE * len(theta))
        strange |= off
        activations.append(activation)
    return activations, strange


def _agree(
    estimates: list[tuple[Floats, Floats]], precise_enough: float, tolerance: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """The most precise estimate of every voxel, and where it cannot be true."""
    activation, precision = estimates[0]
    for value, precise in estimates[1:]:
        activation = np.where(precise > precision, value, activation)
        precision = np.maximum(precision, precise)
    unknown = ~np.isfinite(activation)
    highest = np.float32(len(estimates))
    activation = np.where(unknown, np.where(activation == np.inf, highest, np.float32(0)), activation)
    off = (activation < -tolerance) | (activation > len(estimates) + tolerance)
    for value, precise in estimates:
        off |= (np.abs(value - activation) > tolerance) & (precise > precise_enough) & ~unknown
    return activation, off


def levels_of(labels: NDArray[Any], hierarchy: Hierarchy) -> list[NDArray[np.intp]]:
    """Level of every voxel in each chain, the shape of `labels`, which have no ignore label."""
    table = np.array(hierarchy.levels, np.intp)
    return [table[:, chain][labels] for chain in range(table.shape[1])]


class _Channels:
    """Estimates of activations from probabilities, each with how precise it is (larger is better)."""

    def __init__(self, probabilities: NDArray[Any], regions: bool) -> None:
        limits = np.finfo(probabilities.dtype)
        p = probabilities.astype(np.float32, copy=False)
        with np.errstate(divide="ignore"):
            self._logs = np.log(p)
            self._rest = np.log1p(-p) if regions else None
        # below: rounded off, of regions to 1
        self.precise_enough = float(np.log(limits.eps) * 0.75 if regions else np.log(limits.tiny) + 1)

    def estimate(self, output: int, base: int | None, threshold: float) -> tuple[Floats, Floats]:
        """Activation by score `output` less score `base` (None: 0), and the precision."""
        shift = np.float32(threshold)
        if base is not None:
            upper, lower = self._logs[output], self._logs[base]
            return (upper - lower) / np.float32(SCORE_SCALE) + shift, np.minimum(upper, lower)
        assert self._rest is not None
        logit = self._logs[output] - self._rest[output]
        return logit / np.float32(SCORE_SCALE) + shift, -np.abs(logit)
