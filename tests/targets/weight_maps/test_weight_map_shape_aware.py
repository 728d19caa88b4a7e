"""Shape-aware weights and the outlines they are made of."""

import numpy as np
import pytest
from slow_weight_maps import (
    random_instances,
    slow_contour,
    slow_gaussian,
    slow_outline_weight,
    slow_shape_aware,
    slow_skeleton,
)

from nnunet_ext.targets.weight_maps import class_balance, shape_aware
from nnunet_ext.targets.weight_maps.shape_aware import _contour, _outlines, _skeleton

pytestmark = pytest.mark.filterwarnings("error")


def without_balance(instances, **arguments):
    """G * w_c alone: the counts are so large that w0 is rounded off."""
    return shape_aware(instances, counts=[1e30, 1e30], **arguments).round(6)


def mask(*rows):
    return np.array([[letter == "#" for letter in row] for row in rows])


def test_a_concave_cell():
    cell = mask(
        "..........",
        ".#######..",
        ".#######..",
        ".##...##..",
        ".##...##..",
        "..........",
    )
    contours, skeletons = _outlines(cell.astype(np.uint8))
    hollow = np.zeros_like(cell)
    hollow[3:5, 3:6] = True  # the concavity: all of it is contour
    np.testing.assert_array_equal(contours, slow_contour(cell) | hollow)
    assert (skeletons & hollow).any()
    assert (skeletons & cell).any()
    assert not skeletons[~(cell | hollow)].any()
    weight = without_balance(cell.astype(int), sigma=0)
    assert np.all(weight[skeletons & contours] == 1)
    assert np.all(weight[~contours] == 0)
    assert weight[contours].min() == 0  # at the supremum of the distances


def test_thin_parts_count_more_than_wide_ones():
    cell = np.zeros((13, 24), int)
    cell[2:11, 2:11] = 1
    cell[6, 11:22] = 1
    weight = without_balance(cell, sigma=1)
    assert weight[6, 17] > 2 * weight[6, 2]


def test_a_cell_cut_by_the_border_has_no_contour_there():
    cell = np.zeros((5, 6), np.uint8)
    cell[1:4, :3] = 1
    expected = mask(
        "......",
        "###...",
        "..#...",
        "###...",
        "......",
    )
    np.testing.assert_array_equal(_outlines(cell)[0], expected)


def test_touching_cells_keep_an_outline_each():
    cells = np.repeat(np.repeat(np.array([[1, 2]], np.uint8), 5, 0), 5, 1)
    contours, skeletons = _outlines(cells)
    np.testing.assert_array_equal(contours, mask(*["....##...."] * 5))
    assert skeletons[:, :5].any()
    assert skeletons[:, 5:].any()


@pytest.mark.parametrize("shape", [(6, 7), (3, 4, 5), (1, 6, 7), (1, 1)])
def test_no_cell_has_the_balance_alone(shape):
    instances = np.zeros(shape, np.uint16)
    np.testing.assert_array_equal(shape_aware(instances), class_balance(instances))


@pytest.mark.parametrize("place", [(2, 3), (1, 2, 3), (0, 0), (0, 0, 0)])
def test_one_voxel_is_its_own_contour_and_skeleton(place):
    instances = np.zeros((4, 5, 6)[: len(place)], int)
    instances[place] = 1
    np.testing.assert_allclose(without_balance(instances, sigma=0), instances, atol=1e-6)


def test_an_image_full_of_one_cell_has_no_outline():
    np.testing.assert_allclose(shape_aware(np.ones((4, 5), int)), 1 / 20, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("shape", "spacing", "n_cells"),
    [
        ((16, 19), None, 4),
        ((16, 19), (2.0, 0.5), 4),
        ((6, 8, 7), None, 3),
        ((6, 8, 7), (2.5, 0.8, 1.0), 3),
        ((1, 12, 12), (4.0, 1.0, 1.0), 3),
    ],
)
def test_equals_the_loop(shape, spacing, n_cells, seed):
    instances = random_instances(shape, n_cells, seed, radius=4)
    labels = np.where(instances == 1, 2, instances > 0)
    edges = spacing or (1, 1, 1)
    expected = slow_shape_aware(instances, 1.3, labels=labels, spacing=edges)
    weight = shape_aware(instances, 1.3, labels=labels, spacing=spacing)
    assert weight.dtype == np.float32
    np.testing.assert_allclose(weight, expected, atol=1e-5)
    expected = slow_shape_aware(instances, 0.7, tau=2.0, counts=[3, 2], spacing=edges)
    weight = shape_aware(instances, 0.7, tau=2.0, counts=[3, 2], spacing=spacing)
    np.testing.assert_allclose(weight, expected, atol=1e-5)


