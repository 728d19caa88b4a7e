"""Instances of all cases together, and by size: which sizes are found, and which are missed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from nnunet_ext.errors import UserError
from nnunet_ext.metrics.instance_case import InstanceCase, panoptic_metrics, shape_metrics


def pooled_metrics(cases: Sequence[InstanceCase]) -> dict[str, float]:
    """The metrics that follow from the counts of all cases together."""
    jaccard = reduce(add, (case.jaccard for case in cases))
    contours = [reduce(add, counts) for counts in zip(*(case.contours for case in cases), strict=True)]
    return {**_panoptic(cases), **shape_metrics(jaccard, contours)}


def metrics_by_size(cases: Sequence[InstanceCase], edges: Sequence[float]) -> list[dict[str, Any]]:
    """Pooled panoptic metrics of each bin, with its bounds ``from`` and ``below`` (None: no bound)."""
    bounds = zip((0.0, *edges), (*edges, math.inf), strict=True)
    return [
        {"from": low, "below": None if high == math.inf else high, **_panoptic(cases, low, high)}
        for low, high in bounds
    ]


def thirds(cases: Sequence[InstanceCase]) -> list[float]:
    """Sizes that cut the reference instances of all cases into thirds; fewer where many have one size."""
    sizes = np.concatenate([case.matchings[0].reference_sizes * case.voxel_size for case in cases])
    if not sizes.size:
        return []
    edges = np.unique(np.quantile(sizes, [1 / 3, 2 / 3], method="higher"))
    return [float(edge) for edge in edges if edge > sizes.min()]


def check_edges(edges: Sequence[float]) -> None:
    """Raise `UserError` unless sizes are positive and increase."""
    if not all(low < high for low, high in zip((0, *edges), (*edges, math.inf), strict=True)):
        raise UserError(
            f"--size-bins {' '.join(f'{edge:g}' for edge in edges)}: give sizes above 0 that increase, "
            "such as 100 1000."
        )


def _panoptic(cases: Sequence[InstanceCase], low: float = 0, high: float = math.inf) -> dict[str, float]:
    per_case = (case.counts(low, high) for case in cases)
    return panoptic_metrics(reduce(add, counts) for counts in zip(*per_case, strict=True))
