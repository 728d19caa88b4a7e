"""Aggregated Jaccard index of two instance maps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.metrics.checks import BoolArray
from nnunet_ext.metrics.contingency import InstanceOverlap, instance_overlap


@dataclass(frozen=True)
class JaccardSums:
    """The two sums whose ratio is the index, in voxels; those of several images add up."""

    intersection: int
    union: int

    def __add__(self, other: JaccardSums) -> JaccardSums:
        return JaccardSums(self.intersection + other.intersection, self.union + other.union)

    @property
    def index(self) -> float:
        """Aggregated Jaccard index; NaN where neither map has an instance."""
        return self.intersection / self.union if self.union else math.nan


def jaccard_sums(overlap: InstanceOverlap) -> JaccardSums:
    """Sum intersections and unions as `aggregated_jaccard_index` defines it."""
    best = np.lexsort((overlap.prediction, -overlap.iou, overlap.reference))
    references, first = np.unique(overlap.reference[best], return_index=True)
    best = best[first]
    missed = np.delete(overlap.reference_sizes * overlap.reference_judged, references)
    unused = np.delete(overlap.prediction_sizes * overlap.prediction_judged, overlap.prediction[best])
    return JaccardSums(
        int(overlap.intersection[best].sum()),
        int(overlap.union[best].sum() + missed.sum() + unused.sum()),
    )


def aggregated_jaccard_index(
    reference: NDArray[Any], prediction: NDArray[Any], mask: BoolArray | None = None
) -> float:
    """Aggregated Jaccard index (AJI).

    Each reference instance is paired with the predicted instance of largest IoU (of equal ones the lower
    id). The index is the sum of the pairs' intersections over the sum of their unions, of the reference
    instances that nothing overlaps, and of the predicted instances in no pair. As in the paper a predicted
    instance may be in several pairs; the variant AJI+ allows one.

    Parameters
    ----------
    reference, prediction : ndarray of int
        Instance ids, 0 = background; one shape, any dimension, any integer type.
    mask : ndarray of bool, optional
        True = counted. The rest is in no intersection and no union. Of the instances in no pair those are
        left out of which more than half lies there.

    Returns
    -------
    float
        Between 0 and 1, higher is better. NaN if neither map has an instance, 0 if one has none.

    Raises
    ------
    ValueError
        If an array is not of integers, has negative ones, the shapes differ, or `mask` is not boolean.

    References
    ----------
    Kumar et al. A dataset and a technique for generalized nuclear segmentation for computational pathology.
    IEEE Transactions on Medical Imaging 36 (2017), algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> reference = np.array([[1, 1, 1, 0, 2, 2]])
    >>> prediction = np.array([[4, 4, 0, 0, 0, 6]])
    >>> aggregated_jaccard_index(reference, prediction)  # (2 + 1) / (3 + 2)
    0.6
    """
    return jaccard_sums(instance_overlap(reference, prediction, mask)).index
