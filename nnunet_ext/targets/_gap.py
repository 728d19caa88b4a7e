"""Background between instances: what a closing of the foreground adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray

from nnunet_ext.targets._slabs import widened
from nnunet_ext.targets._touching import half_widths

_TOLERANCE = 1e-5  # of a squared distance: edt computes them in float32


def gap(
    instances: NDArray[Any], radius: float, spacing: Sequence[float], slab: slice = slice(None)
) -> NDArray[np.bool_]:
    """Where the foreground's black-top-hat is > 0, in the rows `slab`, as if the image had no border.

    The structuring element is the ball {|x| ≤ radius} in the units of `spacing`.
    """
    slab = slice(*slab.indices(len(instances)))
    reach = half_widths(radius, spacing)
    wide, inner = widened(slab, 2 * reach[0], len(instances))
    # Zeros around the image: a dilation reaches so far beyond it, and no erosion inside sees farther.
    margin = [(reach[0] if wide.start == 0 else 0, reach[0] if wide.stop == len(instances) else 0)]
    margin += [(width, width) for width in reach[1:]]
    background = np.pad(instances[wide] == 0, margin, constant_values=True)
    limit = radius**2 * (1 + _TOLERANCE)
    dilated = edt.edtsq(background, anisotropy=spacing, parallel=1) <= limit
    closed = edt.edtsq(dilated, anisotropy=spacing, parallel=1) > limit
    closed &= background
    rows = slice(margin[0][0] + inner.start, margin[0][0] + inner.stop)
    inside = (rows, *(slice(width, -width or None) for width in reach[1:]))
    return closed[inside]
