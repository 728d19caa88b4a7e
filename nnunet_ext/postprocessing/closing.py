"""Binary closing of predicted labels: gaps narrower than a cube are filled.

Once is enough: a closing of what is closed changes nothing, and n dilations followed by n erosions are one
closing with a cube of edge n (size - 1) + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import grey_closing

BACKGROUND = 0


@dataclass(frozen=True)
class Structure:
    """A class or region to close.

    Attributes
    ----------
    name : str
        As in dataset.json.
    labels : tuple of int
        What it is made of: one label, or those of a region.
    own : int
        What a voxel gets that it gains.
    """

    name: str
    labels: tuple[int, ...]
    own: int


@dataclass(frozen=True)
class Closed:
    """What closing did.

    Attributes
    ----------
    labels : ndarray
        Like those given.
    gained : dict
        Structure -> voxels that it has more.
    refused : dict
        Structure -> voxels of its closing that another one has, or took first, and keeps.
    """

    labels: NDArray[Any]
    gained: dict[str, int]
    refused: dict[str, int]


def binary_closing(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Dilation and erosion with a cube, as if there were background beyond the border.

    Parameters
    ----------
    mask : ndarray of bool
        (y, x) or (z, y, x).
    size : int
        Edge of the cube in voxels, odd.

    Returns
    -------
    ndarray of bool
        The mask and more: gaps of up to `size` - 1 voxels are filled.

    Examples
    --------
    >>> binary_closing(np.array([[1, 0, 0, 1, 0, 0, 0, 1]], bool), 3).astype(int)
    array([[1, 1, 1, 1, 0, 0, 0, 1]])
    """
    # SciPy's binary_closing takes voxels away at the border; with room around, nothing reaches it.
    padded = np.pad(mask.astype(np.uint8), size // 2)
    inside = tuple(slice(size // 2, size // 2 + edge) for edge in mask.shape)
    closed: NDArray[np.bool_] = grey_closing(padded, (size,) * mask.ndim)[inside] > 0
    return closed


def close_labels(labels: NDArray[Any], structures: Sequence[Structure], size: int = 3) -> Closed:
    """Close each structure, one after the other, without taking voxels from another.

    A structure gains background, and voxels of a region that it is a part of.

    Parameters
    ----------
    labels : ndarray of int
        (y, x) or (z, y, x); not changed.
    structures : sequence of Structure
        In the order in which they are closed: where two want a voxel the first one has it.
    size : int
        Edge of the cube in voxels, odd, 3 or more.

    Returns
    -------
    Closed

    Raises
    ------
    ValueError
        If `size` is even or below 3.

    Examples
    --------
    >>> close_labels(np.array([[1, 0, 1, 0, 2]]), [Structure("a", (1,), 1), Structure("b", (2,), 2)]).labels
    array([[1, 1, 1, 0, 2]])
    """
    if size < 3 or size % 2 == 0:
        raise ValueError(f"size is an odd number of voxels, 3 or more; got {size}")
    current = labels.copy()
    refused = {}
    for structure in structures:
        inside = np.isin(current, structure.labels)
        more = binary_closing(inside, size) & ~inside
        free = more & np.isin(current, _free_for(structure, structures))
        refused[structure.name] = int(more.sum() - free.sum())
        current[free] = structure.own
    gained = {
        each.name: int(np.isin(current, each.labels).sum() - np.isin(labels, each.labels).sum())
        for each in structures
    }
    return Closed(current, gained, refused)


def _free_for(structure: Structure, structures: Sequence[Structure]) -> list[int]:
    """Labels of voxels that a structure may gain."""
    own = set(structure.labels)
    around = [set(each.labels) for each in structures if own < set(each.labels)]
    return sorted({BACKGROUND}.union(*around) - own)
