"""What an extra target is: maps for every voxel that a loss needs beside the label."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BACKGROUND = 0


def plain_labels(labels: NDArray[Any], ignore_label: int | None) -> NDArray[Any]:
    """Labels as an extra target sees them: what is ignored or outside of the image (-1) is background."""
    strange = labels < 0
    if ignore_label is not None:
        strange |= labels == ignore_label
    return np.where(strange, labels.dtype.type(BACKGROUND), labels)


def name_with(kind: str, **parameters: float | str) -> str:
    """A name that tells parameters apart and can be a folder's: ``name_with("unet", w0=10)`` is "unet_w0=10".

    Raises
    ------
    ValueError
        If a character is none for a file name.
    """
    words = [
        f"{key}={value if isinstance(value, str) else repr(float(value))}"
        for key, value in parameters.items()
    ]
    name = "_".join([kind, *(word.removesuffix(".0") for word in words)])
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_=.+-]*", name):
        raise ValueError(f"the name of an extra target is letters, digits and _=.+-; got {name!r}")
    return name


def joined(labels: Sequence[int]) -> str:
    """``1-3+5`` of 1, 2, 3, 5: short enough for a folder's name with a hundred labels, too."""
    runs = zip(
        [label for label in labels if label - 1 not in labels],
        [label for label in labels if label + 1 not in labels],
        strict=True,
    )
    return "+".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


@dataclass(frozen=True)
class Case:
    """A preprocessed training case, as a target computed once per case sees it.

    Attributes
    ----------
    identifier : str
        nnU-Net's name of the case.
    labels : ndarray
        Integer (z, y, x), z = 1 for 2D images; ignored voxels and those outside of the image are background.
    spacing : tuple of float
        Of the network's patches: two numbers if it is 2D, even where the case is 3D.
    properties : mapping
        What nnU-Net's preprocessing noted down (shape before cropping, bounding box …).
    """

    identifier: str
    labels: NDArray[Any]
    spacing: tuple[float, ...]
    properties: Mapping[str, Any]


class ExtraTarget(ABC):
    """Maps for every voxel, computed from the label or read from a file, that travel to the loss.

    A map is made in two steps. `compute`, the costly one, is done in the augmentation workers, from the
    augmented label; or, where `per_case` says so, once per case, and the stored map is then rotated, scaled
    and mirrored with the image, and 0 where patches reach beyond it. `finish`, the cheap one, always sees the
    augmented label, and the class counts of the fold, so that no stored map depends on a fold.

    A target is a description: small, picklable, the same parameters giving the same maps.

    Attributes
    ----------
    channels : int
        Number of maps.
    version : int
        To be raised when the definition changes: stored maps are then made again.
    needs_class_counts : bool
        Whether `finish` wants them.
    from_label : bool
        Whether `compute` makes the maps; if not, they come from files, always once per case.
    """

    channels: int = 1
    version: int = 1
    needs_class_counts: bool = False
    from_label: bool = True

    @property
    @abstractmethod
    def name(self) -> str:
        """Kind and all parameters that `compute` depends on, for folders and logs; see `name_with`."""

    @abstractmethod
    def compute(self, labels: NDArray[Any], spacing: Sequence[float]) -> NDArray[np.float32]:
        """The maps of a label image.

        Parameters
        ----------
        labels : ndarray
            Integer (y, x) or (z, y, x), not to be changed; ignored voxels are background.
        spacing : sequence of float
            Voxel spacing in the order of the axes.

        Returns
        -------
        ndarray
            float32 (channels, *spatial).
        """

    def finish(
        self, maps: NDArray[np.float32], labels: NDArray[Any], class_counts: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        """What the loss gets, from computed (channels, *spatial) `maps` and the augmented `labels`.

        Parameters
        ----------
        maps : ndarray
            Result of `compute`, perhaps augmented; may be changed.
        labels, class_counts : ndarray
            The label image as for `compute`; voxels per label in the training cases of the fold (see
            `nnunet_ext.training.class_counts`), None unless `needs_class_counts`.
        """
        return maps

    def per_case(self, patch_size: Sequence[int]) -> bool:
        """Whether `compute` is better done once per case than for every patch of `patch_size`."""
        return False

    def compute_case(self, case: Case) -> NDArray[np.float32]:
        """The (channels, z, y, x) maps of a whole case; of a 2D network, those of every slice."""
        if len(case.spacing) == case.labels.ndim:
            return self.compute(case.labels, case.spacing)
        return np.stack([self.compute(labels, case.spacing) for labels in case.labels], axis=1)

    def source_files(self, identifier: str) -> Sequence[Path]:
        """Files besides the label that the stored maps of a case depend on."""
        return ()

    def problems(self, identifiers: Sequence[str]) -> list[str]:
        """Why the maps of these cases cannot be made, as far as a look at the folders tells."""
        return []
