"""What image and labels of a case look like: labels that are an image, a background that has an id, copies.

Folders are mixed up easily, and everything that follows would run all the same. What a case looks like is
taken here, case by case; what that says of all of them together is judged by ``engine/doubts.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGEST = 2**20  # voxels of a case that are looked at closely
_SPECK = 4  # voxels: no cell is as small as the typical piece of noise
_GRAIN = 8  # voxels: the same, where every value has many pieces
_FEW = 16  # values: fewer may be classes
_FRAGMENT = 0.2  # of what has this value: a typical piece of an instance is most of it
_SIDES = 0.5  # of the voxels at the sides of the image, most of which are background
_FLAT = 0.8  # of neighbouring voxels, which are equal in label maps only


@dataclass(frozen=True)
class Look:
    """What a case looks like, in numbers and words that JSON can hold.

    Attributes
    ----------
    image, label : str
        Digests of the values, whatever their type and the format of the file; "" for a single value, and
        where there are no labels.
    number : int or None
        Number of ids; None where they were not looked at.
    background : float
        Part of the voxels that are 0.
    outside : int
        The id that is most of the image and of its sides, as the background is; 0 if there is none.
    fragments : str
        What the labels look like instead of instances: "noise", "reused ids", or "".
    is_image : bool
        Whether the labels are the image itself.
    is_flat : bool
        Whether the image consists of areas of one value, as label maps do.
    """

    image: str = ""
    label: str = ""
    number: int | None = None
    background: float = 1.0
    outside: int = 0
    fragments: str = ""
    is_image: bool = False
    is_flat: bool = False


def look_at(pixels: NDArray[Any], ids: NDArray[Any] | None) -> Look:
    """Look at image and instance ids of a case.

    Parameters
    ----------
    pixels : ndarray
        The image, (channels, *spatial), real numbers.
    ids : ndarray or None
        The instance ids as the file holds them, (*spatial), 0 = background.
    """
    image, is_flat = digest(pixels), _is_flat(pixels)
    if ids is None:
        return Look(image, is_flat=is_flat)
    sample = ids[tuple(slice(None, None, -(-size // 512)) for size in ids.shape)]  # at most 512 along an axis
    values, counts = np.unique(sample, return_counts=True)
    return Look(
        image,
        digest([ids]),
        int(np.count_nonzero(values)),
        1 - np.count_nonzero(ids) / ids.size,
        _outside(ids, values, counts),
        _fragments(ids),
        any(np.array_equal(channel, ids) for channel in pixels) and len(values) > 1,
        is_flat,
    )


def digest(channels: Sequence[NDArray[Any]] | NDArray[Any]) -> str:
    """Return a digest of values and shape, the same for every type that holds them; "" for a single value."""
    if all(channel.min() == channel.max() for channel in channels):
        return ""
    found = hashlib.blake2b(digest_size=16)
    for channel in channels:
        found.update(str(channel.shape).encode())
        for plane in channel:
            found.update(np.ascontiguousarray(plane, "<f8").tobytes())
    return found.hexdigest()


def _outside(ids: NDArray[Any], values: NDArray[Any], counts: NDArray[np.intp]) -> int:
    """Return the id that lies where the background does: most of the image, and of each of its sides."""
    largest = values[counts.argmax()]
    if not largest or len(values) < 2 or 2 * counts.max() <= counts.sum():
        return 0
    sides = [np.take(ids, place, axis) for axis in (-2, -1) for place in (0, -1)]
    return int(largest) if min(np.mean(side == largest) for side in sides) > _SIDES else 0


def _fragments(ids: NDArray[Any]) -> str:
    """Say what labels are whose values lie in many pieces: "noise" of specks, "reused ids", or ""."""
    from nnunet_ext.arrays.components import label_components

    part = _middle(ids)
    values, counts = np.unique(part[part != 0], return_counts=True)
    if len(values) < 3:
        return ""
    sizes = np.sort(np.bincount(label_components(part)[0].ravel())[1:])
    typical = sizes[
        np.searchsorted(np.cumsum(sizes), sizes.sum() / 2)
    ]  # half of the voxels lie in larger ones
    is_dense, is_scattered = counts.sum() > 0.3 * part.size, len(sizes) >= 5 * len(values)
    if (is_dense and typical <= _SPECK) or (is_scattered and typical <= _GRAIN):
        return "noise"
    if len(values) < _FEW or typical >= _FRAGMENT * counts.mean():
        return ""
    return "noise" if np.median(sizes) <= _SPECK else "reused ids"


def _middle(ids: NDArray[Any]) -> NDArray[Any]:
    """Return a block of bounded size from the middle of what is labelled."""
    ends = []
    for axis in range(ids.ndim):
        others = tuple(i for i in range(ids.ndim) if i != axis)
        there = np.flatnonzero((ids != 0).any(axis=others))
        ends.append((int(there[0]), int(there[-1]) + 1) if len(there) else (0, 1))
    side = max(1, int(_LARGEST ** (1 / ids.ndim)))
    box = []
    for first, last in ends:
        start = first + max(0, last - first - side) // 2
        box.append(slice(start, min(last, start + side)))
    return np.ascontiguousarray(ids[tuple(box)])


def _is_flat(pixels: NDArray[Any]) -> bool:
    """Tell whether neighbouring voxels that are not 0 are equal, nearly all of them, and not all of them."""
    if pixels.dtype.kind not in "bui" or len(pixels) != 1:
        return False
    part = _middle(pixels[0])
    equal = pairs = 0
    for axis in range(part.ndim):
        one, other = np.moveaxis(part, axis, 0)[1:], np.moveaxis(part, axis, 0)[:-1]
        both = (one != 0) & (other != 0)
        equal += np.count_nonzero(both & (one == other))
        pairs += np.count_nonzero(both)
    return bool(pairs and equal > _FLAT * pairs and part.min() != part.max())
