"""HDF5 files with images and labels as datasets, as PlantSeg and ilastik use them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.images.axes import channels_first, name_axes, spatial
from nnunet_ext.images.hdf5_sources import Sources
from nnunet_ext.images.image import Grid, Header, Hints, Image, unreadable
from nnunet_ext.images.memory import check_memory, too_large

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
    """Return the shapes of the datasets in the file by key, those behind links left out."""
    return {key: shape for key, (shape, _) in kinds(path).items()}


def kinds(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the shapes of the datasets in the file by key, and what MATLAB says they are."""
    h5py, found = library(), {}

    def note(key: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            kind = item.attrs.get("MATLAB_class", b"")
            found[key] = item.shape, kind.decode() if isinstance(kind, bytes) else str(kind)

    with _opened(path) as (file, _):
        file.visititems(note)
    return found


def header(path: Path, hints: Hints) -> Header:
    """Read what the file says about the dataset `hints.key`; see `files.read_header`."""
    with _opened(path) as (file, sources):
        return _header(_dataset(file, sources, path, hints.key), path, hints)[0]


def read(path: Path, hints: Hints) -> Image:
    """Read the dataset `hints.key`; see `files.read_image`."""
    with _opened(path) as (file, sources):
        dataset = _dataset(file, sources, path, hints.key)
        about, names = _header(dataset, path, hints)
        return Image(channels_first(_values(dataset, path), names), about.grid)


def array(path: Path, key: str) -> NDArray[Any]:
    """Read the dataset `key`, of numbers in any shape; errors as in `read`."""
    with _opened(path) as (file, sources):
        dataset = _dataset(file, sources, path, key)
        _check_numbers(dataset, f"{path}: dataset '{key}'")
        return _values(dataset, path)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Sources]]:
    """Open a file; whatever fails meanwhile becomes a `UserError` that names it."""
    h5py = library()
    try:
        with ExitStack() as opened:
            yield opened.enter_context(h5py.File(path, "r")), Sources(h5py, path, opened)
    except UserError:
        raise
    except Exception as error:  # h5py raises OSError, KeyError, RuntimeError, ValueError, TypeError
        raise unreadable(path, "HDF5", error) from error


def _dataset(file: Any, sources: Sources, path: Path, key: str) -> Any:
    item = sources.open(file, key)
    if not hasattr(item, "dtype"):
        there = ", ".join(f"{key!a:.80} {shape}" for key, shape in datasets(path).items())
        raise UserError(f"{path}: has no dataset '{key}'. Datasets there: {there or 'none'}.")
    return item


def _values(dataset: Any, path: Path) -> NDArray[Any]:
    check_memory(path, dataset.shape, dataset.dtype)
    try:
        return np.asarray(dataset[()])
    except MemoryError as error:
        raise too_large(path, dataset.shape, dataset.dtype) from error


def _check_numbers(dataset: Any, where: str) -> None:
    if dataset.shape is None:
        raise UserError(f"{where} is empty.")
    if dataset.dtype.kind not in "buif" or dataset.dtype.itemsize > 8:
        raise UserError(f"{where} holds {dataset.dtype}, but numbers are expected.")


def _header(dataset: Any, path: Path, hints: Hints) -> tuple[Header, str]:
    where = f"{path}: dataset '{hints.key}'"
    _check_numbers(dataset, where)
    shape = dataset.shape
    if not 2 <= len(shape) <= 4:
        raise UserError(f"{where} has the shape {shape}, but (z, y, x) or (channels, z, y, x) is expected.")
    if 0 in shape:
        raise UserError(f"{where} is empty, its shape is {shape}.")
    try:
        names = name_axes("Q" * (len(shape) - 2) + "YX", shape, hints.dimension)
    except ValueError as error:
        raise UserError(f"{where}: {error}.") from error
    space = spatial(names)
    channels = shape[names.index("C")] if "C" in names else 1
    spacing = _spacing(dataset, space)
    if spacing and not all(0 <= step < math.inf for step in spacing) and not hints.spacing_given:
        stated = " x ".join(f"{step:g}" for step in spacing)
        raise UserError(
            f"{where}: a spacing of {stated} ({SPACING}) is not possible. Correct it, or give --spacing."
        )
    grid = Grid(spacing if spacing and all(0 < step < math.inf for step in spacing) else None)
    return Header(tuple(shape[i] for i in space), channels, np.dtype(dataset.dtype), grid), names


def _spacing(dataset: Any, space: tuple[int, ...]) -> tuple[float, ...] | None:
    """Return what is stated as the spacing of the axes `space`; it belongs to the last axes, (z, y, x)."""
    steps = np.ravel(dataset.attrs.get(SPACING, ()))
    first = len(dataset.shape) - len(steps)
    if steps.dtype.kind not in "uif" or first < 0 or min(space) < first:
        return None
    return tuple(float(steps[axis - first]) for axis in space)
