"""The order of the axes of a label volume that was stored in another order than its image."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.case import CaseError
from nnunet_ext.dataset_conversion.checks import size_text
from nnunet_ext.dataset_conversion.overlay import CLEAR, contrast

#: every order of three axes, that of MATLAB first
ORDERS = tuple(sorted(map("".join, permutations("xyz"))))
_WINDOW = (1, 101, 101)
_SLICES = 16  # to look at


def axes_of(values: NDArray[Any], image: NDArray[Any], file: Path) -> str:
    """Return the order of the axes of a label volume: "xyz" if it is the reverse of the image's.

    Where several orders fit the image's size, the one counts in which the labels differ most from what
    is around them, see `overlay.contrast`.

    Parameters
    ----------
    values : ndarray
        Labels as read, 3D; what is above 0 is looked at.
    image : ndarray
        Shape (z, y, x).
    file : Path
        Where the labels were read.

    Raises
    ------
    CaseError
        If no order fits, or the image does not tell which.
    """
    fitting = [order for order in ORDERS if _to_zyx(values, order).shape == image.shape]
    if not fitting:
        raise CaseError(
            f"{file}: {size_text(values.shape)} voxels do not fit the image's {size_text(image.shape)} in "
            "any order of the axes"
        )
    if len(fitting) == 1:
        return fitting[0]
    some = slice(None, None, max(1, len(image) // _SLICES))
    clear = {
        order: abs(contrast(image[some], _to_zyx(values, order)[some] > 0, _WINDOW)) for order in fitting
    }
    best, second, *_ = sorted(fitting, key=lambda order: -clear[order])
    if clear[best] - clear[second] < CLEAR:
        raise CaseError(
            f"{file}: the axes could be {best} or {second}: both fit the image's size "
            f"{size_text(image.shape)}, and neither its pixels clearly better. Say which with --label-axes"
        )
    return best


def reorder(values: NDArray[Any], order: str, shape: tuple[int, ...], file: Path) -> NDArray[Any]:
    """Return a view of labels with the axes in the order z, y, x.

    Raises
    ------
    CaseError
        If it has not this shape then.
    """
    turned = _to_zyx(values, order)
    if turned.shape != shape:
        raise CaseError(
            f"{file}: {size_text(values.shape)} voxels with the axes {order} do not fit the image's "
            f"{size_text(shape)} (z, y, x)"
        )
    return turned


def _to_zyx(values: NDArray[Any], order: str) -> NDArray[Any]:
    return np.transpose(values, [order.index(axis) for axis in "zyx"])
