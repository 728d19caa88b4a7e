"""Containment against loops over voxels, and arrays whose shares can be counted by eye."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_ext.metrics import Containment, containment

CHAIN = {"inner": (2,), "outer": (1, 2)}


def neighbours(place, shape, full):
    for step in itertools.product((-1, 0, 1), repeat=len(shape)):
        if any(step) and (full or sum(map(abs, step)) == 1):
            other = tuple(int(p + s) for p, s in zip(place, step, strict=True))
            if all(0 <= p < length for p, length in zip(other, shape, strict=True)):
                yield other


def containment_by_loops(labels, inner, outer, mask):
    """Flood every component from its first voxel, and ask each of its voxels for its neighbours."""
    shape = labels.shape
    inside = {p for p in np.ndindex(shape) if mask[p] and labels[p] in inner}
    outside = {p for p in np.ndindex(shape) if mask[p] and labels[p] not in outer}
    faces = [q for p in inside for q in neighbours(p, shape, full=False) if mask[q] and q not in inside]
    left, components = set(inside), []
    while left:
        component = front = {min(left)}
        while front:
            front = {q for p in front for q in neighbours(p, shape, full=True)} & left - component
            component = component | front
        left -= component
        components.append(component)
    exposed = [c for c in components if any(q in outside for p in c for q in neighbours(p, shape, full=True))]
    return Containment(
        len(faces),
        sum(q in outside for q in faces),
        len(components),
        len(exposed),
        len(inside),
        sum(map(len, exposed)),
    )


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shape=st.sampled_from([(9, 11), (1, 7), (4, 6, 7), (1, 5, 6), (5, 1, 4), (3, 3, 3)]),
    levels=st.sampled_from([((2,), (1, 2)), ((2, 3), (1, 2, 3)), ((3,), (3, 2)), ((4, 2), (2, 1, 4))]),
    dtype=st.sampled_from([np.uint8, np.int16, np.float32]),
    masked=st.booleans(),
)
def test_equals_loops(seed, shape, levels, dtype, masked):
    rng = np.random.default_rng(seed)
    labels = rng.choice(5, shape, p=rng.dirichlet([1, 3, 0.3, 0.3, 0.3])).astype(dtype)
    mask = rng.random(shape) < 0.85 if masked else np.ones(shape, bool)
    before = labels.copy(), mask.copy()
    counts = containment(labels, *levels, mask=mask if masked else None)
    assert counts == containment_by_loops(labels, *levels, mask)
    assert containment(np.asfortranarray(labels), *levels, mask=np.asfortranarray(mask)) == counts
    np.testing.assert_array_equal(labels, before[0])
    np.testing.assert_array_equal(mask, before[1])


def shares(counts):
    return counts.surface_share, counts.component_share, counts.voxel_share


def test_a_nucleus_within_its_cell():
    labels = np.zeros((5, 6), int)
    labels[1:4, 1:5] = 1
    labels[2, 2:4] = 2
    assert containment(labels, **CHAIN) == Containment(6, 0, 1, 0, 2, 0)
    assert shares(containment(labels, **CHAIN)) == (0, 0, 0)


def test_a_nucleus_without_a_cell():
    labels = np.zeros((5, 6), int)
    labels[2, 2:4] = 2
    assert containment(labels, **CHAIN) == Containment(6, 6, 1, 1, 2, 2)
    assert shares(containment(labels, **CHAIN)) == (1, 1, 1)


def test_a_corner_alone_opens_a_component_but_no_surface():
    labels = np.array([[0, 1, 1], [1, 2, 1], [1, 1, 1]])
    assert shares(containment(labels, **CHAIN)) == (0, 1, 1)
    cube = np.ones((3, 3, 3), int)
    cube[1, 1, 1], cube[0, 0, 0] = 2, 0
    assert shares(containment(cube, **CHAIN)) == (0, 1, 1)


def test_the_border_of_the_image_is_neutral():
    labels = np.array([[2, 1, 0], [2, 1, 0], [1, 1, 0]])
    assert containment(labels, **CHAIN) == Containment(3, 0, 1, 0, 2, 0)
    in_half = np.array([[2, 0], [1, 0]])
    assert shares(containment(in_half, **CHAIN)) == (0.5, 1, 1)
    whole = np.full((3, 3), 2)
    counts = containment(whole, **CHAIN)
    assert math.isnan(counts.surface_share)  # has none
    assert (counts.component_share, counts.voxel_share) == (0, 0)


def test_two_components_one_of_them_exposed():
    labels = np.array(
        [
            [1, 1, 1, 1, 1, 1, 1],
            [1, 2, 1, 1, 2, 2, 1],
            [1, 1, 1, 1, 2, 2, 1],
            [1, 1, 1, 1, 0, 1, 1],
        ]
    )
    assert containment(labels, **CHAIN) == Containment(4 + 8, 1, 2, 1, 5, 4)
    assert shares(containment(labels, **CHAIN)) == (1 / 12, 1 / 2, 4 / 5)


def test_diagonal_voxels_are_one_component():
    labels = np.array([[2, 1, 1], [1, 2, 1], [1, 1, 0]])
    assert containment(labels, **CHAIN) == Containment(6, 0, 1, 1, 2, 2)


def test_a_third_level_belongs_to_the_second_and_other_classes_are_outside():
    labels = np.array([[1, 1, 1, 4], [1, 2, 3, 4], [1, 1, 1, 4]])  # 4: debris beside the cell
    assert containment(labels, (2, 3), (1, 2, 3)) == Containment(6, 1, 1, 1, 2, 2)
    assert containment(labels, (3,), (2, 3)) == Containment(4, 3, 1, 1, 1, 1)


def test_what_the_mask_does_not_count_is_neither_inner_nor_outside():
    labels = np.array([[1, 1, 1], [1, 2, 0], [1, 1, 1]])
    assert shares(containment(labels, **CHAIN)) == (1 / 4, 1, 1)
    mask = labels != 0
    assert containment(labels, **CHAIN, mask=mask) == Containment(3, 0, 1, 0, 1, 0)
    assert containment(labels, **CHAIN, mask=labels != 2) == Containment(0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("shape", [(4, 5), (2, 4, 5), (0, 4)])
def test_without_the_inner_class_there_is_no_share(shape):
    counts = containment(np.ones(shape, np.uint8), **CHAIN)
    assert counts == Containment(0, 0, 0, 0, 0, 0)
    assert all(math.isnan(share) for share in shares(counts))


def test_counts_of_several_images_add_up():
    assert Containment(1, 2, 3, 4, 5, 6) + Containment(10, 20, 30, 40, 50, 60) == Containment(
        11, 22, 33, 44, 55, 66
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.ones(4, int)}, r"two or three axes.* got shape \(4,\)"),
        ({"inner": ()}, r"inner \(\) and outer \(1, 2\)"),
        ({"inner": (3,)}, r"inner \(3,\) and outer \(1, 2\)"),
        ({"outer": (2,)}, r"inner \(2,\) and outer \(2,\)"),
        ({"mask": np.ones((2, 2))}, "mask: expected a boolean array"),
        ({"mask": np.ones((2, 3), bool)}, r"mask: expected shape \(2, 2\), got \(2, 3\)"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        containment(**{"labels": np.eye(2, dtype=int), **CHAIN, **changes})
