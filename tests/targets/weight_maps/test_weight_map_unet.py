"""U-Net's weights between cells."""

from math import exp, sqrt
from tracemalloc import get_traced_memory, start, stop

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_weight_maps import random_instances, slow_class_balance, slow_unet

from nnunet_ext.arrays import blocks
from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.targets.weight_maps import unet
from nnunet_ext.targets.weight_maps.unet import _codes, _colours

pytestmark = pytest.mark.filterwarnings("error")


def test_two_discs_two_pixels_apart():
    discs = np.array(
        [
            [0, 1, 0, 0, 0, 0, 2, 0],
            [1, 1, 1, 0, 0, 2, 2, 2],
            [0, 1, 0, 0, 0, 0, 2, 0],
        ]
    )
    weight = unet(discs, w0=10, sigma=5)
    assert weight.dtype == np.float32
    assert np.all(weight[discs > 0] == 1)
    between = 1 + 10 * exp(-((1 + 2) ** 2) / 50)
    above = 1 + 10 * exp(-((sqrt(2) + sqrt(5)) ** 2) / 50)
    np.testing.assert_allclose(weight[1, 3:5], between, rtol=1e-6)
    np.testing.assert_allclose(weight[::2, 3:5], above, rtol=1e-6)
    corner = 1 + 10 * exp(-((1 + sqrt(26)) ** 2) / 50)
    np.testing.assert_allclose(weight[[0, 0, 2, 2], [0, 7, 0, 7]], corner, rtol=1e-6)


@pytest.mark.parametrize("shape", [(6, 7), (3, 4, 5), (1, 6, 7), (6, 1), (1, 1)])
def test_one_cell_or_none_has_the_base_alone(shape):
    instances = np.zeros(shape, np.int32)
    np.testing.assert_array_equal(unet(instances), np.ones(shape))
    instances[(0,) * len(shape)] = 5
    np.testing.assert_array_equal(unet(instances, base=2.5), np.full(shape, 2.5))


def test_a_cell_in_two_pieces_is_one_cell():
    np.testing.assert_array_equal(unet(np.array([[3, 0, 3]])), np.ones((1, 3)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("shape", "spacing", "n_cells"),
    [
        ((18, 21), None, 2),
        ((18, 21), None, 9),
        ((18, 21), (2.0, 0.6), 9),
        ((7, 9, 10), None, 3),
        ((7, 9, 10), None, 12),
        ((7, 9, 10), (2.5, 0.7, 1.0), 12),
        ((1, 12, 12), (4.0, 1.0, 1.0), 5),
    ],
)
def test_equals_the_loop(shape, spacing, n_cells, seed):
    instances = random_instances(shape, n_cells, seed)
    for w0, sigma in ((10, 5), (3, 1.5)):
        expected = slow_unet(instances, w0, sigma, spacing=spacing or (1, 1, 1))
        np.testing.assert_allclose(unet(instances, w0, sigma, spacing=spacing), expected, atol=2e-6 * w0)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=3),
    seed=st.integers(0, 2**16),
    share=st.floats(0.02, 0.6),
    sigma=st.floats(0.2, 3),
    steps=st.lists(st.sampled_from([0.4, 1.0, 3.0]), min_size=3, max_size=3),
)
def test_equals_the_loop_on_scattered_voxels(shape, seed, share, sigma, steps):
    rng = np.random.default_rng(seed)
    instances = np.where(rng.random(shape) < share, rng.integers(1, 30, shape), 0)
    spacing = tuple(steps[: len(shape)])
    expected = slow_unet(instances, 10, sigma, spacing=spacing)
    np.testing.assert_allclose(unet(instances, 10, sigma, spacing=spacing), expected, atol=2e-5)


def test_far_cells_share_codes_and_nothing_is_lost():
    instances = random_instances((14, 90), 30, seed=3, radius=1.5)
    colours = _colours(instances, 1.0 * sqrt(2 * np.log(1e6)), (1.0, 1.0))
    assert 1 < colours.max() + 1 < len(np.unique(instances)) // 2
    np.testing.assert_allclose(unet(instances, 10, 1.0), slow_unet(instances, 10, 1.0), atol=2e-5)


