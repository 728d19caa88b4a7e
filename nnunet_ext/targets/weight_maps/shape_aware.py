"""Shape-aware weights: outlines count, most where a cell or its concavity is narrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from nnunet_ext.arrays.blocks import grown, label_boxes
from nnunet_ext.arrays.checks import check_positive, check_radius, check_spacing, dense_instances
from nnunet_ext.arrays.components import skeleton
from nnunet_ext.targets.weight_maps.balance import Counts, class_balance
from nnunet_ext.targets.weight_maps.convex_hull import convex_hull

_Mask = NDArray[np.bool_]


def shape_aware(
    instances: NDArray[Any],
    sigma: float = 2.0,
    tau: float | None = None,
    labels: NDArray[Any] | None = None,
    counts: Counts | None = None,
    spacing: Sequence[float] | None = None,
    *,
    ignore_label: int | None = None,
) -> NDArray[np.float32]:
    r"""Shape-aware weights (SAW): class balance, and more around narrow or concave outlines.

    .. math:: w(v) = w_0(v) + (G_\sigma * w_c)(v), \quad
              w_c(v) = 1 - \varphi_K(v) / \tau \text{ for } v \in \Gamma, \text{ else } 0

    Γ is the union of the contours, and K that of the skeletons, of every cell t and of its concave complement
    hull(t) without t. φ_K is the distance to K, G_σ a Gaussian that sees copies of the border beyond it.

    Parameters
    ----------
    instances : (M, N[, P]) ndarray of int
        0 for background, every cell its id.
    sigma : float
        Standard deviation of the Gaussian; in voxels, or in the units of `spacing`. 0 leaves
        w_c as it is. The paper prints no value.
    tau : float, optional
        Distance to the skeletons at which an outline counts no more; units as `sigma`. Default: the largest
        on the outlines of this image.
    labels : (M, N[, P]) ndarray of int, optional
        Classes for w0. Default: 0 background, 1 cell.
    counts : mapping or sequence of float, optional
        Voxels per class over the training set, see `class_balance`. Default: those of `labels`. Here their
        scale matters, see Notes.
    spacing : sequence of float, optional
        Edges of a voxel in the order of the axes. Default: 1 everywhere.
    ignore_label : int, optional
        Label in `labels` of voxels without annotation: they get weight 0.

    Returns
    -------
    (M, N[, P]) ndarray of float32

    Raises
    ------
    TypeError, ValueError
        As `class_balance`; if `instances` is not 2D or 3D, not of integers or has negative ones, if `labels`
        has another shape, `sigma` is negative, `tau` not positive, or `spacing` does not fit.

    Notes
    -----
    With counts in voxels, as the paper writes them, w0 is tiny beside the second term, which is up to about
    0.4 voxel widths / σ: far from all outlines almost nothing counts. Counts divided by the smallest of them
    bring w0 to at most 1.

    The paper leaves open, and here it is so: a contour is made of those voxels that have a voxel outside
    beyond one of their faces (4 or 6 neighbours), the border of the image not being one; the hull has every
    voxel whose centre lies in the convex hull of the cell's voxel centres; skeletons are scikit-image's
    thinning (Zhang & Suen in 2D, Lee et al. in 3D), on the grid whatever the spacing, and a component that it
    deletes is its own; K is one image, so that
    an outline may be nearest to the skeleton of a neighbour; 1 − φ_K/τ is 0 where `tau` is exceeded, and 1 if
    all outlines are their own skeletons.

    References
    ----------
    Guerrero-Peña, Marrero Fernandez, Ren, Yui, Rothenberg, Cunha. Multiclass weighted loss for instance
    segmentation of cluttered cells. ICIP 2018, equations 3 and 4.

    Examples
    --------
    w_c of a cell with a thin nose (counts so large that w0 is 0 in this print): the outline counts most at
    the nose and in the two concave corners beside it.

    >>> import numpy as np
    >>> cell = np.zeros((7, 10), int)
    >>> cell[1:6, 1:6] = cell[3, 6:9] = 1
    >>> shape_aware(cell, sigma=0, counts=[1e6, 1e6]).round(1)
    array([[0. , 0. , 0. , 0. , 0. , 0. , 0. , 0. , 0. , 0. ],
           [0. , 0. , 0.2, 0.3, 0.3, 0.5, 0. , 0. , 0. , 0. ],
           [0. , 0.2, 0. , 0. , 0. , 0.6, 1. , 0. , 0. , 0. ],
           [0. , 0.3, 0. , 0. , 0. , 0. , 1. , 1. , 1. , 0. ],
           [0. , 0.2, 0. , 0. , 0. , 0.6, 1. , 0. , 0. , 0. ],
           [0. , 0. , 0.2, 0.3, 0.3, 0.5, 0. , 0. , 0. , 0. ],
           [0. , 0. , 0. , 0. , 0. , 0. , 0. , 0. , 0. , 0. ]], dtype=float32)
    """
    sigma = check_radius(sigma, "sigma")
    ids, count = dense_instances(instances)
    edges = check_spacing(spacing, ids.ndim)
    classes = ids != 0 if labels is None else labels
    if np.shape(classes) != ids.shape:
        raise ValueError(f"labels has the shape of instances, {ids.shape}; got {np.shape(classes)}")
    weight = class_balance(classes, counts, ignore_label=ignore_label)
    tau = None if tau is None else check_positive(tau, "tau")
    if count:
        complexity = _outline_weight(ids, tau, edges)
        per_axis = [sigma / edge for edge in edges]
        weight += gaussian_filter(complexity, per_axis, mode="nearest")
        if ignore_label is not None and labels is not None:
            weight[labels == ignore_label] = 0
    return weight


def _outline_weight(
    ids: NDArray[np.unsignedinteger], tau: float | None, spacing: tuple[float, ...]
) -> NDArray[np.float32]:
    """w_c: the outlines, each voxel by its distance to the skeletons."""
    contours, skeletons = _outlines(ids)
    away = edt.edt((~skeletons).view(np.uint8), anisotropy=spacing, parallel=1)[contours]
    weight = np.zeros(ids.shape, np.float32)
    tau = float(away.max(initial=0)) if tau is None else tau
    weight[contours] = np.maximum(0, 1 - away / np.float32(tau)) if tau > 0 else 1
    return weight


def _outlines(ids: NDArray[np.unsignedinteger]) -> tuple[_Mask, _Mask]:
    """Γ and K: contours and skeletons of all cells and of their concave complements, hull without cell.

    Each is taken on its own, so that those of touching cells stay apart and those that overlap unite.
    """
    contours, skeletons = np.zeros(ids.shape, bool), np.zeros(ids.shape, bool)
    for number, box in label_boxes(ids):
        around = grown(box, 1, ids.shape)
        cell = ids[around] == number
        for part in (cell, convex_hull(cell) & ~cell):
            if part.any():
                contours[around] |= _contour(part)
                skeletons[around] |= _skeleton(part)
    return contours, skeletons


def _contour(part: _Mask) -> _Mask:
    """Voxels of `part` with a voxel outside of it beyond a face; the image's border is none."""
    inner = part.copy()
    for axis in range(part.ndim):
        along, lines = np.moveaxis(inner, axis, 0), np.moveaxis(part, axis, 0)
        along[1:] &= lines[:-1]
        along[:-1] &= lines[1:]
    return part & ~inner


def _skeleton(part: _Mask) -> _Mask:
    """Thinned `part`, each of its boxes by itself.

    A part of a volume that is one voxel thick is thinned in its plane, where the 3D thinning would delete it.
    """
    result = np.zeros(part.shape, bool)
    for _, box in label_boxes(part.view(np.uint8)):
        inside = part[box]
        thin = tuple(axis for axis, length in enumerate(inside.shape) if length == 1)[: part.ndim - 2]
        result[box] = np.expand_dims(skeleton(inside.squeeze(thin)), thin)
    return result
