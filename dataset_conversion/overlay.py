"""Whether a mask lies on what it marks: how bright it is inside, against what is around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.case import CaseError

#: a difference in contrast that is not chance, in standard deviations
CLEAR = 0.2
_SLICES = 32  # of a volume are looked at


def contrast(image: NDArray[Any], mask: NDArray[Any], window: int | tuple[int, ...]) -> float:
    """Return how much brighter an image is inside a mask than outside, compared with its neighbourhood.

    Each voxel is compared with the mean of the window around it, so that shadows and gradients do not count.
    A mask that belongs to another image, or is turned, has a contrast near 0.

    Parameters
    ----------
    image : ndarray
        Shape (*spatial), any type of number.
    mask : ndarray
        Same shape; what is not 0 is inside.
    window : int or tuple of int
        Side of the neighbourhood in voxels, per axis if they differ: several times the width of what the mask
        marks. An axis of 1 is not looked along.

    Returns
    -------
    float
        In standard deviations; negative if the inside is darker; 0 if everything or nothing is inside or the
        image is flat.

    Examples
    --------
    >>> image = np.array([[9, 9, 1, 9, 9]])
    >>> contrast(image, image == 1, (1, 3)) < -1
    True
    >>> contrast(np.zeros((4, 4)), np.eye(4), 3)
    0.0
    """
    from scipy.ndimage import uniform_filter

    pixels, inside = image.astype(np.float32), mask != 0
    pixels -= uniform_filter(pixels, window)
    spread = float(pixels.std())
    if not spread or inside.all() or not inside.any():
        return 0.0
    return float(pixels[inside].mean() - pixels[~inside].mean()) / spread


def check_brighter(image: NDArray[Any], mask: NDArray[np.bool_], window: tuple[int, ...], file: Path) -> None:
    """Raise `CaseError` unless a volume is clearly brighter inside a mask; an empty mask passes.

    Parameters
    ----------
    image, mask, window
        As in `contrast`; some slices of the first axis are looked at.
    file : Path
        Where the mask was read.
    """
    some = slice(None, None, max(1, len(image) // _SLICES))
    if not mask[some].any():
        return
    found = contrast(image[some], mask[some], window)
    if not found > CLEAR:
        raise CaseError(
            f"{file}: what is labelled is not brighter than what is around it ({found:.2f} standard "
            "deviations): does this label belong to this image, and is it the same way round? Look at them; "
            "--overlay keep takes such cases"
        )
