"""U-Net's weights: background between two cells counts."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log, sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.checks import check_radius, check_spacing
from nnunet_ext.arrays.slabs import slabs, widened
from nnunet_ext.targets.weight_maps.arguments import dense_ids, positive
from nnunet_ext.targets.weight_maps.two_nearest import two_nearest

NEGLIGIBLE = 1e-6  # of w0; what the term may be too small by


def unet(
    instances: NDArray[Any],
    w0: float = 10.0,
    sigma: float = 5.0,
    base: float | NDArray[Any] | Literal["foreground"] = 1.0,
    spacing: Sequence[float] | None = None,
    *,
    normalise: bool = False,
) -> NDArray[np.float32]:
    r"""U-Net's weights (UNet): a base, and more on background between two near cells.

    .. math:: w(v) = w_c(v) + w_0 \exp\left(-\frac{(d_1(v) + d_2(v))^2}{2 \sigma^2}\right)
              \text{ on background,} \quad w(v) = w_c(v) \text{ on cells}

    with d1 and d2 the distances to the nearest and to the second-nearest cell. Where there is one cell, or
    none, the second term is 0.

    Parameters
    ----------
    instances : (M, N[, P]) ndarray of int
        0 for background, every cell its id.
    w0 : float
        Weight of background that both cells touch, roughly. 10 in U-Net, 3 in the nuclei cascade.
    sigma : float
        How fast it falls with the distances; in voxels, or in the units of `spacing`. 5 in U-Net, 10 in the
        nuclei cascade.
    base : float, ndarray or "foreground"
        w_c: one number everywhere; an array shaped like `instances`, such as `class_balance` of the labels
        in a scale that suits `w0`; or "foreground", 1 on cells and 0 elsewhere, as in the nuclei cascade.
    spacing : sequence of float, optional
        Edges of a voxel in the order of the axes. Default: 1 everywhere.
    normalise : bool
        Divide the map by its largest value, as the nuclei cascade does.

    Returns
    -------
    (M, N[, P]) ndarray of float32
        Exact up to a millionth of `w0`.

    Raises
    ------
    TypeError, ValueError
        If `instances` is not 2D or 3D, not of integers or has negative ones, if `w0` is negative or `sigma`
        not positive, or if `base` or `spacing` does not fit.

    References
    ----------
    Ronneberger, Fischer, Brox. U-Net: convolutional networks for biomedical image segmentation. MICCAI 2015,
    equation 2. Saednia, Tran, Sadeghi-Naini. A cascaded deep learning framework for segmentation of nuclei in
    digital histology images. EMBC 2022, equation 1.

    Examples
    --------
    >>> import numpy as np
    >>> unet(np.array([[1, 0, 2, 0, 0, 0]]), w0=10, sigma=2).round(2)
    array([[1.  , 7.07, 1.  , 2.35, 1.11, 1.  ]], dtype=float32)
    """
    w0, sigma = check_radius(w0, "w0"), positive(sigma, "sigma")
    ids, count = dense_ids(instances)
    edges = check_spacing(spacing, ids.ndim)
    weight = _base(base, ids)
    if count > 1:
        cut_off = sigma * sqrt(2 * log(1 / NEGLIGIBLE))
        for slab in slabs(ids.shape):
            wide, inner = widened(slab, ceil(cut_off / edges[0]), len(ids))
            background, nearest, second = two_nearest(ids[wide], cut_off, edges)
            term = np.zeros(background.shape, np.float32)
            term[background] = w0 * np.exp((nearest + second) ** 2 / np.float32(-2 * sigma**2))
            weight[slab] += term[inner]
    if normalise and weight.size and weight.max() > 0:
        weight /= weight.max()
    return weight


def _base(base: float | NDArray[Any] | str, ids: NDArray[np.unsignedinteger]) -> NDArray[np.float32]:
    """w_c as a new array."""
    if isinstance(base, str):
        if base != "foreground":
            raise ValueError(f'base is a number, an array or "foreground"; got {base!r}')
        return (ids != 0).astype(np.float32)
    if np.ndim(base) and np.shape(base) != ids.shape:
        raise ValueError(f"base has the shape of instances, {ids.shape}; got {np.shape(base)}")
    weight = np.empty(ids.shape, np.float32)
    weight[...] = base
    return weight
