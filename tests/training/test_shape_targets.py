"""Tubes and depths as extra targets, and the arrays that they are made of."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, distance_transform_edt, generate_binary_structure, rotate
from skimage.morphology import skeletonize

from nnunet_ext.targets import region_distance, skeleton_tube
from nnunet_ext.training.extra_targets.shapes import Depths, Tubes

SHAPES = {"2d": (40, 44), "3d": (14, 22, 20)}


def lines(shape, seed=0):
    """Labels 1 and 2: thick crossing lines."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int16)
    for label in (1, 2, 1):
        seeds = np.zeros(shape, bool)
        axis = rng.integers(len(shape))
        place = [slice(None) if a == axis else rng.integers(4, edge - 4) for a, edge in enumerate(shape)]
        seeds[tuple(place)] = True
        labels[binary_dilation(seeds, generate_binary_structure(len(shape), 2), 2)] = label
    return labels


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_tube_is_the_skeleton_dilated_twice_within_the_structure(shape):
    mask = lines(shape) > 0
    cross = generate_binary_structure(len(shape), 1)
    expected = binary_dilation(binary_dilation(skeletonize(mask), cross), cross) & mask
    assert 0 < expected.sum() < mask.sum()
    np.testing.assert_array_equal(skeleton_tube(mask), expected)
    assert not skeleton_tube(np.zeros(shape, bool)).any()


def test_no_structure_is_without_tube_in_3d():
    """scikit-image's 3D thinning deletes a straight rod of even width altogether."""
    mask = np.zeros((8, 8, 20), bool)
    mask[2:4, 2:4, 3:17] = True
    assert not skeletonize(mask).any()
    assert skeleton_tube(mask).any()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_distances_are_those_of_each_class_by_itself(shape):
    labels = lines(shape)
    found = region_distance(labels)
    assert found.dtype == np.float32
    for label in (0, 1, 2):
        inside = labels == label
        depth = distance_transform_edt(inside)
        np.testing.assert_allclose(found[inside], (depth / depth.max())[inside], rtol=1e-5)
        assert found[inside].max() == 1
    np.testing.assert_array_equal(region_distance(labels.astype(np.uint8) + 5), found)
    np.testing.assert_array_equal(region_distance(np.full(shape, 3)), np.ones(shape))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_targets_of_all_foreground_of_each_class_and_of_regions(shape):
    labels, spacing = lines(shape), (1.0,) * len(shape)
    both, one, two = skeleton_tube(labels > 0), skeleton_tube(labels == 1), skeleton_tube(labels == 2)
    together, each = Tubes(((1, 2),)), Tubes(((1,), (2,)))
    assert (together.channels, each.channels) == (1, 2)
    assert (together.name, each.name) == ("tubes_of=1-2", "tubes_of=1_2")
    for target, expected in ((together, [both]), (each, [one, two])):
        maps = target.finish(target.compute(labels, spacing), labels, None)
        np.testing.assert_array_equal(maps, np.stack(expected).astype(np.float32))
    plain, regions = Depths(), Depths(((1, 2), (2,)))
    assert (plain.channels, regions.channels, plain.name) == (1, 2, "depths")
    assert regions.name == "depths_of=1-2_2"
    np.testing.assert_array_equal(plain.compute(labels, spacing)[0], region_distance(labels))
    np.testing.assert_array_equal(regions.compute(labels, spacing)[1], region_distance(labels == 2))


def test_a_stored_tube_that_was_rotated_is_0_or_1_within_the_rotated_label():
    labels = lines(SHAPES["2d"])
    target = Tubes(((1, 2),))
    turned = rotate(target.compute(labels, (1.0, 1.0))[0], 20, reshape=False, order=1)[None]
    turned_labels = rotate(labels, 20, reshape=False, order=0)
    assert ((turned > 0.01) & (turned < 0.99)).any()
    maps = target.finish(turned.astype(np.float32), turned_labels, None)
    assert set(np.unique(maps)) == {0, 1}
    assert not maps[0][turned_labels == 0].any()
    # nearly what the rotated label's own tube is
    own = skeleton_tube(turned_labels > 0)
    assert 2 * (maps[0] * own).sum() / (maps.sum() + own.sum()) > 0.85
