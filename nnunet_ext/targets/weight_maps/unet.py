"""U-Net's weights: background between two cells counts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import ceil, comb, log, sqrt
from typing import Any, Literal

import edt
import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.blocks import label_boxes, slabs, widened
from nnunet_ext.arrays.checks import check_positive, check_radius, check_spacing, dense_instances

_NEGLIGIBLE = 1e-6  # of w0; what the term may be too small by
_Floats = NDArray[np.float32]


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
    w0, sigma = check_radius(w0, "w0"), check_positive(sigma, "sigma")
    ids, count = dense_instances(instances)
    edges = check_spacing(spacing, ids.ndim)
    weight = _base(base, ids)
    if count > 1:
        cut_off = sigma * sqrt(2 * log(1 / _NEGLIGIBLE))
        for slab in slabs(ids.shape):
            wide, inner = widened(slab, ceil(cut_off / edges[0]), len(ids))
            background, nearest, second = _two_nearest(ids[wide], cut_off, edges)
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


def _two_nearest(
    ids: NDArray[np.unsignedinteger], cut_off: float, spacing: tuple[float, ...]
) -> tuple[NDArray[np.bool_], _Floats, _Floats]:
    """Distances of the background voxels to the nearest and second-nearest instance.

    The usual way takes a distance transform per instance, hundreds for a field of nuclei, and sorts them at
    every voxel. A few transforms are enough: spread the instances over k sets, each into w of them and no two
    into the same w (ten sets serve 252 instances), and take the distance to each set. At any voxel the w sets
    of the nearest instance are at its distance d1. Every other instance is in some set that the nearest one
    is not in, so the nearest of the other sets is as far as the second-nearest instance: d2 is number w + 1
    of the k distances in ascending order. Instances farther apart than `cut_off` may be in the same w sets:
    between them d1 + d2 is more than that. The times of both ways are in
    benchmarks/results/weight_maps_cpu.md.

    Parameters
    ----------
    ids : (M, N[, P]) ndarray of unsigned int
        Dense, 0 background; C order.
    cut_off : float
        Where d1 + d2 is more, d2 may be too large, up to infinite.
    spacing : tuple of float

    Returns
    -------
    background : (M, N[, P]) ndarray of bool
    nearest, second : (n,) ndarray of float32
        In the units of `spacing`, for the n voxels of `background`; infinite where there is no such instance.
    """
    background = ids == 0
    colours = _colours(ids, cut_off, spacing)
    codes = _codes(int(colours.max(initial=0)) + 1)
    of_sets, in_sets = len(codes[0]), int(codes[0].sum())
    distances = np.empty((of_sets, np.count_nonzero(background)), np.float32)
    outside = np.ones(len(colours), np.uint8)  # [0] background is in no set
    for number in range(of_sets):
        outside[1:] = ~codes[colours[1:], number]
        squared = edt.edtsq(np.take(outside, ids), anisotropy=spacing, parallel=1)
        distances[number] = squared[background]
    if of_sets > 1:
        distances.partition(in_sets, axis=0)
        second = distances[in_sets]
        nearest = distances[:in_sets].min(axis=0)
    else:
        nearest, second = distances[0], np.full_like(distances[0], np.inf)
    return background, np.sqrt(nearest), np.sqrt(second)


def _codes(colours: int) -> NDArray[np.bool_]:
    """For each colour the sets it is in: equally many of as few sets as possible, another choice for each."""
    of_sets = next(k for k in range(1, colours + 1) if comb(k, k // 2) >= colours)
    codes = np.zeros((colours, of_sets), bool)
    for code, chosen in zip(codes, combinations(range(of_sets), max(1, of_sets // 2)), strict=False):
        code[list(chosen)] = True
    return codes


def _colours(
    ids: NDArray[np.unsignedinteger], cut_off: float, spacing: tuple[float, ...]
) -> NDArray[np.intp]:
    """A colour, from 0, for every id: different ones where bounding boxes are nearer than `cut_off`."""
    found = label_boxes(ids)
    by_id = np.zeros(int(ids.max(initial=0)) + 1, np.intp)
    if not found:
        return by_id
    starts = np.array([[side.start for side in box] for _, box in found]) * spacing
    # Distances are between centres of voxels: the last voxel, not the edge behind it.
    ends = np.array([[side.stop - 1 for side in box] for _, box in found]) * spacing
    colour = np.zeros(len(found), np.intp)
    for new in range(1, len(found)):
        gap = np.maximum(starts[:new] - ends[new], starts[new] - ends[:new]).clip(0)
        near = (gap**2).sum(1) <= cut_off**2
        taken = np.zeros(new + 1, bool)
        taken[colour[:new][near]] = True
        colour[new] = taken.argmin()
    by_id[[number for number, _ in found]] = colour
    return by_id
