"""Two instance maps that fit only when one is mirrored or its axes are swapped.

A tif or png does not say how its axes lie. Where one program stores an image as it lies in the file, and
another (nnU-Net's reorienting reader, say) as it lies in the scanner, every metric is wrong without a word.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.metrics.contingency import instance_overlap
from nnunet_ext.metrics.panoptic import match_instances

_FITS, _FITS_WELL = 0.5, 0.9  # F1 from which on many, or few, instances show the same by no chance
_MANY, _FEWEST = 10, 2
_VOXELS = 2**21  # as many are enough to see that


def better_orientation(reference: NDArray[Any], prediction: NDArray[Any]) -> str:
    """Say in words how a prediction that hardly fits has to be turned to fit, or return "".

    Parameters
    ----------
    reference, prediction : (M, N[, P]) ndarray of int
        Instance ids of one shape, 0 = background.

    Returns
    -------
    str
        Such as "mirrored along z and x". "" where most instances match as they lie, where turning does not
        help, or with fewer than two instances in one of them.
    """
    step = max(1, round((reference.size / _VOXELS) ** (1 / reference.ndim)))
    thinned = (slice(None, None, step),) * reference.ndim
    sample = reference[thinned]
    before = _f1(sample, prediction[thinned])
    if before is None or before >= _FITS:
        return ""
    enough = max(2 * before, _FITS if len(np.unique(sample)) > _MANY else _FITS_WELL)
    for axes in itertools.permutations(range(reference.ndim)):
        swapped = prediction.transpose(axes)
        if swapped.shape != reference.shape:
            continue
        for mirrored in itertools.product((False, True), repeat=reference.ndim):
            turned = swapped[tuple(slice(None, None, -1 if flip else 1) for flip in mirrored)]
            after = _f1(sample, turned[thinned])
            if after is not None and after >= enough:
                return _in_words(axes, mirrored)
    return ""


def _f1(reference: NDArray[Any], prediction: NDArray[Any]) -> float | None:
    """Of matches at IoU .5; None for too few instances."""
    matching = match_instances(instance_overlap(reference, prediction))
    sizes = matching.reference_sizes.size, matching.prediction_sizes.size
    return matching.counts().metrics()["f1"] if min(sizes) >= _FEWEST else None


def _in_words(axes: tuple[int, ...], mirrored: tuple[bool, ...]) -> str:
    names = "zyx"[-len(axes) :]
    flipped = [name for name, flip in zip(names, mirrored, strict=True) if flip]
    swap = (
        f"its axes in the order {' '.join(names[axis] for axis in axes)}" if axes != (*sorted(axes),) else ""
    )
    mirror = f"mirrored along {' and '.join(flipped)}" if flipped else ""
    return " and ".join(part for part in (swap, mirror) if part)
