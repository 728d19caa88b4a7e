"""Births and deaths: against growing the set voxel by voxel, against Betti numbers, against gudhi."""

import itertools
import sys

import gudhi
import numpy as np
import pytest

from nnunet_ext.arrays import persistence
from nnunet_ext.arrays.persistence import check_holes, persistence_pairs
from nnunet_ext.errors import UserError
from nnunet_ext.metrics import betti_numbers


def neighbours(voxel, full):
    """Those that share a corner, or with `full` False those that share a face, inside the image or not."""
    for step in itertools.product((-1, 0, 1), repeat=len(voxel)):
        if any(step) and (full or sum(map(abs, step)) == 1):
            yield tuple(v + s for v, s in zip(voxel, step, strict=True))


def order_of_entry(values, counted):
    """Voxels from the highest to the lowest value, of equal ones the first; nothing of the others."""
    voxels = [v for v in np.ndindex(values.shape) if counted[v]]
    return sorted(voxels, key=lambda v: -values[v])  # stable


def components_by_growing(values, counted):
    order = order_of_entry(values, counted)
    component, pairs = {}, []  # of a voxel: the one with which its component was born
    for voxel in order:
        touched = {component[u] for u in neighbours(voxel, full=True) if u in component}
        elder = min([*touched, voxel], key=order.index)
        pairs += [(born, voxel) for born in touched if born != elder]
        component[voxel] = elder
        component = {u: elder if born in touched else born for u, born in component.items()}
    return pairs + [(born, None) for born in set(component.values())]


def pieces_of(background):
    """Sets of connected background voxels."""
    left, pieces = set(background), []
    while left:
        piece, found = set(), [left.pop()]
        while found:
            voxel = found.pop()
            piece.add(voxel)
            near = [u for u in neighbours(voxel, full=False) if u in left]
            left.difference_update(near)
            found += near
        pieces.append(piece)
    return pieces


def enclosed_by_growing(values, counted):
    """Holes or cavities: pieces that a voxel cuts off from the background when it enters."""
    order = order_of_entry(values, counted)
    around = itertools.product(*(range(-1, n + 1) for n in values.shape))
    background = set(around)
    when = {voxel: time for time, voxel in enumerate(order)}
    never = len(order)

    def last(piece):
        """The voxel that is filled last; of those that never are the one furthest on."""
        return max(piece, key=lambda v: (when.get(v, never), v))

    pairs, pieces = [], [background]
    for voxel in order:
        (cut,) = (piece for piece in pieces if voxel in piece)
        parts = pieces_of(cut - {voxel})
        pieces = [piece for piece in pieces if piece is not cut] + parts
        for part in parts:
            if last(cut) not in part:
                pairs.append((voxel, last(part) if last(part) in when else None))
    return pairs


def as_indices(pairs, values):
    """Flat indices, without what dies at the value it was born at."""
    flat = {None: -1} | {v: int(np.ravel_multi_index(v, values.shape)) for v in np.ndindex(values.shape)}
    return sorted((flat[b], flat[d]) for b, d in pairs if d is None or values[b] != values[d])


def found(values, dimension, counted=None):
    birth, death = persistence_pairs(values, dimension, counted)
    assert birth.dtype == death.dtype == np.int64
    return sorted(zip(birth.tolist(), death.tolist(), strict=True))


def random_image(rng, axes, dtype, ties):
    """Small, and in 3D lower inside, where there would hardly ever be a cavity otherwise."""
    shape = rng.integers(1, 7, 2) if axes == 2 else rng.integers(3, 5, 3)
    values = rng.integers(0, 6, shape) if ties else rng.permutation(int(np.prod(shape))).reshape(shape)
    if axes == 3:
        values[1:-1, 1:-1, 1:-1] -= values.max() // 2 if ties else values.size
    return (values - 2).astype(dtype)


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("axes", [2, 3])
def test_equals_growing_voxel_by_voxel(axes, ties, masked):
    rng = np.random.default_rng(axes)
    with_several_components = with_enclosed = 0
    for dtype in (50 if axes == 2 else 12) * [np.float32, np.float64]:
        values = random_image(rng, axes, dtype, ties)
        counted = rng.random(values.shape) < (0.9 if masked else 1)
        components = as_indices(components_by_growing(values, counted), values)
        enclosed = as_indices(enclosed_by_growing(values, counted), values)
        assert found(values, 0, counted) == components
        assert found(values, axes - 1, counted) == enclosed
        with_several_components += len(components) > 1
        with_enclosed += len(enclosed) > 0
    assert with_several_components > 15
    assert with_enclosed > 5


def alive(values, pairs, level):
    """How many are born above a level and do not die above it."""
    birth, death = pairs
    flat = values.reshape(-1)
    return int(np.sum((flat[birth] > level) & ((death < 0) | (flat[death] <= level))))


@pytest.mark.parametrize("shape", [(70, 41), (1, 50), (17, 19, 23)])
def test_as_many_are_alive_as_the_betti_numbers_say(shape):
    rng = np.random.default_rng(0)
    for values in (rng.random(shape, np.float32), rng.integers(0, 9, shape) / 8):
        dimensions = [0, len(shape) - 1]
        pairs = {dimension: persistence_pairs(values, dimension) for dimension in dimensions}
        for level in np.linspace(0, 1, 17)[:-1]:
            betti = betti_numbers(values > level)
            assert [alive(values, pairs[d], level) for d in dimensions] == [betti[d] for d in dimensions]


def test_as_many_tunnels_are_alive_as_the_betti_numbers_say():
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = rng.random(rng.integers(1, 9, 3)) ** 2
        counted = rng.random(values.shape) < 0.9
        pairs = persistence_pairs(values, 1, counted)
        for level in (0.1, 0.3, 0.5, 0.7):
            assert alive(values, pairs, level) == betti_numbers(counted & (values > level))[1]


