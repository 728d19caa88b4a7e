"""Do inner classes lie in their outer class: what of nuclei sticks out of cells, by surface and component."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.checks import check_axes
from nnunet_ext.arrays.components import label_components
from nnunet_ext.metrics.checks import BoolArray, check_labels, check_mask


@dataclass(frozen=True)
class Containment:
    """How much of an inner class borders on what is outside its outer class; those of several images add up.

    Attributes
    ----------
    faces, faces_exposed : int
        Faces between an inner and another voxel, and those of them whose other side is outside.
    components, components_exposed : int
        Components of the inner class, and those that are exposed: not enclosed, with a neighbour outside.
    voxels, voxels_exposed : int
        Voxels of the inner class, and those in such components.
    """

    faces: int
    faces_exposed: int
    components: int
    components_exposed: int
    voxels: int
    voxels_exposed: int

    def __add__(self, other: Containment) -> Containment:
        return Containment(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def surface_share(self) -> float:
        """Share of the surface that is exposed: 0 nested, 1 wholly outside; NaN without surface."""
        return _share(self.faces_exposed, self.faces)

    @property
    def component_share(self) -> float:
        """Share of the components that are exposed; NaN where the inner class is absent."""
        return _share(self.components_exposed, self.components)

    @property
    def voxel_share(self) -> float:
        """Share of the voxels that are in exposed components; NaN where the inner class is absent."""
        return _share(self.voxels_exposed, self.voxels)


def containment(
    labels: NDArray[Any], inner: Sequence[int], outer: Sequence[int], mask: BoolArray | None = None
) -> Containment:
    """Measure whether an inner class lies in its outer class.

    In a label map every voxel has one label, so an inner voxel can never be outside by itself: a nucleus
    without a cell shows in that it borders on background. The image's border is neutral, and so is what
    `mask` does not count.

    Parameters
    ----------
    labels : (M, N[, P]) ndarray
        Label map.
    inner : sequence of int
        The labels of the inner class and of all that lies in it.
    outer : sequence of int
        The labels of the class around it and of all that lies in that, thus those of `inner` and others.
        Voxels of all other labels are outside.
    mask : (M, N[, P]) ndarray of bool, optional
        True = counted. The rest belongs to no component and no surface.

    Returns
    -------
    Containment
        Counts, with the shares that follow from them as properties. Faces are those between face
        neighbours; components and their neighbours are in the 8- or 26-neighbourhood, so a nucleus that
        touches the outside with a corner only is exposed, but none of its surface is.

    Raises
    ------
    ValueError
        If the map is not of whole numbers or not 2D or 3D, `mask` is not boolean or of another shape, or
        `outer` does not hold the labels of `inner` and at least one more.

    Examples
    --------
    >>> import numpy as np
    >>> cells = np.array(
    ...     [
    ...         [0, 0, 0, 0, 0, 0],
    ...         [0, 1, 1, 1, 0, 2],
    ...         [0, 1, 2, 1, 0, 0],
    ...         [0, 1, 1, 1, 0, 0],
    ...     ]
    ... )
    >>> nuclei = containment(cells, inner=(2,), outer=(1, 2))
    >>> nuclei.components, nuclei.components_exposed
    (2, 1)
    >>> nuclei.faces, nuclei.faces_exposed, round(nuclei.surface_share, 3)
    (7, 3, 0.429)
    """
    _check(labels, inner, outer, mask)
    inside = _voxels_of(inner, labels, mask)
    if not inside.any():
        return Containment(0, 0, 0, 0, 0, 0)
    between = _voxels_of(sorted(set(outer) - set(inner)), labels, mask)
    outside = ~(inside | between)
    if mask is not None:
        outside &= mask
    enclosed_faces, exposed_faces = _faces(inside, between), _faces(inside, outside)
    touching = _grown(outside) & inside
    del between, outside  # components take four times the memory
    components, count = label_components(inside)
    exposed = np.zeros(count + 1, dtype=bool)
    exposed[components[touching]] = True
    return Containment(
        enclosed_faces + exposed_faces,
        exposed_faces,
        count,
        int(np.count_nonzero(exposed)),
        int(np.count_nonzero(inside)),
        # Plane by plane: NumPy turns what it indexes with into 64 bits.
        sum(int(np.count_nonzero(exposed[plane])) for plane in components),
    )


def _check(labels: NDArray[Any], inner: Sequence[int], outer: Sequence[int], mask: BoolArray | None) -> None:
    check_labels(labels, "labels")
    check_axes(labels, "labels")
    if not inner or not set(inner) < set(outer):
        raise ValueError(
            "expected the inner class's labels, and as outer the same and at least one more, "
            f"got inner {tuple(inner)} and outer {tuple(outer)}"
        )
    if mask is not None:
        check_mask(mask, labels.shape)


def _voxels_of(wanted: Sequence[int], labels: NDArray[Any], mask: BoolArray | None) -> BoolArray:
    # Not np.isin, which needs ten times the memory of its result; the labels are few.
    voxels: BoolArray = labels == wanted[0]
    for label in wanted[1:]:
        voxels |= labels == label
    return voxels if mask is None else voxels & mask


def _faces(a: BoolArray, b: BoolArray) -> int:
    """Number of faces that voxels of one map share with voxels of the other."""
    count = 0
    for axis in range(a.ndim):
        one, other = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
        count += np.count_nonzero(one[1:] & other[:-1]) + np.count_nonzero(one[:-1] & other[1:])
    return int(count)


def _grown(voxels: BoolArray) -> BoolArray:
    """The voxels and their 8 or 26 neighbours, reached one axis after the other."""
    for axis in range(voxels.ndim):
        grown = voxels.copy()
        before, after = np.moveaxis(voxels, axis, 0), np.moveaxis(grown, axis, 0)
        after[1:] |= before[:-1]
        after[:-1] |= before[1:]
        voxels = grown
    return voxels


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
