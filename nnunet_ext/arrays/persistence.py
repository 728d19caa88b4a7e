"""Persistent homology of images: where components, holes, tunnels and cavities are born, and where they die.

Voxels enter a growing set from the highest value to the lowest. A voxel that touches nothing gives birth to a
component; where two meet, the younger one dies (elder rule). Equal values enter in raster order, so that no
result depends on chance.

Components are not followed voxel by voxel. The image becomes a graph, its edges the times at which two nodes
meet. Most nodes meet an older one first; they are dealt with at once, again and again until no two meet any
more. All of it is array arithmetic.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError

IntArray = NDArray[np.int64]

NEVER = np.iinfo(np.int64).max
_INDEX = 2**32 - 1  # the lower half of a time
_NOT_COUNTED = (2**31 - 1) << 32  # from then on only voxels enter that do not count


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
    margin = [(1, 1 + n % 2) for n in values.shape]  # that makes every length even
    padded, part = np.pad(values, margin), np.pad(there, margin)
    time = _times_of_entry(padded.reshape(-1), part.reshape(-1)).reshape(padded.shape)
    if dimension == 0:
        birth, death = _components(time, axes)
    elif dimension == axes - 1:
        begin, end = _components(~time, 1)  # of the background, to which the voxels return
        birth, death = ~end[end < NEVER], ~begin[end < NEVER]
    else:
        birth, death = _tunnels(time)
    lasts = (birth < _NOT_COUNTED) & (birth >> 32 != death >> 32)
    birth, death = birth[lasts], death[lasts]
    return _place(birth, padded.shape, values.shape), _place(death, padded.shape, values.shape)


def _place(time: IntArray, padded: tuple[int, ...], shape: tuple[int, ...]) -> IntArray:
    """Flat indices into the image without margin of the voxels that enter then; -1 if they do not count."""
    place = np.full(time.size, -1)
    counted = np.flatnonzero(time < _NOT_COUNTED)
    if counted.size:
        coordinates = np.unravel_index(time[counted] & _INDEX, padded)
        place[counted] = np.ravel_multi_index([c - 1 for c in coordinates], shape)
    return place


def _times_of_entry(values: NDArray[np.floating], counted: NDArray[np.bool_]) -> IntArray:
    """When each voxel enters: the upper half of a time comes from its value, the lower one is its index."""
    if values.dtype == np.float32:
        bits = (values + np.float32(0)).view(np.int32)  # + 0: -0.0 becomes 0.0
        level = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)  # whole numbers in the order of the values
    else:
        level = np.unique(values, return_inverse=True)[1].reshape(-1)
    time = np.negative(level, dtype=np.int64)
    np.copyto(time, _NOT_COUNTED >> 32, where=~counted)
    time <<= 32
    time |= np.arange(time.size)
    return time


def _components(time: IntArray, connectivity: int) -> tuple[IntArray, IntArray]:
    """When components are born and die while voxels enter.

    With full connectivity all voxels of a block of 2 × 2 (× 2) touch each other: from the first of them on, a
    block is one node of the graph. Otherwise every voxel is a node.
    """
    # As in `_elder_rule`, of all nodes at once; there are no lists of meetings yet.
    birth = _first_of(time, (0,) * time.ndim, connectivity).reshape(-1)
    meetings = _meetings(time, connectivity)
    first = np.full(birth.size, NEVER)
    for d, when in meetings:
        np.minimum(first[:-d], when, out=first[:-d])
        np.minimum(first[d:], when, out=first[d:])
    nodes = np.arange(birth.size)
    into = nodes.copy()
    for d, when in meetings:
        older = birth[:-d] < birth[d:]
        np.copyto(into[d:], nodes[:-d], where=older & (when == first[d:]))
        np.copyto(into[:-d], nodes[d:], where=~older & (when == first[:-d]))
    left = np.flatnonzero(into == nodes)
    left = left[np.argsort(birth[left])]
    nodes[left] = np.arange(left.size)  # by age
    number = nodes[_follow(into)]
    death = first
    death[left] = _elder_rule(*_between(number, meetings), left.size)
    return birth, death


def _between(number: IntArray, meetings: list[tuple[int, IntArray]]) -> tuple[IntArray, IntArray, IntArray]:
    """Of the meetings of nodes, those of different numbers: the two, and when."""
    ones, others, times = [], [], []
    for d, when in meetings:
        at = np.flatnonzero(number[:-d] != number[d:])
        ones.append(number[at])
        others.append(number[at + d])
        times.append(when[at])
    return np.concatenate(ones), np.concatenate(others), np.concatenate(times)


def _meetings(time: IntArray, connectivity: int) -> list[tuple[int, IntArray]]:
    """For each step to half of a node's neighbours: its length in the flat array, and when the two meet."""
    shape = time.shape if connectivity == 1 else tuple(n // 2 for n in time.shape)
    strides = np.cumprod((1, *shape[:0:-1]))[::-1]
    found = []
    for step in product((-1, 0, 1), repeat=time.ndim):
        d = int(strides @ step)
        if d > 0 and np.abs(step).sum() <= connectivity:
            one = _first_of(time, step, connectivity).reshape(-1)
            other = _first_of(time, tuple(-s for s in step), connectivity).reshape(-1)
            found.append((d, np.maximum(one[:-d], other[d:])))
    return found


def _first_of(time: IntArray, step: tuple[int, ...], connectivity: int) -> IntArray:
    """When the first voxel of each node enters, of those that touch the next node in that direction."""
    if connectivity == 1:
        return time
    for axis, s in enumerate(step):
        halves = [time[(slice(None),) * axis + (slice(h, None, 2),)] for h in (0, 1)]
        time = np.minimum(*halves) if s == 0 else halves[s > 0]
    return time


def _follow(pointer: IntArray) -> IntArray:
    """Where each pointer leads in the end."""
    while True:
        further = pointer[pointer]
        if np.array_equal(further, pointer):
            return pointer
        pointer = further


def _elder_rule(ones: IntArray, others: IntArray, times: IntArray, count: int) -> IntArray:
    """When each of `count` components, numbered by age, merges into an older one; `NEVER` if none does.

    Until its first meeting a component is alone. If it meets an older one there, it dies: all that do so are
    dealt with at once, and their further meetings are from then on those of the ones they have merged into.
    """
    in_order = np.argsort(times)
    times = times[in_order]
    rank = np.empty_like(in_order)
    rank[in_order] = np.arange(in_order.size)
    death = np.full(count, rank.size)
    while ones.size:
        older, younger, rank = _first_meetings(np.minimum(ones, others), np.maximum(ones, others), rank)
        first = np.full(count, times.size)
        np.minimum.at(first, older, rank)
        np.minimum.at(first, younger, rank)
        dies = rank == first[younger]
        into = np.arange(count)
        into[younger[dies]] = older[dies]
        death[younger[dies]] = rank[dies]
        into = _follow(into)
        ones, others = into[older], into[younger]
        apart = ones != others
        ones, others, rank = ones[apart], others[apart], rank[apart]
    return np.append(times, NEVER)[death]


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


def _tunnels(time: IntArray) -> tuple[IntArray, IntArray]:
    """When tunnels are born and die while voxels enter."""
    flat = np.sort(time, axis=None)
    cubes = _gudhi().CubicalComplex(top_dimensional_cells=np.searchsorted(flat, time).astype(float))
    cubes.compute_persistence(homology_coeff_field=2)
    pairs = cubes.cofaces_of_persistence_pairs()[0]
    if len(pairs) < 2:
        return flat[:0], flat[:0]
    birth, death = time.ravel(order="F")[pairs[1].T]  # gudhi counts along the first axis first
    return birth, death


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
