"""Overlap of two binary segmentations: of all their voxels (Dice, IoU), or of their centre lines (clDice)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from nnunet_ext.arrays.components import skeleton
from nnunet_ext.metrics.checks import BoolArray, counted_pair


class Confusion(NamedTuple):
    """Numbers of true/false positive/negative pixels or voxels, with the ratios that follow from them."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def dice(self) -> float:
        """``2 TP / (2 TP + FP + FN)``; NaN where neither map has foreground."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float:
        """``TP / (TP + FP + FN)``; NaN where neither map has foreground."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)


def confusion(prediction: BoolArray, reference: BoolArray, mask: BoolArray | None = None) -> Confusion:
    """Count true and false positives and negatives.

    Parameters
    ----------
    prediction, reference : (M, N[, P]) ndarray of bool
        Foreground of the predicted and of the reference segmentation.
    mask : (M, N[, P]) ndarray of bool, optional
        True = counted. Everything else appears in none of the four counts.

    Returns
    -------
    Confusion
        ``(tp, fp, fn, tn)`` in pixels or voxels, with the properties ``dice`` and ``iou``.

    Raises
    ------
    ValueError
        If an array is not boolean, not 2D or 3D, or the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> reference = np.array([[1, 1, 0, 0]], dtype=bool)
    >>> prediction = np.array([[0, 1, 1, 0]], dtype=bool)
    >>> confusion(prediction, reference)
    Confusion(tp=1, fp=1, fn=1, tn=1)
    >>> confusion(prediction, reference).iou
    0.3333333333333333
    """
    prediction, reference = counted_pair(prediction, reference, mask)
    total = prediction.size if mask is None else int(np.count_nonzero(mask))
    tp = int(np.count_nonzero(prediction & reference))
    fp = int(np.count_nonzero(prediction)) - tp
    fn = int(np.count_nonzero(reference)) - tp
    return Confusion(tp, fp, fn, total - tp - fp - fn)


def dice(prediction: BoolArray, reference: BoolArray, mask: BoolArray | None = None) -> float:
    """Dice coefficient, ``2 |P ∩ R| / (|P| + |R|)``.

    Parameters
    ----------
    prediction, reference : (M, N[, P]) ndarray of bool
        Foreground of the predicted and of the reference segmentation.
    mask : (M, N[, P]) ndarray of bool, optional
        True = counted.

    Returns
    -------
    float
        Between 0 and 1, higher is better. NaN if both maps are empty (as in nnU-Net), 0 if one is.

    Raises
    ------
    ValueError
        If an array is not boolean, not 2D or 3D, or the shapes differ.

    References
    ----------
    Dice, L. R. Measures of the amount of ecologic association between species. Ecology 26 (1945).

    Examples
    --------
    >>> import numpy as np
    >>> reference = np.array([[1, 1, 0, 0]], dtype=bool)
    >>> prediction = np.array([[0, 1, 1, 0]], dtype=bool)
    >>> dice(prediction, reference)
    0.5
    >>> dice(prediction, reference, mask=np.array([[1, 1, 0, 0]], dtype=bool))
    0.6666666666666666
    >>> dice(np.zeros((2, 2), bool), np.zeros((2, 2), bool))
    nan
    """
    return confusion(prediction, reference, mask).dice


def cl_dice(prediction: BoolArray, reference: BoolArray, mask: BoolArray | None = None) -> float:
    """Centre-line Dice: the harmonic mean of topology precision and topology sensitivity.

    Precision is the part of the prediction's skeleton that lies in the reference, sensitivity the part
    of the reference's skeleton that lies in the prediction. The skeletons are scikit-image's (Zhang &
    Suen in 2D, Lee et al. in 3D).

    Parameters
    ----------
    prediction, reference : (M, N[, P]) ndarray of bool
        Foreground of the predicted and of the reference segmentation.
    mask : (M, N[, P]) ndarray of bool, optional
        True = counted. The rest is background in both maps before they are thinned.

    Returns
    -------
    float
        Between 0 and 1, higher is better. NaN if both maps are empty, 0 if one is.

    Raises
    ------
    ValueError
        If an array is not boolean, not 2D or 3D, or the shapes differ.

    Notes
    -----
    In 3D scikit-image's thinning deletes some objects altogether, such as straight tubes of even width
    (scikit-image#3757). Here such an object counts as its own skeleton; it would not count at all otherwise.

    References
    ----------
    Shit et al. clDice – a novel topology-preserving loss function for tubular structure segmentation.
    CVPR 2021, equations 1 and 2.

    Examples
    --------
    >>> import numpy as np
    >>> reference = np.array([[1, 1, 1, 1]], dtype=bool)
    >>> half = np.array([[1, 1, 0, 0]], dtype=bool)
    >>> round(cl_dice(half, reference), 3)
    0.667
    """
    prediction, reference = counted_pair(prediction, reference, mask)
    if not prediction.any() and not reference.any():
        return math.nan
    if not prediction.any() or not reference.any():
        return 0.0
    precision = float(reference[skeleton(prediction)].mean())
    sensitivity = float(prediction[skeleton(reference)].mean())
    if precision + sensitivity == 0:
        return 0.0
    return 2 * precision * sensitivity / (precision + sensitivity)


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else math.nan
