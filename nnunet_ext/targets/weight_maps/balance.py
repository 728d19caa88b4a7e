"""Class balance: a voxel counts as much as its class is rare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.checks import class_labels

_MOST_CLASSES = 2**16
Counts = Mapping[int, float] | Sequence[float] | NDArray[Any]


def class_balance(
    labels: NDArray[Any], counts: Counts | None = None, *, ignore_label: int | None = None
) -> NDArray[np.float32]:
    r"""Class balance weights (BWM): one over the number of voxels of the voxel's class.

    .. math:: w_0(v) = 1 / n_{y(v)}

    Parameters
    ----------
    labels : (M, N[, P]) ndarray of int or bool
        Classes, 0 for background.
    counts : mapping or sequence of float, optional
        n: voxels per class over the training set. Only their ratios matter to a loss that divides by the mean
        weight, so any multiple will do, such as frequencies. Default: the voxels of `labels` itself.
        A class with count 0, which the training set lacks, gets weight 0.
    ignore_label : int, optional
        Label of voxels without annotation: they get weight 0, and `counts` need not have it.

    Returns
    -------
    (M, N[, P]) ndarray of float32

    Raises
    ------
    TypeError, ValueError
        If `labels` is not 2D or 3D, not of integers or has negative ones, if a count is negative or not
        finite, or if `labels` has a class that `counts` lacks.

    References
    ----------
    Guerrero-Peña, Marrero Fernandez, Ren, Yui, Rothenberg, Cunha. Multiclass weighted loss for instance
    segmentation of cluttered cells. ICIP 2018, w0 of equation 2.

    Examples
    --------
    >>> import numpy as np
    >>> class_balance(np.array([[0, 0, 0, 0, 1, 1]]))
    array([[0.25, 0.25, 0.25, 0.25, 0.5 , 0.5 ]], dtype=float32)
    >>> class_balance(np.array([[0, 1, 2, 3]]), counts=[10, 5, 2], ignore_label=3)
    array([[0.1, 0.2, 0.5, 0. ]], dtype=float32)
    """
    labels = class_labels(labels)
    if labels.size == 0:
        return np.zeros(labels.shape, np.float32)
    if labels.min() < 0 or labels.max() >= _MOST_CLASSES:
        raise ValueError(
            f"labels holds classes from 0 to {_MOST_CLASSES - 1}; got {labels.min()} to {labels.max()}"
        )
    found = np.bincount(labels.ravel())
    if ignore_label is not None and 0 <= ignore_label < len(found):
        found[ignore_label] = 0
    numbers = found if counts is None else _as_array(counts, found)
    weight = np.zeros(len(found), np.float32)
    np.divide(1, numbers, out=weight, where=numbers > 0, casting="same_kind")
    if ignore_label is not None and 0 <= ignore_label < len(found):
        weight[ignore_label] = 0
    return np.take(weight, labels)


def _as_array(counts: Counts, found: NDArray[np.intp]) -> NDArray[np.float64]:
    """Counts by class, as many as `found` has; what `labels` lacks may be missing."""
    given = counts if isinstance(counts, Mapping) else dict(enumerate(counts))
    missing = [int(c) for c in np.flatnonzero(found) if c not in given]
    if missing:
        raise ValueError(f"labels has class {missing[0]}, which counts lacks; it has {sorted(given)}")
    numbers = np.array([given.get(c, 0) for c in range(len(found))], float)
    if not np.all(np.isfinite(numbers) & (numbers >= 0)):
        raise ValueError(f"counts are finite and not negative; got {counts!r}")
    return numbers