@pytest.mark.parametrize("axes", [2, 3])
def test_equals_gudhi(axes):
    rng = np.random.default_rng(axes)
    for dtype in 50 * [np.float32, np.float64]:
        values = random_image(rng, axes, dtype, ties=False)
        cubes = gudhi.CubicalComplex(top_dimensional_cells=-values.astype(float))
        cubes.compute_persistence(homology_coeff_field=2)
        regular, essential = cubes.cofaces_of_persistence_pairs()
        in_c_order = np.arange(values.size).reshape(values.shape).ravel(order="F")
        for dimension in range(axes):
            expected = []
            if dimension < len(regular):
                expected += [tuple(pair) for pair in in_c_order[regular[dimension]].tolist()]
            if dimension < len(essential):
                expected += [(born, -1) for born in in_c_order[essential[dimension]].tolist()]
            assert found(values, dimension) == sorted(expected)


def test_of_a_ring():
    """It closes at 6 and is filled at 2; its top half, from 9, and its bottom, from 8, meet at 7."""
    values = np.array([[9.0, 9.0, 9.0], [6.0, 2.0, 7.0], [8.0, 8.0, 8.0]])
    assert found(values, 0) == [(0, -1), (6, 5)]
    assert found(values, 1) == [(3, 4)]


def test_walls_keep_images_apart():
    rng = np.random.default_rng(1)
    one, other = rng.random((2, 6, 5))
    both = np.concatenate([one, np.full((1, 5), 0.5), other])
    counted = np.ones(both.shape, bool)
    counted[6] = False
    for dimension in (0, 1):
        moved = [(b + 35, d + 35 if d >= 0 else d) for b, d in found(other, dimension)]
        assert found(both, dimension, counted) == sorted(found(one, dimension) + moved)
        assert found(both, dimension, counted) != found(both, dimension)


def test_an_oscillation_that_grows_takes_many_rounds():
    """Each peak meets its younger neighbour first, and can only die when that one has."""
    peaks = np.arange(1, 200)
    values = np.stack([peaks, -peaks], 1).reshape(1, -1).astype(np.float32)
    # The peak k dies in the valley beyond it, of depth -k; the last peak never.
    assert found(values, 0) == [*((2 * k, 2 * k + 1) for k in range(198)), (396, -1)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_of_every_kind(dtype):
    values = np.array([[np.inf, -1.0, 0.0, -2.0, -0.0, -np.inf, 1e-30]], dtype)
    # 0.0 and -0.0 are equal: the first is older, and the other dies at -2.
    assert found(values, 0) == [(0, -1), (2, 1), (4, 3), (6, 5)]
    assert found(np.zeros((4, 5), dtype), 0) == [(0, -1)]
    assert found(np.zeros((4, 5), dtype), 1) == []


def test_both_precisions_agree_on_differences_in_the_last_digit():
    steps = np.random.default_rng(4).integers(0, 40, (20, 30)).astype(np.float32)
    for values in (1 + steps * np.float32(2**-23), steps * np.float32(1e-30)):
        assert len(np.unique(values)) == 40
        for dimension in (0, 1):
            assert found(values, dimension) == found(values.astype(float), dimension)
            assert len(found(values, dimension)) > 20


def test_a_nan_is_not_counted():
    values = np.array([[3.0, np.nan, 2.0, 1.0, 2.0]])
    assert found(values, 0) == [(0, -1), (2, -1), (4, 3)]


@pytest.mark.parametrize("dimension", [0, 1, 2])
@pytest.mark.parametrize("shape", [(0, 4), (1, 1), (0, 2, 3), (1, 1, 1)])
def test_nothing_there(shape, dimension):
    if dimension < len(shape):
        birth, death = persistence_pairs(np.zeros(shape), dimension, np.zeros(shape, bool))
        assert birth.size == death.size == 0


def test_any_memory_order_and_inputs_are_not_changed():
    rng = np.random.default_rng(2)
    values, counted = rng.random((8, 9, 7)), rng.random((8, 9, 7)) < 0.8
    expected = found(values, 0, counted)
    for array in (values, counted):
        array.flags.writeable = False
    assert found(np.asfortranarray(values), 0, np.asfortranarray(counted)) == expected
    assert found(np.repeat(values, 2, 1)[:, ::2], 0, counted) == expected


def test_numbers_that_do_not_fit_into_one():
    rng = np.random.default_rng(3)
    ones, others = rng.integers(0, 50, (2, 300))
    ones, others = ones[ones != others], others[ones != others]
    times = rng.permutation(ones.size)
    death = persistence._elder_rule(ones, others, times, 50)
    later = persistence._elder_rule(ones, others, times + 2**60, 50)
    assert 40 < np.sum(death < persistence.NEVER) < 50
    np.testing.assert_array_equal(later, np.where(death < persistence.NEVER, death + 2**60, death))


@pytest.mark.parametrize(("shape", "dimension"), [((5,), 0), ((2, 2, 2, 2), 0), ((4, 4), 2), ((4, 4), -1)])
def test_exception(shape, dimension):
    with pytest.raises(ValueError, match=f"got {len(shape)}D and {dimension}"):
        persistence_pairs(np.zeros(shape), dimension)


def test_without_gudhi_there_are_no_tunnels(monkeypatch):
    monkeypatch.setitem(sys.modules, "gudhi", None)
    check_holes(2)
    for ask in (lambda: check_holes(3), lambda: persistence_pairs(np.zeros((2, 2, 2)), 1)):
        with pytest.raises(UserError, match=r"Tunnels.*need gudhi.*pip install 'nnunet-ext\[topo\]'"):
            ask()
    assert found(np.zeros((2, 2, 2)), 2) == []