@pytest.mark.parametrize("colours", [1, 2, 3, 4, 6, 7, 20, 21, 252, 253])
def test_no_code_contains_another(colours):
    codes = _codes(colours)
    assert len(codes) == colours
    contained = (codes[:, None] <= codes[None]).all(-1)
    np.testing.assert_array_equal(contained, np.eye(colours, dtype=bool))


def test_in_slabs_as_in_one_piece(monkeypatch):
    instances = random_instances((24, 9, 8), 14, seed=8, radius=2.5)
    whole = unet(instances, 10, 1.0, spacing=(2, 1, 1))
    monkeypatch.setattr(blocks, "SLAB_VOXELS", 3 * 9 * 8)
    np.testing.assert_allclose(unet(instances, 10, 1.0, spacing=(2, 1, 1)), whole, atol=2e-5)
    assert (whole > 2).any()


@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int16, ">u2", np.int32, np.uint32, np.int64, np.uint64]
)
def test_dtypes_memory_orders_and_any_ids(dtype):
    instances = random_instances((15, 16), 6, seed=2)
    expected = unet(instances)
    ids = instances.astype(dtype)
    ids[ids == 5] = 100
    if np.dtype(dtype).itemsize > 2:
        ids[ids == 2] = 1_000_000_000
    before = ids.copy()
    for array in (ids, np.asfortranarray(ids), np.repeat(ids, 2, 1)[:, ::2]):
        array.setflags(write=False)
        np.testing.assert_allclose(unet(array), expected, atol=1e-5)
    np.testing.assert_array_equal(ids, before)


def test_base_is_a_number_an_array_or_the_cells():
    instances = random_instances((12, 13), 5, seed=4)
    balance = slow_class_balance((instances > 0).astype(int))
    term = slow_unet(instances, 10, 5, base=0)
    np.testing.assert_allclose(unet(instances, base=0), term, atol=1e-5)
    np.testing.assert_allclose(unet(instances, base=balance), balance + term, atol=1e-5)
    np.testing.assert_allclose(unet(instances, base="foreground"), (instances > 0) + term, atol=1e-5)
    assert not np.shares_memory(balance, unet(np.zeros((12, 13), int), base=balance))


def test_normalised_as_in_the_nuclei_cascade():
    instances = random_instances((12, 13), 5, seed=4)
    plain = unet(instances, 3, 10, "foreground")
    scaled = unet(instances, 3, 10, "foreground", normalise=True)
    assert scaled.max() == 1
    np.testing.assert_allclose(scaled, plain / plain.max(), rtol=1e-6)
    nothing = unet(np.zeros((3, 3), int), base="foreground", normalise=True)
    np.testing.assert_array_equal(nothing, np.zeros((3, 3)))


def test_no_stack_of_distances():
    _, instances = crowded_cells((520, 696), 369)
    start()
    unet(instances)
    peak = get_traced_memory()[1]
    stop()
    assert peak < 30e6  # one array of distances is 1.4 MB; 369 are 534 MB


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sigma": 0}, ValueError, "sigma is above 0"),
        ({"w0": -1}, ValueError, "w0 is 0 or more"),
        ({"base": "binary"}, ValueError, "or \"foreground\"; got 'binary'"),
        ({"base": np.ones((2, 3))}, ValueError, r"\(2, 2\); got \(2, 3\)"),
        ({"spacing": (1, 0)}, ValueError, "2 positive numbers"),
        ({"instances": np.zeros((2, 2))}, TypeError, "integer ids"),
        ({"instances": np.array([[-1, 0]])}, ValueError, "positive"),
        ({"instances": np.zeros(3, int)}, ValueError, "two or three axes"),
    ],
)
def test_errors_say_what_is_expected(arguments, error, message):
    with pytest.raises(error, match=message):
        unet(**{"instances": np.zeros((2, 2), int), **arguments})
