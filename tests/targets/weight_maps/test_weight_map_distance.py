"""Distance transform based weights."""

import numpy as np
import pytest
from slow_weight_maps import random_instances, slow_class_balance, slow_distance

from nnunet_ext.targets.weight_maps import distance

pytestmark = pytest.mark.filterwarnings("error")


def test_fades_linearly_to_zero():
    labels = np.array([[2, 1, 0, 0, 0, 0, 0]])
    weight = distance(labels, beta=4, counts=[2, 1, 0.5])
    assert weight.dtype == np.float32
    np.testing.assert_allclose(weight, [[2, 1, 0.375, 0.25, 0.125, 0, 0]], rtol=1e-6)


def test_diagonal_distances_are_euclidean():
    labels = np.array([[1, 0], [0, 0]])
    weight = distance(labels, beta=2, counts=[1, 1])
    np.testing.assert_allclose(weight, [[1, 0.5], [0.5, 1 - np.sqrt(2) / 2]], rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((14, 17), None), ((14, 17), (2.0, 0.5)), ((6, 9, 8), None), ((6, 9, 8), (2.5, 0.7, 1.0))],
)
def test_equals_the_loop(shape, spacing, seed):
    labels = random_instances(shape, 4, seed, radius=2.5) % 3
    expected = slow_distance(labels, 5, spacing=spacing or (1, 1, 1))
    np.testing.assert_allclose(distance(labels, 5, spacing=spacing), expected, atol=1e-6)


def test_a_patch_without_foreground_weighs_nothing_and_one_without_background_its_balance():
    np.testing.assert_array_equal(distance(np.zeros((4, 5), int)), np.zeros((4, 5)))
    full = np.ones((4, 5), np.uint8)
    np.testing.assert_allclose(distance(full), slow_class_balance(full), rtol=1e-6)
    assert distance(np.zeros((3, 0), int)).shape == (3, 0)


def test_one_slice_is_an_image():
    labels = random_instances((12, 15), 3, seed=5)
    flat = distance(labels[None], 6, spacing=(9, 2, 1))
    np.testing.assert_allclose(flat[0], distance(labels, 6, spacing=(2, 1)), rtol=1e-6)


def test_memory_order_does_not_matter():
    labels = random_instances((5, 8, 6), 3, seed=6)
    expected = distance(labels, 4, spacing=(3, 1, 2))
    for array in (np.asfortranarray(labels), np.repeat(labels, 2, 1)[:, ::2], labels.astype(">i4")):
        np.testing.assert_array_equal(distance(array, 4, spacing=(3, 1, 2)), expected)


def test_ignored_voxels_weigh_nothing_and_nothing_is_near_them():
    labels = np.array([[1, 0, 0, 0, 9, 9]])
    weight = distance(labels, beta=4, counts=[1, 1], ignore_label=9)
    np.testing.assert_allclose(weight, [[1, 0.75, 0.5, 0.25, 0, 0]])
    # Background may be ignored as well; it is not foreground for that.
    np.testing.assert_allclose(
        distance(labels, beta=4, counts=[1, 1, *[0] * 7, 1], ignore_label=0), [[1, 0, 0, 0, 1, 1]]
    )


def test_the_input_stays_as_it_is():
    labels = random_instances((9, 9), 3, seed=7)
    before = labels.copy()
    labels.setflags(write=False)
    distance(labels, ignore_label=2)
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize("beta", [0, -1, np.inf, np.nan])
def test_beta_is_positive(beta):
    with pytest.raises(ValueError, match="beta is above 0"):
        distance(np.zeros((2, 2), int), beta)


def test_errors_say_what_is_expected():
    with pytest.raises(TypeError, match="beta is a number"):
        distance(np.zeros((2, 2), int), "30")
    with pytest.raises(ValueError, match="spacing: expected 2 positive numbers"):
        distance(np.zeros((2, 2), int), spacing=(1, 1, 1))
