"""Persistent homology of images: where components, holes, tunnels and cavities are born, and where they die.

Voxels enter a growing set from the highest value to the lowest. A voxel that touches nothing gives birth to a
component; where two meet, the younger one dies (elder rule). Equal values enter in raster order, so that no
result depends on chance.

Components are not followed voxel by voxel. First every voxel is led uphill to its peak. What is left is a
graph of peaks, an edge being a voxel at which two of them meet; most peaks meet an older one first, and are
dealt with at once. All of it is array arithmetic.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError

IntArray = NDArray[np.int64]
Step = list[tuple[int, int]]  # per axis: -1, 0 or 1, and the stride in the flat array

NEVER = np.iinfo(np.int64).max


def persistence_pairs(
    values: NDArray[np.floating], dimension: int = 0, counted: NDArray[np.bool_] | None = None
) -> tuple[IntArray, IntArray]:
    """Births and deaths of one kind of feature, while a set of voxels grows from high values to low ones.

    The foreground is fully connected (8 or 26 neighbours), the background has the dual connectivity (4 or 6),
    and outside of the image there is background, as in `nnunet_ext.metrics.betti_numbers`: at any level as
    many features are alive as that counts in the voxels above it.

    Parameters
    ----------
    values : (M, N[, P]) ndarray of float32 or float64
        The image.
    dimension : int
        0 components; 1 holes in 2D, tunnels in 3D; 2 cavities (3D).
    counted : ndarray of bool, optional
        Shape of `values`. The other voxels never enter, they stay background: walls of such voxels keep
        several images in one array apart. Default: all that are not NaN.

    Returns
    -------
    birth, death : (k,) ndarray of int64
        Flat indices into `values`: the voxel with which a feature comes into being, and the one with which it
        merges into an older one (components) or is filled (the others). -1 where it never dies. Features that
        die at the value they were born at are left out.

    Raises
    ------
    ValueError
        If the image is not 2D or 3D, or does not have features of that dimension.
    UserError
        For tunnels, if gudhi is not installed.

    References
    ----------
    Edelsbrunner, Harer. Computational Topology: An Introduction (2010), chapter VII. Holes and cavities are
    the components of the background, followed in the opposite direction (Alexander duality). Tunnels: the
    cubical complexes of GUDHI, https://gudhi.inria.fr.

    Examples
    --------
    Two peaks, 9 and 7, that meet at 4; the higher one never dies:

    >>> birth, death = persistence_pairs(np.array([[9.0, 4.0, 7.0, 0.0]]))
    >>> birth, death
    (array([0, 2]), array([-1,  1]))
    """
    axes = values.ndim
    if axes not in (2, 3) or not 0 <= dimension < axes:
        raise ValueError(f"expected a 2D or 3D image and a dimension below that; got {axes}D and {dimension}")
    there = ~np.isnan(values) if counted is None else counted
    padded, part = (np.pad(a, 1) for a in (values, there))
    order = _order_of_entry(padded.reshape(-1), part.reshape(-1))
    if dimension == 0:
        birth, death = _components(order, padded.shape, axes)
    elif dimension == axes - 1:
        death, birth = _components(order[::-1], padded.shape, 1)  # of the background
    else:
        birth, death = _tunnels(order, padded.shape)
    return _lasting(birth, death, padded, part)


def _lasting(
    birth: IntArray, death: IntArray, padded: NDArray[np.floating], part: NDArray[np.bool_]
) -> tuple[IntArray, IntArray]:
    """Features that are born at a counted voxel and last, with indices into the image without margin.

    What dies at a voxel that does not count, which entered after all the others, never dies.
    """
    values, counted = padded.reshape(-1), part.reshape(-1)
    birth, death = (np.where((v >= 0) & counted[v], v, -1) for v in (birth, death))
    lasts = (birth >= 0) & ((death < 0) | (values[birth] != values[death]))
    return _without_margin(birth[lasts], padded.shape), _without_margin(death[lasts], padded.shape)


def _without_margin(voxels: IntArray, shape: tuple[int, ...]) -> IntArray:
    """Flat indices into the image without its margin of one voxel; -1 stays."""
    found = np.full(voxels.size, -1)
    place = np.unravel_index(voxels[voxels >= 0], shape)
    found[voxels >= 0] = np.ravel_multi_index([p - 1 for p in place], [n - 2 for n in shape])
    return found


def _order_of_entry(values: NDArray[np.floating], counted: NDArray[np.bool_]) -> IntArray:
    """Flat indices from the highest value to the lowest, of equal ones the first; those not counted last."""
    voxels = np.flatnonzero(counted)
    values = values[voxels]
    if values.dtype == np.float32 and counted.size <= 2**32:
        # Value and index in one number: sorted several times faster than indices by their values.
        bits = (values + np.float32(0)).view(np.int32)  # + 0: -0.0 becomes 0.0
        if voxels.size and bits.min() < 0:
            bits = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)  # whole numbers in the order of the values
        words = np.negative(bits, dtype=np.int64)
        words <<= 32
        words |= voxels
        words.sort()
        voxels = np.bitwise_and(words, 2**32 - 1, out=words)
    else:
        voxels = voxels[np.argsort(-values, kind="stable")]
    return np.concatenate([voxels, np.flatnonzero(~counted)])


def _components(order: IntArray, shape: tuple[int, ...], connectivity: int) -> tuple[IntArray, IntArray]:
    """Where components are born and die while voxels enter in this order; -1 for the one that is left."""
    time = np.empty(order.size, np.int32 if order.size < 2**31 else np.int64)
    time[order] = np.arange(order.size)
    steps = _steps(np.cumprod((1, *shape[:0:-1]))[::-1].tolist(), connectivity)
    peak = _follow(order[_earliest_neighbour(time, steps)])
    born = np.sort(time[peak == np.arange(peak.size)])
    number = np.zeros(order.size, time.dtype)  # of a peak by age, 0 the oldest
    number[order[born]] = np.arange(born.size)
    death = _elder_rule(*_meetings(number[peak], time, steps, connectivity), born.size)
    never = death == NEVER
    return order[born], np.where(never, -1, order[np.where(never, 0, death)])


def _steps(strides: list[int], connectivity: int) -> list[Step]:
    """Steps to half of a voxel's neighbours, along each axis in the flat array; the others are opposite."""
    axes = len(strides)
    steps = (s for s in product((-1, 0, 1), repeat=axes) if np.abs(s).sum() <= connectivity)
    along = ([(s, stride) for s, stride in zip(step, strides, strict=True)] for step in steps)
    return [step for step in along if _length(step) > 0]


