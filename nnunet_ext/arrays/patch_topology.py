"""Betti numbers of all patches of many binary images at once."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray
from skimage.measure import euler_number

from nnunet_ext.arrays.blocks import split, whole
from nnunet_ext.arrays.components import first_and_size, label_components

IntArray = NDArray[np.int64]


def patch_betti_numbers(foreground: NDArray[np.bool_], edges: Sequence[int], holes: bool = False) -> IntArray:
    """Betti numbers of every patch, each on its own, with background outside.

    The foreground is fully connected (8 or 26 neighbours), the background dually (4 or 6): what
    `nnunet_ext.metrics.betti_numbers` says of each patch, in a few passes over all of them.

    Parameters
    ----------
    foreground : (m, M, N[, P]) ndarray of bool
        m binary images.
    edges : sequence of int
        Edges of a patch, one per axis. Patches lie side by side from the first voxel on; the last ones of
        an axis may be smaller.
    holes : bool
        Whether to count holes, tunnels and cavities, or components alone.

    Returns
    -------
    (d, m, k) ndarray of int64
        Of the k patches in the order of `nnunet_ext.arrays.blocks.split`: components; with `holes` also
        holes (2D), or tunnels and cavities (3D).

    Examples
    --------
    A ring in one patch, two voxels in the next:

    >>> image = np.array([[1, 1, 1, 1, 0], [1, 0, 1, 0, 0], [1, 1, 1, 1, 0]], dtype=bool)
    >>> patch_betti_numbers(image[None], (3, 3), holes=True)
    array([[[1, 2]],
    <BLANKLINE>
           [[1, 0]]])
    """
    images, *shape = foreground.shape
    boxes = split(whole(shape), edges)
    patches = _numbers(images, shape, edges)
    total = images * len(boxes)
    components = _components(foreground, patches, total)
    if not holes:
        return components.reshape(1, images, -1)
    rim = np.zeros(shape, bool)
    for axis, edge in enumerate(edges):
        rim |= _ends(shape, axis, edge)
    enclosed = _components(~foreground, patches, total, 1, rim)
    if len(shape) == 2:
        return np.stack([components, enclosed]).reshape(2, images, -1)
    euler = [int(euler_number(image[box], 3)) for image in foreground for box in boxes]
    return np.stack([components, components + enclosed - euler, enclosed]).reshape(3, images, -1)


def _numbers(images: int, shape: Sequence[int], edges: Sequence[int]) -> NDArray[np.uint32]:
    """1 and up: the patch that a voxel is in, different ones in different images."""
    counts = [-(-length // edge) for length, edge in zip(shape, edges, strict=True)]
    numbers = np.zeros((), np.uint32)
    for length, edge, count in zip(shape, edges, counts, strict=True):
        numbers = numbers[..., None] * np.uint32(count) + (np.arange(length, dtype=np.uint32) // edge)
    first = np.arange(images, dtype=np.uint32) * prod(counts) + 1
    return numbers + first.reshape(-1, *(1,) * len(shape))


def _ends(shape: Sequence[int], axis: int, edge: int) -> NDArray[np.bool_]:
    """Whether a voxel is the first or the last one of its patch along an axis; broadcasts to `shape`."""
    place = np.arange(shape[axis])
    ends = (place % edge == 0) | (place % edge == edge - 1) | (place == shape[axis] - 1)
    return ends.reshape([-1 if a == axis else 1 for a in range(len(shape))])


def _components(
    there: NDArray[np.bool_],
    patches: NDArray[np.uint32],
    total: int,
    connectivity: int | None = None,
    rim: NDArray[np.bool_] | None = None,
) -> IntArray:
    """Number of components of a mask in every patch; with `rim` only of those that do not touch it."""
    # One image under the other: voxels of different patches are of different labels, and never connected.
    labels = (patches * there).reshape(-1, *there.shape[2:])
    components, count = label_components(labels, connectivity)
    if not count:
        return np.zeros(total, np.int64)
    patch = labels.reshape(-1)[first_and_size(components, count)[0]]
    if rim is not None:
        patch[components.reshape(there.shape)[:, rim]] = 0
    return np.bincount(patch[1:], minlength=total + 1)[1:]
