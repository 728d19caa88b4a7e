"""nnU-Net's dataset with stored maps behind the channels of every image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.training.extra_targets.stored_maps import open_maps


class StackedChannels:
    """Arrays of one spatial shape as one, along the first axis; read only where it is sliced.

    Parameters
    ----------
    arrays : sequence of array-like
        (channels, *spatial) each, numpy or blosc2.
    """

    def __init__(self, arrays: Sequence[Any]) -> None:
        shapes = [tuple(array.shape) for array in arrays]
        if len({shape[1:] for shape in shapes}) != 1:
            raise ValueError(f"arrays stacked by channels share their spatial shape; got {shapes}")
        self.arrays = tuple(arrays)
        self.shape = (sum(shape[0] for shape in shapes), *shapes[0][1:])
        self.ndim = len(self.shape)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[np.float32]:
        """The part of all channels that the loader cuts out: `index` is ``(slice(None), *slices)``."""
        if not isinstance(index, tuple) or index[:1] != (slice(None),):
            raise IndexError(f"all channels are read at once: [:, start:stop, …]; got {index!r}")
        return np.concatenate([np.asarray(array[index], np.float32) for array in self.arrays])


class DatasetWithMaps:
    """What nnU-Net's loader asks of a dataset, with the maps of each case stacked behind its image.

    Parameters
    ----------
    dataset : nnUNetBaseDataset
        nnU-Net's own dataset.
    folders : sequence of Path
        Where each target's maps lie, one ``CASE.b2nd`` per case (see `StoredTarget`).
    """

    def __init__(self, dataset: Any, folders: Sequence[Path]) -> None:
        self.dataset = dataset
        self.folders = tuple(folders)

    @property
    def identifiers(self) -> list[str]:
        """The cases."""
        return self.dataset.identifiers

    def load_case(self, identifier: str) -> tuple[Any, Any, Any, Any]:
        """Image with maps, label, label of the previous stage, properties."""
        data, *rest = self.dataset.load_case(identifier)
        maps = [open_maps(folder / f"{identifier}.b2nd") for folder in self.folders]
        label, previous, properties = rest
        return StackedChannels([data, *maps]), label, previous, properties
