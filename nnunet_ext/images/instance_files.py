"""Instance labels in a file: one tif per case that also carries the voxel spacing.

nnU-Net stores labels as int8 or int16, too small for instance ids, so these files lie beside its own
folders (``instancesTr/``, ``instancesTs/``) and are what `nnunet_ext instances` writes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError

ENDING = ".tif"
_AXES = {2: "YX", 3: "ZYX"}
_BIGTIFF_BYTES = 2**32 - 2**25


def instance_dtype(largest_id: int) -> type[np.unsignedinteger[Any]]:
    """Smallest of uint16 and uint32 that holds `largest_id`; a `UserError` if neither does."""
    if largest_id <= np.iinfo(np.uint16).max:
        return np.uint16
    if largest_id <= np.iinfo(np.uint32).max:
        return np.uint32
    raise UserError(f"Instance id {largest_id} does not fit into 32 bits. Relabel the instances.")


def write_instances(path: Path, instances: NDArray[Any], spacing: Sequence[float] | None = None) -> None:
    """Write instance labels as a compressed tif, whole or not at all.

    Parameters
    ----------
    path : Path
        Target, ending in ``.tif``; an existing file is replaced.
    instances : ndarray
        Integer (y, x) or (z, y, x), 0 = background. Stored as uint16, or uint32 where ids need it.
    spacing : sequence of float, optional
        Voxel spacing in the order of the axes.

    Raises
    ------
    UserError
        If an id is beyond 32 bits.
    """
    import tifffile

    dtype = instance_dtype(int(instances.max(initial=0)))
    data = instances.astype(dtype, copy=False)
    metadata: dict[str, Any] = {"axes": _AXES[data.ndim]}
    if spacing is not None:
        metadata["spacing"] = [float(step) for step in spacing]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        tifffile.imwrite(
            temporary,
            data,
            compression="zlib",
            metadata=metadata,
            photometric="minisblack",
            bigtiff=data.nbytes > _BIGTIFF_BYTES,
        )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_instances(path: Path) -> tuple[NDArray[Any], tuple[float, ...] | None]:
    """Read what `write_instances` wrote: the labels and the spacing, if it was given.

    Any other tif of one image of integers is read as well, without spacing.

    Raises
    ------
    UserError
        If the file cannot be read or does not hold one 2D or 3D image of integers.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            data = tif.asarray()
            described: dict[str, Any] = (tif.shaped_metadata or ({},))[0]
    except Exception as error:  # tifffile and its codecs raise many kinds
        raise UserError(f"{path}: cannot be read as a tif: {error}") from error
    if data.ndim not in _AXES or data.dtype.kind not in "ui":
        raise UserError(f"{path}: instance labels are 2D or 3D integers; got {data.dtype} {data.shape}.")
    spacing = described.get("spacing")
    return data, None if spacing is None else tuple(map(float, spacing))
