"""HDF5 files with images and labels as datasets, as PlantSeg and ilastik use them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_ext.errors import UserError
from nnunet_ext.images.axes import channels_first, name_axes, spatial
from nnunet_ext.images.image import Grid, Header, Hints, Image, unreadable

SPACING = "element_size_um"


def library() -> Any:
    """Import and return h5py, which is an extra of this package; a `UserError` if it is not installed."""
    try:
        import h5py
    except ImportError as error:
        raise UserError(
            "HDF5 files need h5py, which is not installed: pip install 'nnunet-ext[h5]'"
        ) from error
    return h5py


def datasets(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the datasets in the file by key."""
    h5py, found = library(), {}

    def note(key: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[key] = item.shape

    with _opened(path) as file:
        file.visititems(note)
    return found


def header(path: Path, hints: Hints) -> Header:
    """Read what the file says about the dataset `hints.key`; see `files.read_header`."""
    with _opened(path) as file:
        return _header(_dataset(file, path, hints), path, hints)[0]


def read(path: Path, hints: Hints) -> Image:
    """Read the dataset `hints.key`; see `files.read_image`."""
    with _opened(path) as file:
        dataset = _dataset(file, path, hints)
        about, names = _header(dataset, path, hints)
        return Image(channels_first(dataset[()], names), about.grid)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    h5py = library()
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        raise unreadable(path, "HDF5", error) from error


def _dataset(file: Any, path: Path, hints: Hints) -> Any:
    item = file.get(hints.key)
    if not hasattr(item, "dtype"):
        there = ", ".join(f"'{key}' {shape}" for key, shape in datasets(path).items())
        raise UserError(f"{path}: has no dataset '{hints.key}'. Datasets there: {there or 'none'}.")
    return item


def _header(dataset: Any, path: Path, hints: Hints) -> tuple[Header, str]:
    shape = dataset.shape
    where = f"{path}: dataset '{hints.key}'"
    if not 2 <= len(shape) <= 4:
        raise UserError(f"{where} has the shape {shape}, but (z, y, x) or (channels, z, y, x) is expected.")
    if 0 in shape:
        raise UserError(f"{where} is empty, its shape is {shape}.")
    if dataset.dtype.kind not in "buif":
        raise UserError(f"{where} holds {dataset.dtype}, but numbers are expected.")
    try:
        names = name_axes("Q" * (len(shape) - 2) + "YX", shape, hints.dimension)
    except ValueError as error:
        raise UserError(f"{where}: {error}.") from error
    space = spatial(names)
    channels = shape[names.index("C")] if "C" in names else 1
    grid = Grid(_spacing(dataset, space))
    return Header(tuple(shape[i] for i in space), channels, np.dtype(dataset.dtype), grid), names


def _spacing(dataset: Any, space: tuple[int, ...]) -> tuple[float, ...] | None:
    """Return the spacing of the axes `space`; the attribute belongs to the last axes, (z, y, x)."""
    steps = np.ravel(dataset.attrs.get(SPACING, ()))
    first = len(dataset.shape) - len(steps)
    if steps.dtype.kind not in "uif" or first < 0 or min(space) < first:
        return None
    spacing = tuple(float(steps[axis - first]) for axis in space)
    return spacing if all(0 < step < math.inf for step in spacing) else None
