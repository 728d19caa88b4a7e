"""One case of several models as arrays: what a picture or a list of mistakes is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["classes", "instances"]


@dataclass(frozen=True)
class CaseView:
    """Image, truth and predictions of one case, on one grid.

    Attributes
    ----------
    case : str
        Its id.
    image : ndarray or None
        (y, x) or (z, y, x) grey, or (y, x, 3) colours from 0 to 255.
    reference : ndarray of int
        (y, x) or (z, y, x): labels, or instance ids; 0 is background.
    predictions : mapping
        Name of the model -> its map, of the same shape.
    class_names : mapping
        Label, or labels of a region -> name, of the foreground; empty for instances.
    spacing : tuple of float or None
        Edges of a voxel in the order of the axes; None where the files do not state it.
    kind : {"classes", "instances"}
        What the maps hold.
    ignored : ndarray of bool, optional
        True where nobody judged.
    """

    case: str
    image: NDArray[Any] | None
    reference: NDArray[Any]
    predictions: Mapping[str, NDArray[Any]]
    class_names: Mapping[int | tuple[int, ...], str]
    spacing: tuple[float, ...] | None
    kind: Kind = "classes"
    ignored: NDArray[np.bool_] | None = None
