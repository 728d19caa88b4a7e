from itertools import product

import numpy as np
import pytest
from scipy import ndimage

from nnunet_ext.metrics import betti_0_error, betti_1_error, betti_numbers

RING = np.array(
    [
        [0, 1, 1, 1, 0],
        [0, 1, 0, 1, 0],
        [0, 1, 1, 1, 0],
    ],
    dtype=bool,
)
BROKEN_RING = np.array(
    [
        [0, 1, 1, 1, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 1, 1, 0],
    ],
    dtype=bool,
)
TOUCHING_DISCS = np.array(  # they touch at a corner
    [
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [0, 0, 1, 1],
        [0, 0, 1, 1],
    ],
    dtype=bool,
)


def torus():
    volume = np.zeros((3, 5, 5), bool)
    volume[1, 1:4, 1:4] = True
    volume[1, 2, 2] = False
    return volume


def hollow_cube():
    volume = np.ones((3, 3, 3), bool)
    volume[1, 1, 1] = False
    return volume


def naive_betti(foreground, connectivity):
    """β0 and the enclosed background by scipy.ndimage.label; χ by counting the cells of a complex."""
    d = foreground.ndim
    dual = d + 1 - connectivity
    padded = np.pad(foreground, 1)
    b0 = ndimage.label(padded, ndimage.generate_binary_structure(d, connectivity))[1]
    enclosed = ndimage.label(~padded, ndimage.generate_binary_structure(d, dual))[1] - 1
    if d == 2:
        return b0, enclosed
    chi = 0
    for cell in product((0, 1), repeat=d):  # full: union of closed cubes; 1: cubes spanned by centres
        part = padded
        for axis, step in enumerate(cell):
            if step:
                low, high = (np.take(part, range(s, part.shape[axis] - 1 + s), axis) for s in (0, 1))
                part = low | high if connectivity == d else low & high
        dimension = d - sum(cell) if connectivity == d else sum(cell)
        chi += (-1) ** dimension * int(part.sum())
    return b0, b0 + enclosed - chi, enclosed


@pytest.mark.parametrize(
    ("foreground", "connectivity", "expected"),
    [
        (RING, None, (1, 1)),
        (RING, 1, (1, 1)),
        (BROKEN_RING, None, (1, 0)),
        (TOUCHING_DISCS, None, (1, 0)),
        (TOUCHING_DISCS, 2, (1, 0)),
        (TOUCHING_DISCS, 1, (2, 0)),
        (torus(), None, (1, 1, 0)),
        (torus(), 1, (1, 1, 0)),
        (hollow_cube(), None, (1, 0, 1)),
        (hollow_cube(), 1, (1, 0, 1)),
        (np.zeros((4, 4), bool), None, (0, 0)),
        (np.zeros((0, 4), bool), None, (0, 0)),
        (np.zeros((2, 3, 4), bool), None, (0, 0, 0)),
        (np.ones((4, 4), bool), None, (1, 0)),
        (np.ones((2, 3, 4), bool), None, (1, 0, 0)),
    ],
)
def test_literal_arrays(foreground, connectivity, expected):
    assert betti_numbers(foreground, connectivity) == expected


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("full", [True, False])
def test_random_arrays_equal_independent_reference(ndim, full):
    rng = np.random.default_rng(ndim)
    connectivity = ndim if full else 1
    for _ in range(60):
        foreground = rng.random(rng.integers(1, 8, ndim)) < rng.random()
        assert betti_numbers(foreground, connectivity) == naive_betti(foreground, connectivity)


@pytest.mark.parametrize("connectivity", [1, 2, 3])
def test_betti_0_error_equals_scipy_in_every_connectivity(connectivity):
    rng = np.random.default_rng(3)
    structure = ndimage.generate_binary_structure(3, connectivity)
    for _ in range(20):
        prediction, reference = (rng.random((6, 5, 7)) < 0.2 for _ in range(2))
        expected = abs(ndimage.label(prediction, structure)[1] - ndimage.label(reference, structure)[1])
        assert betti_0_error(prediction, reference, connectivity=connectivity) == expected


def test_errors_of_a_broken_ring_and_of_an_empty_prediction():
    assert betti_0_error(BROKEN_RING, RING) == 0
    assert betti_1_error(BROKEN_RING, RING) == betti_1_error(RING, BROKEN_RING) == 1
    empty = np.zeros_like(RING)
    assert (betti_0_error(empty, RING), betti_1_error(empty, RING)) == (1, 1)
    assert (betti_0_error(empty, empty), betti_1_error(empty, empty)) == (0, 0)


def test_what_the_mask_does_not_count_is_background_in_both():
    mask = np.ones_like(RING)
    mask[1, 3] = False  # where the ring is broken
    assert betti_1_error(BROKEN_RING, RING, mask) == 0
    mask = np.ones_like(RING)
    mask[:, 2] = False  # cuts the ring in two, the broken ring too
    assert betti_0_error(RING, np.zeros_like(RING), mask) == 2


def test_inputs_are_not_mutated():
    prediction, reference, mask = RING.copy(), BROKEN_RING.copy(), np.eye(3, 5, dtype=bool)
    for array in (prediction, reference, mask):
        array.flags.writeable = False
    betti_0_error(prediction, reference, mask)
    betti_1_error(prediction, reference, mask)
    np.testing.assert_array_equal(prediction, RING)
    np.testing.assert_array_equal(reference, BROKEN_RING)


def test_memory_order_does_not_matter():
    rng = np.random.default_rng(4)
    volume = rng.random((6, 7, 8)) < 0.3
    assert betti_numbers(np.asfortranarray(volume)) == betti_numbers(volume)
    assert betti_numbers(volume.T[::2]) == betti_numbers(volume.T[::2].copy())


def test_exception():
    with pytest.raises(ValueError, match="expected 1 to 2 in 2D, got 3"):
        betti_numbers(RING, connectivity=3)
    with pytest.raises(ValueError, match="expected 1 to 3 in 3D, got 0"):
        betti_0_error(torus(), torus(), connectivity=0)
    with pytest.raises(ValueError, match="18-neighbourhood"):
        betti_1_error(torus(), torus(), connectivity=2)
    with pytest.raises(ValueError, match="boolean"):
        betti_numbers(RING.astype(np.uint8))
    with pytest.raises(ValueError, match="one shape"):
        betti_0_error(RING, TOUCHING_DISCS)
