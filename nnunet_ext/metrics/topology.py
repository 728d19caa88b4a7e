"""Topology of binary segmentations: components, holes and tunnels, cavities."""

from __future__ import annotations

import numpy as np
from skimage.measure import euler_number

from nnunet_ext.arrays.components import check_connectivity, label_components
from nnunet_ext.metrics.checks import BoolArray, check_boolean, counted_pair


def betti_numbers(foreground: BoolArray, connectivity: int | None = None) -> tuple[int, ...]:
    """Betti numbers of a binary image: components, holes or tunnels, and (3D) enclosed cavities.

    From the Euler number χ = β0 − β1 (2D) or χ = β0 − β1 + β2 (3D), with β0 the components of the
    foreground and β2 the components of the background, in the dual connectivity, that it encloses.

    Parameters
    ----------
    foreground : (M, N[, P]) ndarray of bool
        The binary image. Outside of it there is background.
    connectivity : int, optional
        Largest number of orthogonal steps between neighbours, as in scikit-image: 1 is the 4- or
        6-neighbourhood, 2 in 2D the 8- and 3 in 3D the 26-neighbourhood. Default: full (2 or 3). The
        background has the dual one. For the 18-neighbourhood (2 in 3D) the Euler number is not defined.

    Returns
    -------
    tuple of int
        ``(β0, β1)`` in 2D, ``(β0, β1, β2)`` in 3D.

    Raises
    ------
    ValueError
        If the array is not boolean, not 2D or 3D, or the connectivity is not one of the above.

    References
    ----------
    Ohser, Nagel, Schladitz. The Euler Number of Discretized Sets. Morphology of Condensed Matter (2002).

    Examples
    --------
    >>> import numpy as np
    >>> ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool)
    >>> betti_numbers(ring)
    (1, 1)
    >>> diagonal = np.eye(3, dtype=bool)
    >>> betti_numbers(diagonal), betti_numbers(diagonal, connectivity=1)
    ((1, 0), (3, 0))
    """
    check_boolean(foreground, "foreground")
    connectivity = check_connectivity(connectivity, foreground.ndim)
    if foreground.ndim == 3 and connectivity == 2:
        raise ValueError(
            "connectivity: expected 1 or 3 for Betti numbers in 3D, got 2 "
            "(the Euler number is not defined for the 18-neighbourhood)"
        )
    if not foreground.any():
        return (0,) * foreground.ndim
    components = label_components(foreground, connectivity)[1]
    euler = int(euler_number(foreground, connectivity))
    if foreground.ndim == 2:
        return components, components - euler
    background = np.pad(~foreground, 1, constant_values=True)  # one outer component, not several
    cavities = label_components(background, 4 - connectivity)[1] - 1
    return components, components + cavities - euler, cavities


def betti_0_error(
    prediction: BoolArray,
    reference: BoolArray,
    mask: BoolArray | None = None,
    connectivity: int | None = None,
) -> int:
    """β0 error: the difference in the number of connected components, ``|β0(P) − β0(R)|``.

    Parameters
    ----------
    prediction, reference : (M, N[, P]) ndarray of bool
        Foreground of the predicted and of the reference segmentation.
    mask : (M, N[, P]) ndarray of bool, optional
        True = counted. The rest is background in both maps before components are counted.
    connectivity : int, optional
        From 1 to the number of dimensions; see `betti_numbers`. Default: full.

    Returns
    -------
    int
        0 or more, lower is better. An empty map has no components, so nothing here is undefined.

    Raises
    ------
    ValueError
        If an array is not boolean, not 2D or 3D, the shapes differ, or the connectivity is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> reference = np.array([[1, 1, 1, 1, 1]], dtype=bool)
    >>> broken = np.array([[1, 0, 1, 0, 1]], dtype=bool)
    >>> betti_0_error(broken, reference)
    2
    """
    prediction, reference = counted_pair(prediction, reference, mask)
    connectivity = check_connectivity(connectivity, prediction.ndim)
    return abs(label_components(prediction, connectivity)[1] - label_components(reference, connectivity)[1])


def betti_1_error(
    prediction: BoolArray,
    reference: BoolArray,
    mask: BoolArray | None = None,
    connectivity: int | None = None,
) -> int:
    """β1 error: the difference in the number of holes (2D) or tunnels (3D), ``|β1(P) − β1(R)|``.

    Parameters
    ----------
    prediction, reference : (M, N[, P]) ndarray of bool
        Foreground of the predicted and of the reference segmentation.
    mask : (M, N[, P]) ndarray of bool, optional
        True = counted. The rest is background in both maps.
    connectivity : int, optional
        1 or full (2 in 2D, 3 in 3D); see `betti_numbers`. Default: full.

    Returns
    -------
    int
        0 or more, lower is better.

    Raises
    ------
    ValueError
        As `betti_numbers`, and if the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool)
    >>> broken = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 1]], dtype=bool)
    >>> betti_1_error(broken, ring)
    1
    """
    prediction, reference = counted_pair(prediction, reference, mask)
    return abs(betti_numbers(prediction, connectivity)[1] - betti_numbers(reference, connectivity)[1])
