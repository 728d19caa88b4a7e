"""Files of stored maps: one per case, with a record of what it was made from inside it.

They are float32, compressed without loss by the codec nnU-Net takes for its images: a map then costs no more
than an image channel (0.7 to 3 bytes per voxel for weight maps), weights of any size are kept, and reading a
patch takes no longer than in float16, which would have to be converted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.files import replacing

RECORD = "nnunet_ext"


def open_maps(path: Path) -> Any:
    """Open (channels, z, y, x) maps for slicing, mapped into memory where the system can."""
    import blosc2

    mapped = {} if os.name == "nt" else {"mmap_mode": "r"}
    return blosc2.open(urlpath=str(path), mode="r", dparams={"nthreads": 1}, **mapped)


def read_record(path: Path) -> dict[str, Any] | None:
    """What the maps in a file were made from; None if there is no such file or it cannot be read."""
    try:
        maps = open_maps(path)  # to be kept for as long as its metadata are read
        return dict(maps.schunk.meta[RECORD])
    except Exception:  # blosc2 raises many kinds for files that are not its own
        return None


def remove_temporary(folder: Path) -> None:
    """Remove what killed runs left; only while no other process writes into `folder`."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def write_maps(
    path: Path, maps: NDArray[np.float32], record: Mapping[str, Any], patch_size: Sequence[int]
) -> None:
    """Write the maps of a case, whole or not at all.

    Parameters
    ----------
    path : Path
        ``CASE.b2nd``; an existing file is replaced.
    maps : ndarray
        (channels, z, y, x).
    record : mapping
        What they were made from, as JSON could hold it.
    patch_size : sequence of int
        What will be read at a time; the file is divided accordingly.
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
            cparams=compression, meta={RECORD: dict(record)},
        )  # fmt: skip
