"""Centre-line Dice, for vessels, roots, cracks and other thin structures."""

from __future__ import annotations

import math

from nnunet_ext.metrics._checks import BoolArray, counted_pair
from nnunet_ext.morphology import skeleton


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
    (scikit-image#3757). Such a component stands for its own skeleton here; dropped, it would not count.

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
