"""Instance labels in a file: one tif per case that also carries the voxel spacing.

nnU-Net stores labels as int8 or int16, too small for instance ids, so these files lie beside its own
folders (``instancesTr/``, ``instancesTs/``) and are what `nnunet_ext instances` writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.checks import check_spacing, digits, exact_below
from nnunet_ext.errors import UserError
from nnunet_ext.images import tif
from nnunet_ext.images.image import Hints
from nnunet_ext.images.tif_layout import check_channel

ENDING = ".tif"
_AXES = (2, 3)


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
    ValueError
        If these are no ids: not 2D or 3D integers, or negative ones; or the spacing does not fit.
    """
    if instances.ndim not in _AXES or instances.dtype.kind not in "ui":
        raise ValueError(f"instances are integers in 2D or 3D; got {instances.dtype} {instances.shape}")
    if instances.min(initial=0) < 0:
        raise ValueError(f"instance ids are positive, 0 is background; got {instances.min()}")
    if spacing is not None:
        spacing = check_spacing(spacing, instances.ndim)
    dtype = instance_dtype(int(instances.max(initial=0)))
    tif.write(path, instances.astype(dtype, copy=False), spacing)


def read_instances(path: Path) -> tuple[NDArray[Any], tuple[float, ...] | None]:
    """Read what `write_instances` wrote: the labels and the spacing, if it was given.

    Any other tif of one image of whole numbers is read as well, with the spacing that it states.

    Raises
    ------
    UserError
        If the file cannot be read, is not whole, or does not hold one 2D or 3D image of whole numbers:
        colours, channels, time points and several images are none.
    """
    image = tif.read(path, Hints(label=True))
    check_channel(len(image.pixels), path)
    return integer_ids(image.pixels[0], path), image.grid.spacing


def integer_ids(labels: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return instance ids as integers, also where a program has stored them as floating-point numbers.

    Parameters
    ----------
    labels : ndarray
        As it was read; integers are returned as they are.
    path : Path
        Where it was read, for the message.

    Raises
    ------
    UserError
        If they are fractions, NaN or infinite, so large that their type mixes them up, or no numbers at all.
    """
    if labels.dtype.kind in "ui":
        return labels
    if labels.dtype.kind != "f":
        raise UserError(f"{path}: instance labels are integers; got {labels.dtype}.")
    for plane in labels:
        odd = plane[np.trunc(plane) != plane]  # NaN is among them
        if odd.size:
            raise UserError(f"{path}: holds {digits(odd[0])}, but instance ids are whole numbers from 0.")
    limit, largest = exact_below(labels.dtype), labels.max(initial=0)
    if largest >= limit:
        raise UserError(
            f"{path}: holds {largest:.0f}, but {labels.dtype.name} does not tell ids from {limit} on apart. "
            "Save them as integers, or number the instances from 1."
        )
    return labels.astype(np.int64 if labels.dtype.itemsize > 4 else np.int32)