def test_tau_is_the_distance_where_outlines_count_no_more():
    cell = np.zeros((15, 15), int)
    cell[2:13, 2:13] = 1
    np.testing.assert_allclose(
        without_balance(cell, sigma=0, tau=3.0), slow_outline_weight(cell, 3.0), atol=1e-6
    )
    assert without_balance(cell, sigma=0, tau=3.0).min() == 0


def test_sigma_is_in_the_units_of_spacing():
    cell = np.zeros((15, 15), int)
    cell[5:10, 6:9] = 1
    sharp = without_balance(cell, sigma=0, spacing=(0.5, 2.0))
    expected = slow_gaussian(sharp.astype(float), 2.0, (0.5, 2.0))
    np.testing.assert_allclose(without_balance(cell, sigma=2, spacing=(0.5, 2.0)), expected, atol=1e-6)


def test_one_slice_is_an_image():
    instances = random_instances((20, 22), 5, seed=3, radius=6)
    flat = shape_aware(instances[None], 1.5, spacing=(7, 2, 1))
    np.testing.assert_allclose(flat[0], shape_aware(instances, 1.5, spacing=(2, 1)), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, ">i4", np.int64])
def test_dtypes_memory_orders_and_any_ids(dtype):
    instances = random_instances((7, 9, 8), 3, seed=1)
    expected = shape_aware(instances, spacing=(2, 1, 1))
    ids = instances.astype(dtype)
    ids[ids == 2] = 120
    before = ids.copy()
    for array in (ids, np.asfortranarray(ids), np.repeat(ids, 2, 1)[:, ::2]):
        array.setflags(write=False)
        np.testing.assert_array_equal(shape_aware(array, spacing=(2, 1, 1)), expected)
    np.testing.assert_array_equal(ids, before)


def test_ignored_voxels_weigh_nothing():
    instances = random_instances((12, 12), 3, seed=2)
    labels = (instances > 0).astype(int)
    plain = shape_aware(instances, labels=labels, counts=[2, 1])
    labels[:, :4] = 7
    weight = shape_aware(instances, labels=labels, counts=[2, 1], ignore_label=7)
    assert np.all(weight[:, :4] == 0)
    np.testing.assert_array_equal(weight[:, 4:], plain[:, 4:])


@pytest.mark.parametrize("shape", [(9, 9), (3, 1), (5, 6, 7), (3, 1, 1), (1, 4, 4)])
def test_contour_and_skeleton_equal_the_loop(shape):
    rng = np.random.default_rng(0)
    for share in (0.2, 0.5, 0.8, 1.0):
        part = rng.random(shape) < share
        np.testing.assert_array_equal(_contour(part), slow_contour(part))
        np.testing.assert_array_equal(_skeleton(part), slow_skeleton(part))


def test_a_tube_that_thinning_deletes_is_its_own_skeleton():
    tube = np.zeros((4, 4, 9), bool)
    tube[1:3, 1:3, 1:8] = True
    assert _skeleton(tube).any()
    weight = without_balance(tube.astype(int), sigma=0)
    np.testing.assert_allclose(weight, slow_outline_weight(tube.astype(int)), atol=1e-6)


def test_a_plate_in_a_volume_is_thinned_in_its_plane():
    plate = np.zeros((5, 9, 8), bool)
    plate[2, 2:7, 1:7] = True
    expected = np.zeros_like(plate)
    expected[2] = slow_skeleton(plate[2])
    np.testing.assert_array_equal(_skeleton(plate), expected)
    assert 0 < np.count_nonzero(expected) < np.count_nonzero(plate) / 3


def test_skeletons_of_masks_that_cc3d_mislabels_as_bool():
    part = mask("...", "...", "...", "#.#", "###")  # cc3d 4.1.1 labels the empty second row
    np.testing.assert_array_equal(_skeleton(part), slow_skeleton(part))
    pair = np.array([[[1]], [[0]], [[1]]], bool)  # here it fails
    np.testing.assert_array_equal(_skeleton(pair), pair)
    assert not _skeleton(np.zeros((3, 3), bool)).any()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sigma": -1}, ValueError, "sigma is 0 or more"),
        ({"tau": 0}, ValueError, "tau is above 0"),
        ({"labels": np.zeros((2, 3), int)}, ValueError, r"\(2, 2\); got \(2, 3\)"),
        ({"counts": [1]}, ValueError, "class 1, which counts lacks"),
        ({"spacing": (1,)}, ValueError, "2 positive numbers"),
        ({"instances": np.zeros((2, 2))}, TypeError, "integer ids"),
    ],
)
def test_errors_say_what_is_expected(arguments, error, message):
    with pytest.raises(error, match=message):
        shape_aware(**{"instances": np.eye(2, dtype=int), **arguments})
