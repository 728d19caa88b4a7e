"""F1 of the contours of instances: do they lie where they should, within a tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.checks import check_axes, check_radius, check_spacing
from nnunet_ext.metrics.checks import BoolArray, check_instance_pair, check_labels, check_mask
from nnunet_ext.metrics.contingency import mostly_ignored, within_32_bits

_ROUNDING = 1 + 1e-6  # the distances are float32: 3 steps of 0.1 are within 0.3


@overload
def contour_f1(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    tolerance: float = 2,
    spacing: Sequence[float] | None = None,
    mask: BoolArray | None = None,
) -> float: ...


@overload
def contour_f1(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    tolerance: Sequence[float],
    spacing: Sequence[float] | None = None,
    mask: BoolArray | None = None,
) -> list[float]: ...


def contour_f1(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    tolerance: float | Sequence[float] = 2,
    spacing: Sequence[float] | None = None,
    mask: BoolArray | None = None,
) -> float | list[float]:
    """F1 score of the contours of all instances, with a tolerance for where they lie.

    Precision is the part of the prediction's contour voxels within `tolerance` of a contour voxel of the
    reference, recall the reverse. Contours are `instance_contours` of all instances together, so it does
    not matter which instance a contour belongs to.

    Parameters
    ----------
    reference, prediction : (M, N[, P]) ndarray of int
        Instance ids, 0 = background.
    tolerance : float or sequence of float
        Largest Euclidean distance between centres of voxels; the paper gives 2 to 7. For several, a list
        comes back.
    spacing : sequence of float, optional
        Voxel spacing per axis. `tolerance` is in its unit; without it, in voxels.
    mask : (M, N[, P]) ndarray of bool, optional
        True = counted. The rest is neither instance nor background: as at the border of the image, there is
        no contour towards it. Contours of instances that mostly lie there are neither right nor wrong: they
        are left out of both parts, but those of the other map may lie near them.

    Returns
    -------
    float or list of float
        Between 0 and 1, higher is better. NaN if neither map has contours, 0 if one has none.

    Raises
    ------
    ValueError
        If an array is not of integers or not 2D or 3D, has negative ids, the shapes differ, `mask` is not
        boolean, or tolerance or spacing is out of range.

    References
    ----------
    Guerrero-Peña et al. Multiclass weighted loss for instance segmentation of cluttered cells. ICIP 2018,
    section 3 and table 1.

    Examples
    --------
    >>> import numpy as np
    >>> reference, prediction = np.zeros((2, 9, 9), int)
    >>> reference[2:6, 2:6] = 1
    >>> prediction[2:6, 3:7] = 1
    >>> contour_f1(reference, prediction, tolerance=[0, 1])
    [0.5, 1.0]
    """
    check_instance_pair(reference, prediction, mask)
    check_axes(reference, "reference")
    tolerances = np.ravel(tolerance).tolist()
    for value in tolerances:
        check_radius(value, "tolerance")
    if spacing is not None:
        check_spacing(spacing, reference.ndim)
    scores = [counts.f1 for counts in contour_counts(reference, prediction, tolerances, spacing, mask)]
    return scores if np.ndim(tolerance) else scores[0]


def instance_contours(instances: NDArray[Any], mask: BoolArray | None = None) -> BoolArray:
    """Voxels of an instance that share a face with a voxel of another instance or of the background.

    The border of the image is no contour, and neither is that of what `mask` does not count (True = counted).
    Without `mask` equal to scikit-image's ``find_boundaries(mode="inner")``.

    Examples
    --------
    >>> import numpy as np
    >>> instance_contours(np.array([[0, 1, 1, 1, 2, 2, 2, 2]])).astype(int)
    array([[0, 1, 0, 1, 1, 0, 0, 0]])
    """
    check_labels(instances, "instances")
    if mask is not None:
        check_mask(mask, instances.shape)
    # scikit-image filters the labels twice, which takes about ten times as long as comparing neighbours.
    contours = np.zeros(instances.shape, bool)
    for axis in range(instances.ndim):
        labels, found = np.moveaxis(instances, axis, 0), np.moveaxis(contours, axis, 0)
        change = labels[1:] != labels[:-1]
        if mask is not None:
            counted = np.moveaxis(mask, axis, 0)
            change &= counted[1:] & counted[:-1]
        found[1:] |= change
        found[:-1] |= change
    return contours & (instances != 0)


@dataclass(frozen=True)
class ContourCounts:
    """Contour voxels within one tolerance of the other map's contour; those of several images add up.

    Attributes
    ----------
    tolerance : float
        In the unit the distances were measured in.
    prediction_near, prediction_all, reference_near, reference_all : int
        Contour voxels of each map: those near the other's, and all.
    """

    tolerance: float
    prediction_near: int
    prediction_all: int
    reference_near: int
    reference_all: int

    def __add__(self, other: ContourCounts) -> ContourCounts:
        if self.tolerance != other.tolerance:
            raise ValueError(f"counts at tolerance {self.tolerance} and {other.tolerance} do not add up")
        return ContourCounts(
            self.tolerance,
            self.prediction_near + other.prediction_near,
            self.prediction_all + other.prediction_all,
            self.reference_near + other.reference_near,
            self.reference_all + other.reference_all,
        )

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN without contours in either map, 0 if one has none."""
        if not self.prediction_all and not self.reference_all:
            return math.nan
        if not self.prediction_near or not self.reference_near:
            return 0.0
        precision = self.prediction_near / self.prediction_all
        recall = self.reference_near / self.reference_all
        return 2 * precision * recall / (precision + recall)


def contour_counts(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    tolerances: Sequence[float],
    spacing: Sequence[float] | None = None,
    mask: BoolArray | None = None,
) -> list[ContourCounts]:
    """Count contour voxels within each of the tolerances; parameters as in `contour_f1`."""
    maps = [within_32_bits(instances) for instances in (prediction, reference)]
    contours = [instance_contours(instances, mask) for instances in maps]
    judged = [_judged(instances, found, mask) for instances, found in zip(maps, contours, strict=True)]
    to_reference = _distances(judged[0], contours[1], spacing)
    to_prediction = _distances(judged[1], contours[0], spacing)
    return [
        ContourCounts(
            tolerance,
            int(np.count_nonzero(to_reference <= tolerance * _ROUNDING)),
            to_reference.size,
            int(np.count_nonzero(to_prediction <= tolerance * _ROUNDING)),
            to_prediction.size,
        )
        for tolerance in tolerances
    ]


def _judged(instances: NDArray[Any], contours: BoolArray, mask: BoolArray | None) -> BoolArray:
    """The contours without those of instances that mostly lie outside of the mask."""
    if mask is None or not (left_out := mostly_ignored(instances, mask)).size:
        return contours
    judged = contours.copy()
    judged[contours] = ~np.isin(instances[contours], left_out)
    return judged


def _distances(here: BoolArray, there: BoolArray, spacing: Sequence[float] | None) -> NDArray[np.float32]:
    """Distance of every contour voxel of one map to the nearest contour voxel of the other."""
    if not here.any() or not there.any():
        return np.full(np.count_nonzero(here), np.inf, np.float32)
    import edt

    distance: NDArray[np.float32] = edt.edt(~there, anisotropy=spacing, black_border=False, parallel=1)
    return distance[here]
