"""Which axis of an array is space and which holds the channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

#: tifffile's letters for axes it knows nothing about: "other", a sequence of pages, planes of samples
_UNKNOWN = "QIS"
DROPPED = "-"


def name_axes(axes: str, shape: Sequence[int], dimension: int | None = None) -> str:
    """Give each axis one of the letters C, Z, Y, X, or "-" where it is dropped because its length is 1.

    Parameters
    ----------
    axes : str
        One letter per axis as tifffile has them. Z, C, Y and X mean what they say and a last S is the
        channels of a colour image. Q, I and a leading S are unknown: the last of them is z, unless
        `dimension` is 2 or z has a name, and one that is left holds the channels.
    shape : sequence of int
        Lengths of the axes.
    dimension : int, optional
        Number of spatial axes, if known: 2 or 3.

    Raises
    ------
    ValueError
        If an axis is neither space nor channels (time, say), or two axes would be the same.

    Examples
    --------
    >>> name_axes("ZCYX", (30, 2, 64, 64)), name_axes("QYX", (30, 64, 64)), name_axes("QYX", (3, 64, 64), 2)
    ('ZCYX', 'ZYX', 'CYX')
    """
    last = len(axes) - 1
    names = [_name(axis, shape[i], is_last=i == last) for i, axis in enumerate(axes)]
    unknown = [i for i, name in enumerate(names) if name == "?"]
    if unknown and "Z" not in names and dimension != 2:
        names[unknown.pop()] = "Z"
    if unknown and "C" not in names:
        names[unknown.pop()] = "C"
    found = [name for name in names if name != DROPPED]
    if unknown or len(set(found)) < len(found) or not {"Y", "X"} <= set(found):
        raise ValueError(f"its axes {axes} of lengths {tuple(shape)} are not those of one 2D or 3D image")
    return "".join(names)


def _name(axis: str, length: int, is_last: bool) -> str:
    if axis in "YX":
        return axis
    if length == 1:
        return DROPPED
    if axis == "S" and is_last:
        return "C"
    if axis in "ZC":
        return axis
    if axis in _UNKNOWN:
        return "?"
    kind = "time axis" if axis == "T" else f"axis {axis}"
    raise ValueError(f"it has a {kind} of length {length}: save one image per file")


def spatial(names: str) -> tuple[int, ...]:
    """Return the positions of z (if there is one), y and x."""
    return tuple(names.index(letter) for letter in "ZYX" if letter in names)


def channels_first(pixels: NDArray[Any], names: str) -> NDArray[Any]:
    """Return a view of shape (channels, *spatial) of an array whose axes `name_axes` has named."""
    dropped = tuple(i for i, name in enumerate(names) if name == DROPPED)
    pixels, names = pixels.squeeze(dropped), names.replace(DROPPED, "")
    if "C" not in names:
        pixels, names = pixels[None], "C" + names
    return pixels.transpose([names.index(letter) for letter in "CZYX" if letter in names])
