"""Where the values of an HDF5 dataset come from, which may be other files.

HDF5 follows links into any file of the machine, and returns a fill value for what it does not find. So every
link and source is looked up here first: it has to be there, whole, and in the folder of the file or below.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_ext.errors import UserError
from nnunet_ext.images.memory import sized

_LINKS = 16  # that may follow each other
_DENSEST = 1032  # times that HDF5's usual compression can make values smaller
_SMALL = 2**30  # bytes, up to which sparse data may be anything
_REMEDY = "Save a file that holds the values itself, for example with h5repack."


class Sources:
    """Opens datasets of a file, and of the files it points to.

    Parameters
    ----------
    h5py : module
        The library.
    path : Path
        The file that was asked for.
    opened : ExitStack
        Closes further files.
    """

    def __init__(self, h5py: Any, path: Path, opened: ExitStack) -> None:
        self._h5py = h5py
        self._path = path
        self._folder = path.resolve().parent
        self._opened = opened

    def open(self, file: Any, key: str, depth: int = 0) -> Any | None:
        """Return the object of this name, None if there is none; a `UserError` if it is not all there."""
        if depth > _LINKS:
            raise UserError(f"{self._path}: the links to '{key}' go in circles.")
        names = [name for name in key.split("/") if name not in ("", ".")]
        item: Any = file
        for i, name in enumerate(names):
            if not hasattr(item, "keys") or not item.id.links.exists(name.encode()):
                return None
            links, rest = item.id.links, names[i + 1 :]
            kind = links.get_info(name.encode()).type
            if kind == self._h5py.h5l.TYPE_SOFT:
                target = links.get_val(name.encode()).decode()
                start = "" if target.startswith("/") else item.name
                return self.open(file, "/".join([start, target, *rest]), depth + 1)
            if kind == self._h5py.h5l.TYPE_EXTERNAL:
                other, target = (os.fsdecode(part) for part in links.get_val(name.encode()))
                return self.open(self._file(file, other), "/".join([target, *rest]), depth + 1)
            if self._h5py.h5o.get_info(item.id, name.encode()).type == self._h5py.h5o.TYPE_DATASET:
                item = self._dataset(file, item, name)
            else:
                item = item[name]
        if isinstance(item, self._h5py.Dataset):
            self._check(file, item, depth)
        return item

    def _dataset(self, file: Any, group: Any, name: str) -> Any:
        """Open a dataset whose external storage is looked for beside the file, not in the working folder."""
        access = self._h5py.h5p.create(self._h5py.h5p.DATASET_ACCESS)
        access.set_efile_prefix(os.fsencode(Path(file.filename).resolve().parent))
        return self._h5py.Dataset(self._h5py.h5d.open(group.id, name.encode(), access))

    def _check(self, file: Any, dataset: Any, depth: int) -> None:
        self._check_filters(dataset)
        if dataset.is_virtual:
            self._check_virtual(file, dataset, depth)
        elif dataset.external:
            for name, offset, size in dataset.external:
                self._check_raw(file, dataset, name, offset, size)
        elif dataset.size:
            self._check_stored(dataset)

    def _check_filters(self, dataset: Any) -> None:
        created = dataset.id.get_create_plist()
        for i in range(created.get_nfilters()):
            code, _, _, name = created.get_filter(i)
            if not self._h5py.h5z.filter_avail(code):
                raise UserError(
                    f"{self._path}: dataset '{dataset.name}' is compressed by "
                    f"{os.fsdecode(name) or 'a filter'} ({code}), which is not installed here. Save "
                    "it with gzip, for example with h5repack."
                )

    def _check_virtual(self, file: Any, dataset: Any, depth: int) -> None:
        there = 0
        for part in dataset.virtual_sources():
            other = file if part.file_name == "." else self._file(file, part.file_name)
            source = self.open(other, part.dset_name, depth + 1)
            everything = part.vspace.get_select_type() == self._h5py.h5s.SEL_ALL
            count = dataset.size if everything else part.vspace.get_select_npoints()
            if not self._is_large_enough(source, part.src_space, count):
                raise UserError(
                    f"{self._path}: dataset '{dataset.name}' takes values from '{part.dset_name}' in "
                    f"{part.file_name}, where that is missing or smaller. {_REMEDY}"
                )
            there += count
        if there < dataset.size:
            raise UserError(
                f"{self._path}: {dataset.size - there} of {dataset.size} voxels of the virtual dataset "
                f"'{dataset.name}' have no source."
            )

    def _is_large_enough(self, source: Any, space: Any, count: int) -> bool:
        shape = getattr(source, "shape", None)
        if shape is None:
            return False
        if space.get_select_type() == self._h5py.h5s.SEL_ALL:
            return bool(source.size == count)
        return len(shape) == len(space.shape) and all(np.greater_equal(shape, space.shape))

    def _check_raw(self, file: Any, dataset: Any, name: str, offset: int, size: int) -> None:
        source = self._inside(file, name)
        end = offset + min(size, dataset.size * dataset.dtype.itemsize)
        if source.stat().st_size < end:
            raise UserError(
                f"{self._path}: dataset '{dataset.name}' takes its values from {source}, which is cut off: "
                f"{source.stat().st_size} of {end} bytes."
            )

    def _check_stored(self, dataset: Any) -> None:
        stored, declared = dataset.id.get_storage_size(), dataset.size * dataset.dtype.itemsize
        if not stored:
            raise UserError(f"{self._path}: dataset '{dataset.name}' was declared, but never written.")
        if declared > max(_SMALL, stored * _DENSEST):
            raise UserError(
                f"{self._path}: dataset '{dataset.name}' declares "
                f"{sized(dataset.shape, dataset.dtype)}, of which only {stored} bytes were written."
            )

    def _file(self, file: Any, name: str) -> Any:
        source = self._inside(file, name)
        return self._opened.enter_context(self._h5py.File(source, "r"))

    def _inside(self, file: Any, name: str) -> Path:
        """Return the file that `file` points to; a `UserError` if it is missing or lies elsewhere."""
        source = (Path(file.filename).resolve().parent / name).resolve()
        if not source.is_relative_to(self._folder):
            raise UserError(f"{self._path}: takes values from {source}, outside of its own folder. {_REMEDY}")
        if not source.is_file():
            raise UserError(f"{self._path}: takes values from {source}, which is missing. {_REMEDY}")
        return source
