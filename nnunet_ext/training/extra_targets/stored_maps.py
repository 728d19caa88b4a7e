"""Maps computed once per case, stored beside the preprocessed data and made again when something changed.

With every file goes a record of what its maps were made from: target, spacing, version of the label; and
beside it lies its checksum. A file whose record is another one, or in which a bit has changed, is made again,
so nobody has to know which change concerns which maps.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.files import fingerprint, replacing, write_texts
from nnunet_ext.training.extra_targets.target import Case, ExtraTarget, plain_labels
from nnunet_ext.worker_pool import one_at_a_time, over_cases

_RECORD = "nnunet_ext"  # key of the record in the metadata of a file


@dataclass(frozen=True)
class StoredTarget:
    """A target whose maps are stored: where, and what they are made from.

    Parameters
    ----------
    target : ExtraTarget
        What to compute.
    data : Path
        nnU-Net's preprocessed folder of the configuration (``…/nnUNetPlans_2d``). The maps go beside it,
        into a folder of that name with the target's name behind it.
    dataset_class : type
        nnU-Net's class that reads `data`.
    spacing, patch_size : tuple
        Of the network's patches, in the order of the axes.
    ignore_label : int or None
        As in dataset.json.
    """

    target: ExtraTarget
    data: Path
    dataset_class: Callable[..., Any]
    spacing: tuple[float, ...]
    patch_size: tuple[int, ...]
    ignore_label: int | None

    @property
    def folder(self) -> Path:
        """Where the maps lie, one ``CASE.b2nd`` per case."""
        return self.data.with_name(f"{self.data.name}_{self.target.name}")

    def record(self, identifier: str) -> dict[str, Any]:
        """Everything that the maps of a case depend on."""
        sources = [label_file(self.data, identifier), *self.target.source_files(identifier)]
        return {
            "target": self.target.name,
            "version": self.target.version,
            "spacing": list(self.spacing),
            "ignore_label": self.ignore_label,
            "files": {path.name: fingerprint(path) for path in sources},
        }

    def is_done(self, identifier: str) -> bool:
        """Whether the maps of a case are there, whole, and nothing they depend on has changed."""
        return _read_record(self.folder / f"{identifier}.b2nd") == self.record(identifier)

    def make(self, identifier: str) -> str | None:
        """Compute and write the maps of a case; return what is wrong with it, if something is."""
        record = self.record(identifier)
        try:
            segmentation, properties = preprocessed_labels(self.data, self.dataset_class, identifier)
            labels = plain_labels(segmentation, self.ignore_label)
            maps = self.target.compute_case(Case(identifier, labels, self.spacing, properties))
        except UserError as error:
            return str(error)
        except Exception as error:
            raise RuntimeError(f"{self.target.name} of case {identifier}: {error}") from error
        expected = (self.target.channels, *labels.shape)
        if maps.shape != expected:
            raise ValueError(f"{self.target.name} of case {identifier} is {expected}; got {maps.shape}")
        _write_maps(self.folder / f"{identifier}.b2nd", maps, record, self.patch_size)
        return None


def label_file(folder: Path, identifier: str) -> Path:
    """The file that holds a case's preprocessed label, in either of nnU-Net's formats."""
    path = folder / f"{identifier}_seg.b2nd"
    return path if path.exists() else folder / f"{identifier}.npz"


def preprocessed_labels(
    data: Path, dataset_class: Callable[..., Any], identifier: str
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Read the labels of a case as nnU-Net preprocessed them, without its channel axis, and its properties.

    Raises
    ------
    UnusableCase
        If they cannot be read.
    """
    try:
        _, segmentation, _, properties = dataset_class(str(data), [identifier]).load_case(identifier)
        return np.asarray(segmentation[0]), properties
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # blosc2, pickle and NumPy each raise their own
        raise UnusableCase(
            f"{label_file(data, identifier)}: the preprocessed case cannot be read ({error}). Preprocess the "
            "dataset again."
        ) from error


