"""The weight maps of `nnunet_ext.targets.weight_maps` as extra targets: a costly step, and a cheap one.

Lengths (σ, β, τ) are in edges of the finest axis of a voxel: pixels in 2D, and in an anisotropic volume the
same physical length along every axis. So the papers' values keep their meaning whatever unit a dataset is in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.components import label_components
from nnunet_ext.nnunet_files.hierarchy import IGNORE
from nnunet_ext.targets import weight_maps
from nnunet_ext.training.extra_targets.target import BACKGROUND, ExtraTarget, joined, name_with

_CELL = "cell"


def cell_labels(labels: Mapping[str, Any]) -> tuple[int, ...]:
    """Which labels cells are made of: those of the class or region "cell", else the whole foreground.

    Parameters
    ----------
    labels : mapping
        ``labels`` of a dataset.json.

    Examples
    --------
    >>> cell_labels({"background": 0, "cell": 1, "touching": 2, "gap": 3})
    (1,)
    >>> cell_labels({"background": 0, "whole": [1, 2], "core": 2, "ignore": 3})
    (1, 2)
    """
    classes = [value for name, value in labels.items() if name != IGNORE]
    chosen = [labels[_CELL]] if _CELL in labels else classes
    values = {
        int(each) for value in chosen for each in (value if isinstance(value, list | tuple) else [value])
    }
    return tuple(sorted(values - {BACKGROUND}))


def cell_instances(labels: NDArray[Any], cells: Sequence[int]) -> NDArray[np.unsignedinteger]:
    """The connected components of the cells."""
    return label_components(np.isin(labels, cells))[0]


def _in_voxels(spacing: Sequence[float]) -> tuple[float, ...]:
    """Edges of a voxel, the shortest being 1."""
    return tuple(edge / min(spacing) for edge in spacing)


@dataclass(frozen=True)
class ClassBalance(ExtraTarget):
    """BWM: one over the class's voxels in the training cases of the fold."""

    name = "balance"
    needs_class_counts = True

    def compute(self, labels: NDArray[Any], spacing: Sequence[float]) -> NDArray[np.float32]:
        """Nothing: all there is depends on the counts."""
        return np.zeros((1, *labels.shape), np.float32)

    def finish(
        self, maps: NDArray[np.float32], labels: NDArray[Any], class_counts: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        """1 / n of each voxel's class."""
        return weight_maps.class_balance(labels, class_counts)[None]


@dataclass(frozen=True)
class UNetMap(ExtraTarget):
    """U-Net's map: 1, and up to `w0` more on background between two cells.

    Parameters
    ----------
    w0, sigma : float
        As in `weight_maps.unet`; `sigma` in voxels.
    cells : tuple of int
        Labels whose components are the cells.
    cascade : bool
        As the nuclei cascade has it: 1 on cells and 0 elsewhere in place of 1 everywhere, and all divided by
        the largest value of the image (or the patch, where the map is computed for each).
    """

    w0: float = 10.0
    sigma: float = 5.0
    cells: tuple[int, ...] = (1,)
    cascade: bool = False

    @property
    def name(self) -> str:
        """Kind and parameters."""
        kind = "unet_cascade" if self.cascade else "unet"
        return name_with(kind, w0=self.w0, sigma=self.sigma, cells=joined(self.cells))

    def compute(self, labels: NDArray[Any], spacing: Sequence[float]) -> NDArray[np.float32]:
        """The term between cells, which is 0 outside of the image; the whole map of the cascade."""
        cells, edges = cell_instances(labels, self.cells), _in_voxels(spacing)
        base: Any = "foreground" if self.cascade else 0.0
        return weight_maps.unet(cells, self.w0, self.sigma, base, edges, normalise=self.cascade)[None]

    def finish(
        self, maps: NDArray[np.float32], labels: NDArray[Any], class_counts: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        """With the base, 1 everywhere; that of the cascade is there already."""
        return maps if self.cascade else maps + 1

    def per_case(self, patch_size: Sequence[int]) -> bool:
        """Yes: a sample takes nnU-Net's loader 3.5 times as long with it, at most 1.5 times if stored."""
        return True


@dataclass(frozen=True)
class DistanceMap(ExtraTarget):
    """DWM: class balance that fades with the distance to the foreground.

    Parameters
    ----------
    beta : float
        Distance at which it has faded to 0, in voxels.
    """

    beta: float = 30.0

    needs_class_counts = True

    @property
    def name(self) -> str:
        """Kind and parameters."""
        return name_with("distance", beta=self.beta)

    def compute(self, labels: NDArray[Any], spacing: Sequence[float]) -> NDArray[np.float32]:
        """What is left at each distance, 1 on the foreground."""
        alike = np.ones(int(labels.max()) + 1)
        return weight_maps.distance(labels, self.beta, alike, _in_voxels(spacing))[None]

    def finish(
        self, maps: NDArray[np.float32], labels: NDArray[Any], class_counts: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        """Times 1 / n of each voxel's class."""
        return maps * weight_maps.class_balance(labels, class_counts)


@dataclass(frozen=True)
class ShapeAware(ExtraTarget):
    """SAW: class balance, and more around narrow or concave outlines.

    The counts are divided by the smallest, so that the class balance is at most 1. In voxels, as the paper
    writes them, they make it a million times smaller than the term of the outlines, and nothing else would be
    learned.

    Parameters
    ----------
    sigma : float
        Width of the band around an outline, in voxels.
    tau : float, optional
        Distance to the skeletons at which an outline counts no more, in voxels. Default: the largest on the
        outlines of the case, or of the patch if computed for each.
    cells : tuple of int
        Labels whose components are the cells.
    """

    sigma: float = 2.0
    tau: float | None = None
    cells: tuple[int, ...] = (1,)

    needs_class_counts = True

    @property
    def name(self) -> str:
        """Kind and parameters."""
        tau = {} if self.tau is None else {"tau": self.tau}
        return name_with("shape", sigma=self.sigma, **tau, cells=joined(self.cells))

    def compute(self, labels: NDArray[Any], spacing: Sequence[float]) -> NDArray[np.float32]:
        """The term of the outlines."""
        cells = cell_instances(labels, self.cells)
        no_balance = [0, 0]  # a class of count 0 has weight 0
        edges = _in_voxels(spacing)
        return weight_maps.shape_aware(cells, self.sigma, self.tau, counts=no_balance, spacing=edges)[None]

    def finish(
        self, maps: NDArray[np.float32], labels: NDArray[Any], class_counts: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        """With the class balance."""
        assert class_counts is not None
        rarest = class_counts[class_counts > 0].min(initial=class_counts.max())
        return maps + weight_maps.class_balance(labels, class_counts / max(1, rarest))

    def per_case(self, patch_size: Sequence[int]) -> bool:
        """Yes: a sample takes nnU-Net's loader 5 to 13 times as long with it, at most 1.5 times if stored."""
        return True
