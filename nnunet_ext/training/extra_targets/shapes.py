"""What the shape of a class says about its voxels, as extra targets: tubes around centre lines, and depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.targets.region_distance import region_distance
from nnunet_ext.targets.skeleton_tube import skeleton_tube
from nnunet_ext.training.extra_targets.target import ExtraTarget, joined, name_with

Labels = tuple[int, ...]


@dataclass(frozen=True)
class Tubes(ExtraTarget):
    """0 or 1: whether a voxel is in a tube around a centre line.

    Parameters
    ----------
    structures : tuple of tuple of int
        For each map the labels that together make up the structure which is thinned.
    """

    structures: tuple[Labels, ...]

    @property
    def name(self) -> str:
        """Kind and structures."""
        return name_with("tubes", of="_".join(map(joined, self.structures)))

    @property
    def channels(self) -> int:  # type: ignore[override]
        """One for each structure."""
        return len(self.structures)

    def compute(self, labels: NDArray[Any], spacing: Sequence[float]) -> NDArray[np.float32]:
        """The tubes of each structure."""
        found = [skeleton_tube(np.isin(labels, each)) for each in self.structures]
        return np.stack(found).astype(np.float32)

    def finish(
        self, maps: NDArray[np.float32], labels: NDArray[Any], class_counts: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        """0 or 1 again where stored tubes were rotated, and nothing outside of the structure."""
        inside = np.stack([np.isin(labels, each) for each in self.structures])
        return ((maps > 0.5) & inside).astype(np.float32)

    def per_case(self, patch_size: Sequence[int]) -> bool:
        """Yes: a sample takes nnU-Net's loader up to twice as long with it, 1.3 times if stored."""
        return True


@dataclass(frozen=True)
class Depths(ExtraTarget):
    """How deep in its class a voxel lies, relative to the deepest of the patch.

    Parameters
    ----------
    regions : tuple of tuple of int, optional
        The labels of each region, for a map each. Default: one map of the labels themselves.
    """

    regions: tuple[Labels, ...] | None = None

    @property
    def name(self) -> str:
        """Kind and regions."""
        return name_with("depths", **({"of": "_".join(map(joined, self.regions))} if self.regions else {}))

    @property
    def channels(self) -> int:  # type: ignore[override]
        """One for each region, or one for all classes: a voxel has one label."""
        return len(self.regions) if self.regions else 1

    def compute(self, labels: NDArray[Any], spacing: Sequence[float]) -> NDArray[np.float32]:
        """Distances within the patch."""
        if not self.regions:
            return region_distance(labels)[None]
        return np.stack([region_distance(np.isin(labels, each)) for each in self.regions])