def build(
    stored: StoredTarget, identifiers: Sequence[str], processes: int, log: Callable[[str], None]
) -> None:
    """Make the maps that are missing or out of date.

    Several trainings, or several processes of one, may call this at once: the first one does the work, the
    others wait and then find it done. A run that was killed leaves whole files or none.

    Parameters
    ----------
    stored : StoredTarget
        What to make.
    identifiers : sequence of str
        The cases.
    processes : int
        The most worker processes to start.
    log : callable
        Told what is going on.

    Raises
    ------
    UserError
        If the maps of some cases cannot be made: all of them are named, those of the others are kept.
    """
    if all(map(stored.is_done, identifiers)):
        return
    problems = stored.target.problems(identifiers) or _make(stored, identifiers, processes, log)
    if problems:
        raise UserError("\n".join([f"The maps {stored.target.name} cannot be made:", *sorted(problems)]))


def open_maps(path: Path) -> Any:
    """Open (channels, z, y, x) maps for slicing, mapped into memory where the system can."""
    import blosc2

    mapped = {} if os.name == "nt" else {"mmap_mode": "r"}
    return blosc2.open(urlpath=str(path), mode="r", dparams={"nthreads": 1}, **mapped)


def _make(
    stored: StoredTarget, identifiers: Sequence[str], processes: int, log: Callable[[str], None]
) -> list[str]:
    """Make what is missing once nobody else does; return what is wrong, one text per case."""
    folder, name = stored.folder, stored.target.name
    try:
        folder.mkdir(exist_ok=True)
        with one_at_a_time(
            folder / ".lock",
            lambda: log(f"The maps {name} are computed by another training; waiting for it."),
        ) as alone:
            if alone:  # then nobody else is writing, and temporary files are what killed runs left
                for path in folder.glob(".*.tmp"):
                    path.unlink(missing_ok=True)
            todo = [identifier for identifier in identifiers if not stored.is_done(identifier)]
            if todo:
                log(f"Computing the maps {name} of {len(todo)} cases into {folder}")
            return list(filter(None, over_cases(stored.make, todo, f"Maps {name}", processes)))
    except OSError as error:
        raise UserError(f"The maps {name} cannot be stored in {folder}: {error}") from error


def _read_record(path: Path) -> dict[str, Any] | None:
    """What the maps in a file were made from; None if there is no such file, or not as it was written."""
    try:
        if _checksum_file(path).read_text() != _checksum(path):
            return None
        maps = open_maps(path)  # to be kept for as long as its metadata are read
        return dict(maps.schunk.meta[_RECORD])
    except Exception:  # blosc2 raises many kinds for files that are not its own
        return None


def _checksum_file(path: Path) -> Path:
    return path.with_suffix(".crc32")


def _checksum(path: Path) -> str:
    """CRC-32 of a file as it is on disk, where maps are packed: little, as most are mostly 0."""
    total = 0
    with path.open("rb") as file:
        while part := file.read(2**20):
            total = zlib.crc32(part, total)
    return f"{total:08x}"


def _write_maps(
    path: Path, maps: NDArray[np.float32], record: Mapping[str, Any], patch_size: Sequence[int]
) -> None:
    """Write (channels, z, y, x) maps, whole or not at all, in chunks that suit a reader of patches.

    The checksum comes last: maps whose own is missing, as a killed run leaves them, are made again.
    """
    import blosc2
    from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params

    maps = np.ascontiguousarray(maps, np.float32)
    blocks, chunks = comp_blosc2_params(maps.shape, tuple(patch_size), maps.itemsize)
    compression = {
        "codec": blosc2.Codec.LZ4HC,
        "clevel": 5,
        "filters": [blosc2.Filter.SHUFFLE],
        "nthreads": 1,
    }
    with replacing(path) as temporary:
        blosc2.asarray(
            maps, urlpath=str(temporary), mode="w", chunks=chunks, blocks=blocks,
            cparams=compression, meta={_RECORD: dict(record)},
        )  # fmt: skip
        checksum = _checksum(temporary)
    write_texts({_checksum_file(path): checksum})
