"""The semantic map of class probabilities: most probable class or thresholds, and what a gap becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.blocks import Box, block_edges, split, whole, workplace
from nnunet_ext.arrays.semantic_classes import CELL, TOUCHING

#: One array per class: background, cell, and perhaps touching and gap.
Channels: TypeAlias = Sequence[NDArray[Any]]

GAPS = ("background", "second", "uniform")
_DEFAULT_GAMMA = 0.5


def semantic_from_probabilities(
    p: NDArray[Any] | Channels,
    method: Literal["map", "threshold"] = "map",
    *,
    gap: Literal["background", "second", "uniform"] = "background",
    gamma_touching: float | None = None,
    gamma_cell: float | None = None,
    threads: int | None = None,
) -> NDArray[np.uint8]:
    """Decide for background, cell or touching in every voxel.

    Parameters
    ----------
    p : (C, M, N[, P]) ndarray of float16, float32 or float64, or sequence of C arrays
        Probabilities of background, cell, touching, gap in this order. C = 3: no gap. C = 2: no
        touching either. A `numpy.memmap` is read block by block.
    method : str
        ``"map"``: the most probable class; of equals the first. ``"threshold"``: touching where
        p_touching > `gamma_touching`, else cell where p_cell > `gamma_cell`, else background.
    gap : str
        Where the gap is more probable than each other class:

        * ``"background"``: background.
        * ``"second"``: the method decides by the other classes.
        * ``"uniform"``: everywhere the other classes are renormalised to a sum of 1, then the method
          decides. For ``"map"`` that is the same as ``"second"``.
    gamma_touching, gamma_cell : float, optional
        Thresholds of ``"threshold"``, default 0.5, the majority. The paper chose both on its data and
        prints no values; a lower `gamma_touching` separates more cells.
    threads : int, optional
        Blocks in work at a time. Default: one per core of the machine.

    Returns
    -------
    (M, N[, P]) ndarray of uint8
        0 background, 1 cell, 2 touching.

    Raises
    ------
    ValueError
        If an argument is not as above.

    References
    ----------
    MAP and gap: Guerrero-Peña et al. J Regularization Improves Imbalanced Multiclass Segmentation. ISBI
    (2020), "Gap assignment". Thresholds: Guerrero-Peña et al. Multiclass Weighted Loss for Instance
    Segmentation of Cluttered Cells. ICIP (2018), Algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> p = np.array([[[0.6, 0.1, 0.1, 0.1]],   # background
    ...               [[0.3, 0.6, 0.3, 0.3]],   # cell
    ...               [[0.1, 0.2, 0.4, 0.2]],   # touching
    ...               [[0.0, 0.1, 0.2, 0.4]]])  # gap
    >>> semantic_from_probabilities(p)
    array([[0, 1, 2, 0]], dtype=uint8)
    >>> semantic_from_probabilities(p, gap="second")
    array([[0, 1, 2, 1]], dtype=uint8)
    """
    channels = check_probabilities(p)
    decide = decision(method, gap, gamma_touching, gamma_cell)
    place = workplace(threads, None)
    semantic = np.zeros(channels[0].shape, np.uint8)

    def work(box: Box) -> None:
        semantic[box] = decide([channel[box] for channel in channels])

    for _ in place.each(work, split(whole(semantic.shape), block_edges(None, semantic.ndim))):
        pass
    return semantic


@dataclass(frozen=True)
class Decision:
    """A way to decide, with all its parameters; called with the channels of a block."""

    gap: str
    thresholds: tuple[float, float] | None

    def __call__(self, p: Channels) -> NDArray[np.uint8]:
        """Return 0, 1 or 2 for every voxel."""
        semantic, highest = _most_probable(p[:3])
        if self.thresholds is not None:
            semantic = self._over_threshold(p)
        if self.gap == "background" and len(p) == 4:
            semantic[comparable(p[3]) > highest] = 0
        return semantic

    def _over_threshold(self, p: Channels) -> NDArray[np.uint8]:
        assert self.thresholds is not None
        gammas = dict(zip((TOUCHING, CELL), self.thresholds, strict=True))
        # Compare with a share of the sum rather than divide by it: it may be 0.
        total = sum_without_gap(p) if self.gap == "uniform" and len(p) == 4 else None
        semantic = np.zeros(p[0].shape, np.uint8)
        for label in (CELL, TOUCHING)[: len(p) - 1]:  # touching last: it comes first in Algorithm 2
            bound = gammas[label] if total is None else gammas[label] * total
            semantic[comparable(p[label]) > bound] = label
        return semantic


def decision(method: str, gap: str, gamma_touching: float | None, gamma_cell: float | None) -> Decision:
    """Check the arguments of the public functions and return the decision they describe."""
    check_choice("method", method, ("map", "threshold"))
    check_choice("gap", gap, GAPS)
    if method == "threshold":
        return Decision(gap, (gamma("touching", gamma_touching), gamma("cell", gamma_cell)))
    if gamma_touching is not None or gamma_cell is not None:
        raise ValueError("gamma_touching and gamma_cell: method 'map' has no parameters")
    return Decision(gap, None)


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise `ValueError` unless `value` is among `choices`."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


def gamma(name: str, value: float | None) -> float:
    """Return a threshold between 0 and 1, the default where None."""
    if value is None:
        return _DEFAULT_GAMMA
    if not 0 <= value <= 1:
        raise ValueError(f"gamma_{name}: expected 0 to 1, got {value}")
    return float(value)


def check_probabilities(p: NDArray[Any] | Channels) -> list[NDArray[Any]]:
    """Return the channels; a `ValueError` unless they are 2 to 4 real arrays of one shape in 2D or 3D."""
    channels = list(p)
    shapes = {channel.shape for channel in channels}
    if len(channels) not in (2, 3, 4) or len(shapes) > 1 or channels[0].ndim not in (2, 3):
        got = (len(channels), *channels[0].shape) if len(shapes) == 1 else f"channels of {shapes or 'none'}"
        raise ValueError(
            f"p: expected (C, y, x) or (C, z, y, x) with C = 2 to 4 classes (background, cell, touching, "
            f"gap), got {got}"
        )
    for channel in channels:
        if channel.dtype.kind != "f":
            raise ValueError(f"p: expected probabilities as floating point, got {channel.dtype}")
    return channels


def comparable(p: NDArray[Any]) -> NDArray[Any]:
    """Return `p` in a type that numpy compares fast: half precision as single."""
    return p.astype(np.float32) if p.dtype == np.float16 else p


def sum_without_gap(p: Channels) -> NDArray[Any]:
    """Sum of the probabilities of all classes but the gap."""
    total = comparable(p[0]).copy()
    for other in p[1:3]:
        total += other
    return total


def _most_probable(p: Channels) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Argmax and maximum over the classes; one class after the other, faster than numpy's."""
    highest = comparable(p[0]).copy()
    label = np.zeros(highest.shape, np.uint8)
    for index in range(1, len(p)):
        challenger = comparable(p[index])
        label[challenger > highest] = index
        np.fmax(highest, challenger, out=highest)
    return label, highest
