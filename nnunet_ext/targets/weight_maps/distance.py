"""Distance transform based weights: background counts near the foreground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.checks import check_positive, check_spacing, class_labels
from nnunet_ext.targets.weight_maps.balance import Counts, class_balance


def distance(
    labels: NDArray[Any],
    beta: float = 30.0,
    counts: Counts | None = None,
    spacing: Sequence[float] | None = None,
    *,
    ignore_label: int | None = None,
) -> NDArray[np.float32]:
    r"""Distance transform based weights (DWM): class balance, fading with the distance to the foreground.

    .. math:: w(v) = w_0(v) \left(1 - \min(\varphi(v) / \beta, 1)\right)

    with φ the distance to the nearest voxel that is not background, 0 on the foreground. All of a patch
    without foreground has weight 0.

    Parameters
    ----------
    labels : (M, N[, P]) ndarray of int or bool
        Classes, 0 for background.
    beta : float
        Distance at which the background's weight has faded to 0; in voxels, or in the units of `spacing`.
    counts : mapping or sequence of float, optional
        Voxels per class over the training set, see `class_balance`. Default: those of `labels`.
    spacing : sequence of float, optional
        Edges of a voxel in the order of the axes. Default: 1 everywhere.
    ignore_label : int, optional
        Label of voxels without annotation: weight 0, and no foreground to their neighbours.

    Returns
    -------
    (M, N[, P]) ndarray of float32

    Raises
    ------
    TypeError, ValueError
        As `class_balance`; if `beta` is not positive or `spacing` does not fit.

    References
    ----------
    Guerrero-Peña, Marrero Fernandez, Ren, Yui, Rothenberg, Cunha. Multiclass weighted loss for instance
    segmentation of cluttered cells. ICIP 2018, equation 2; β = 30 in figure 4.

    Examples
    --------
    >>> import numpy as np
    >>> distance(np.array([[1, 0, 0, 0, 0, 0]]), beta=4, counts=[1, 1])
    array([[1.  , 0.75, 0.5 , 0.25, 0.  , 0.  ]], dtype=float32)
    """
    beta = check_positive(beta, "beta")
    weight = class_balance(labels, counts, ignore_label=ignore_label)
    edges = check_spacing(spacing, weight.ndim)
    if weight.size == 0:
        return weight
    background = class_labels(labels) == 0
    if ignore_label is not None:
        background |= labels == ignore_label
    fading = edt.edt(background.view(np.uint8), anisotropy=edges, parallel=1)
    fading /= np.float32(beta)
    np.minimum(fading, 1, out=fading)
    np.subtract(1, fading, out=fading)
    weight *= fading
    return weight