def _length(step: Step) -> int:
    """Distance in the flat array."""
    return sum(s * stride for s, stride in step)


def _earliest_neighbour(time: NDArray[Any], steps: list[Step]) -> NDArray[Any]:
    """The earliest time among a voxel's neighbours and its own."""
    earliest = time.copy()
    for d in map(_length, steps):
        np.minimum(earliest[d:], time[:-d], out=earliest[d:])
        np.minimum(earliest[:-d], time[d:], out=earliest[:-d])
    return earliest


def _earliest_around(time: NDArray[Any], step: Step) -> NDArray[Any]:
    """The earliest time of a voxel, the one a step further on, and all that touch both, fully connected."""
    around = time
    for s, stride in step:
        wider = around.copy()
        if s <= 0:
            np.minimum(wider[stride:], around[:-stride], out=wider[stride:])
        if s >= 0:
            np.minimum(wider[:-stride], around[stride:], out=wider[:-stride])
        around = wider
    return around


def _follow(pointer: IntArray) -> IntArray:
    """Where each pointer leads in the end."""
    while True:
        further = pointer[pointer]
        if np.array_equal(further, pointer):
            return pointer
        pointer = further


def _meetings(
    basin: NDArray[Any], time: NDArray[Any], steps: list[Step], connectivity: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Pairs of basins that touch, and when: the time at which the later one of the two voxels enters.

    Two voxels that touch one which is there before both have met by way of it; they are left out.
    """
    ones, others, times = [], [], []
    for step in steps:
        d = _length(step)
        apart = basin[:-d] != basin[d:]
        if connectivity > 1:
            apart &= _earliest_around(time, step)[:-d] >= np.minimum(time[:-d], time[d:])
        at = np.flatnonzero(apart)
        ones.append(basin[at])
        others.append(basin[at + d])
        times.append(np.maximum(time[at], time[at + d]))
    one, other, when = (np.concatenate(parts).astype(np.int64) for parts in (ones, others, times))
    return one, other, when


def _elder_rule(ones: IntArray, others: IntArray, times: IntArray, count: int) -> IntArray:
    """When each of `count` components, numbered by age, merges into an older one; `NEVER` if none does.

    Until its first meeting a component is alone. If it meets an older one there, it dies: all that do so are
    dealt with at once, and their further meetings are from then on those of the ones they have merged into.
    """
    death = np.full(count, NEVER)
    while ones.size:
        older, younger, times = _first_meetings(np.minimum(ones, others), np.maximum(ones, others), times)
        first = np.full(count, NEVER)
        np.minimum.at(first, older, times)
        np.minimum.at(first, younger, times)
        dies = times == first[younger]
        into = np.arange(count)
        np.minimum.at(into, younger[dies], older[dies])
        death[younger[dies]] = times[dies]
        into = _follow(into)
        ones, others = into[older], into[younger]
        apart = ones != others
        ones, others, times = ones[apart], others[apart], times[apart]
    return death


def _first_meetings(
    older: IntArray, younger: IntArray, times: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """The first meeting of every pair, as far as the three numbers fit into one, which sorts fast."""
    bits, time_bits = int(younger.max()).bit_length(), int(times.max()).bit_length()
    if 2 * bits + time_bits > 63:
        return older, younger, times
    words = np.sort((older << (bits + time_bits)) | (younger << time_bits) | times)
    pair = words >> time_bits
    words = words[np.concatenate([[True], pair[1:] != pair[:-1]])]
    pair = words >> time_bits
    return pair >> bits, pair & ((1 << bits) - 1), words & ((1 << time_bits) - 1)


def _tunnels(order: IntArray, shape: tuple[int, ...]) -> tuple[IntArray, IntArray]:
    """Where tunnels are born and die while voxels enter in this order."""
    time = np.empty(order.size)
    time[order] = np.arange(order.size)
    cubes = _gudhi().CubicalComplex(top_dimensional_cells=time.reshape(shape))
    cubes.compute_persistence(homology_coeff_field=2)
    pairs = cubes.cofaces_of_persistence_pairs()[0]
    if len(pairs) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    place = np.unravel_index(pairs[1].T, shape, order="F")  # gudhi counts along the first axis first
    ends = np.asarray(np.ravel_multi_index(place, shape))
    return ends[0], ends[1]


def check_holes(axes: int) -> None:
    """Raise a `UserError` if the holes of images with that many axes cannot be found here.

    Those of 2D images always can be; the tunnels of 3D images need the package gudhi.
    """
    if axes == 3:
        _gudhi()


def _gudhi() -> Any:
    try:
        import gudhi
    except ImportError as error:
        raise UserError(
            "Tunnels, the holes of 3D images, need gudhi, which is not installed: "
            "pip install 'nnunet-ext[topo]', or go without holes"
        ) from error
    return gudhi
