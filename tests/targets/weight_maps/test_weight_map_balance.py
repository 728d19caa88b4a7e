"""Class balance and what the other maps take from it."""

import numpy as np
import pytest
from slow_weight_maps import random_instances, slow_class_balance

from nnunet_ext.targets.weight_maps import class_balance

pytestmark = pytest.mark.filterwarnings("error")

LABELS = np.array([[0, 0, 0, 0], [1, 1, 2, 0]])


def test_one_over_the_voxels_of_the_class():
    weight = class_balance(LABELS)
    assert weight.dtype == np.float32
    np.testing.assert_allclose(weight, [[0.2] * 4, [0.5, 0.5, 1, 0.2]], rtol=1e-6)


def test_every_class_weighs_the_same_in_all():
    weight = class_balance(LABELS)
    assert [weight[c == LABELS].sum() for c in range(3)] == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    "counts", [[4, 2, 8], (4, 2, 8), np.array([4, 2, 8]), {0: 4, 1: 2, 2: 8}, {7: 1, 2: 8, 1: 2, 0: 4}]
)
def test_counts_of_the_training_set(counts):
    np.testing.assert_array_equal(class_balance(LABELS, counts), [[0.25] * 4, [0.5, 0.5, 0.125, 0.25]])


@pytest.mark.parametrize("shape", [(9, 11), (4, 5, 6)])
def test_equals_the_loop(shape):
    labels = np.random.default_rng(0).integers(0, 4, shape)
    np.testing.assert_allclose(class_balance(labels), slow_class_balance(labels), rtol=1e-6)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, ">i2", np.uint16, np.int64, np.uint64])
def test_dtypes_and_memory_orders(dtype):
    labels = (random_instances((8, 9), 3, seed=1) != 0).astype(dtype)
    expected = slow_class_balance(labels.astype(int))
    for array in (labels, np.asfortranarray(labels), np.repeat(labels, 2, 1)[:, ::2]):
        np.testing.assert_allclose(class_balance(array), expected, rtol=1e-6)


def test_ignored_voxels_weigh_nothing_and_are_not_counted():
    ignored = np.array([[0, 0, 1, 9]])
    np.testing.assert_array_equal(class_balance(ignored, ignore_label=9), [[0.5, 0.5, 1, 0]])
    np.testing.assert_array_equal(class_balance(ignored, [4, 2], ignore_label=9), [[0.25, 0.25, 0.5, 0]])
    np.testing.assert_array_equal(class_balance(ignored, {0: 4, 1: 2, 9: 1}, ignore_label=9)[0, 3], 0)
    np.testing.assert_array_equal(class_balance(LABELS, ignore_label=9), class_balance(LABELS))


def test_a_class_the_training_set_lacks_weighs_nothing():
    np.testing.assert_array_equal(class_balance(np.array([[0, 1]]), [2, 0]), [[0.5, 0]])


def test_no_foreground_and_no_voxels():
    np.testing.assert_array_equal(class_balance(np.zeros((2, 2), int)), np.full((2, 2), 0.25))
    assert class_balance(np.zeros((0, 4), int)).shape == (0, 4)


def test_the_input_stays_as_it_is():
    labels = LABELS.copy()
    labels.setflags(write=False)
    class_balance(labels, ignore_label=2)
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize(
    ("labels", "counts", "error", "message"),
    [
        ([[0, 1]], None, TypeError, "numpy array"),
        (np.zeros(4, int), None, ValueError, "two or three axes"),
        (np.zeros((2, 2)), None, TypeError, "integer classes"),
        (np.array([[0, -1]]), None, ValueError, "-1 to 0"),
        (np.array([[0, 70000]]), None, ValueError, "70000"),
        (LABELS, [4, 2], ValueError, r"class 2, which counts lacks; it has \[0, 1\]"),
        (LABELS, [4, -2, 1], ValueError, "not negative"),
        (LABELS, [4, np.nan, 1], ValueError, "finite"),
    ],
)
def test_errors_say_what_is_expected(labels, counts, error, message):
    with pytest.raises(error, match=message):
        class_balance(labels, counts)
