"""The four weight maps as extra targets: what they hand to the loss, per patch and from a stored case."""

import pickle

import numpy as np
import pytest
from scipy import ndimage

from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.targets import weight_maps
from nnunet_ext.training.extra_targets import Case
from nnunet_ext.training.extra_targets.weight_maps import (
    ClassBalance,
    DistanceMap,
    ShapeAware,
    UNetMap,
    cell_instances,
    cell_labels,
)

COUNTS = np.array([1000, 400, 60, 30], np.int64)
SHAPES = [((80, 90), (1.0, 1.0)), ((16, 30, 34), (6.0, 2.0, 2.0))]


def four_classes(shape):
    """Background, the insides of cells, their outermost voxels, and some background that is a gap."""
    instances = crowded_cells(shape, 12, 0)[1]
    inside = ndimage.minimum_filter(instances, 3) == ndimage.maximum_filter(instances, 3)
    labels = np.where(inside, 1, 2).astype(np.int16)
    labels[instances == 0] = 0
    labels[(instances == 0) & (np.random.default_rng(0).random(shape) < 0.05)] = 3
    return labels


def final(target, labels, spacing, counts=COUNTS):
    before = labels.copy()
    result = target.finish(target.compute(labels, spacing), labels, counts)
    assert result.shape == (1, *labels.shape)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(labels, before)
    return result[0]


def test_the_map_of_the_cascade():
    """Mask + w0 · exp(-(d1 + d2)² / 2σ²), by the largest: two cells of one pixel, two apart."""
    labels = np.array([[0, 1, 0, 1, 0, 0, 0, 0, 0, 0]], np.int16)
    between, beside = (3 * np.exp(-(total**2) / (2 * 10**2)) for total in (2, 4))
    expected = np.array([beside, 1, between, 1, beside]) / between
    found = final(UNetMap(3.0, 10.0, (1,), cascade=True), labels, (1.0, 1.0))
    np.testing.assert_allclose(found[0, :5], expected, rtol=1e-5)


@pytest.mark.parametrize(("shape", "spacing"), SHAPES, ids=["2D", "3D"])
def test_equal_to_the_maps_of_the_whole_with_lengths_in_voxels(shape, spacing):
    labels = four_classes(shape)
    cells = ndimage.label(labels == 1, np.ones((3,) * labels.ndim))[0]
    edges = tuple(edge / min(spacing) for edge in spacing)
    scaled = COUNTS / 30
    expected = {
        ClassBalance(): weight_maps.class_balance(labels, COUNTS),
        UNetMap(3.0, 4.0): weight_maps.unet(cells, 3, 4, spacing=edges),
        UNetMap(3.0, 4.0, cascade=True): weight_maps.unet(cells, 3, 4, "foreground", edges, normalise=True),
        DistanceMap(7.0): weight_maps.distance(labels, 7, COUNTS, edges),
        ShapeAware(1.5): weight_maps.shape_aware(cells, 1.5, None, labels, scaled, edges),
        ShapeAware(1.5, 4.0): weight_maps.shape_aware(cells, 1.5, 4, labels, scaled, edges),
    }
    for target, weight in expected.items():
        assert weight.std() > 0
        np.testing.assert_allclose(final(target, labels, spacing), weight, rtol=1e-5, err_msg=target.name)
        micrometres = tuple(edge / 1000 for edge in spacing)
        np.testing.assert_allclose(final(target, labels, micrometres), weight, rtol=1e-5)


def test_small_arrays():
    labels = np.array([[1, 0, 1, 0, 0, 2]], np.int16)
    between = 1 + 10 * np.exp(-((1 + 1) ** 2) / 50)
    beside = [1 + 10 * np.exp(-((1 + 3) ** 2) / 50), 1 + 10 * np.exp(-((2 + 4) ** 2) / 50)]
    touching = 1 + 10 * np.exp(-((3 + 5) ** 2) / 50)  # the class touching is no cell
    np.testing.assert_allclose(
        final(UNetMap(), labels, (1, 1)), [[1, between, 1, *beside, touching]], rtol=1e-5
    )
    counts = np.array([8, 4, 2])
    np.testing.assert_allclose(final(ClassBalance(), labels, (1, 1), counts), 1 / counts[labels])
    np.testing.assert_allclose(
        final(DistanceMap(2.0), labels, (1, 1), counts), [[1 / 4, 1 / 16, 1 / 4, 1 / 16, 1 / 16, 1 / 2]]
    )
    # one voxel is its own contour and skeleton: w_c = 1; rarest class: w0 = 1
    np.testing.assert_allclose(
        final(ShapeAware(0.0), labels, (1, 1), counts), [[1.5, 0.25, 1.5, 0.25, 0.25, 1]]
    )


@pytest.mark.parametrize("target", [ClassBalance(), UNetMap(), DistanceMap(), ShapeAware()])
@pytest.mark.parametrize("shape", [(9, 10), (4, 6, 5)])
def test_no_cell_and_nothing_but_cell(target, shape):
    for value in (0, 1):
        weight = final(target, np.full(shape, value, np.int16), (1,) * len(shape))
        assert np.isfinite(weight).all()
        assert weight.min() >= 0
        assert np.ptp(weight) <= 1e-6  # alike everywhere; shape_aware has no outlines inside the image


def test_class_that_no_training_case_has():
    labels = np.array([[0, 1, 2]], np.int16)
    for target in (ClassBalance(), DistanceMap()):
        assert final(target, labels, (1, 1), np.array([5, 5, 0]))[0, 2] == 0
    assert np.isfinite(final(ShapeAware(), labels, (1, 1), np.zeros(3, np.int64))).all()


@pytest.mark.parametrize(
    ("labels", "cells"),
    [
        ({"background": 0, "cell": 1, "touching": 2, "gap": 3}, (1,)),
        ({"background": 0, "gap": 1, "cell": 2, "ignore": 3}, (2,)),
        ({"background": 0, "nucleus": 1}, (1,)),
        ({"background": 0, "a": 1, "b": 2, "ignore": 3}, (1, 2)),
        ({"background": 0, "cell": [1, 2], "nucleus": 2}, (1, 2)),
        ({"background": 0, "whole": (1, 2, 3), "core": [2, 3], "enhancing": 3, "ignore": 4}, (1, 2, 3)),
        ({"background": 0, "cell": "1"}, (1,)),  # nnU-Net takes numbers in quotes, too
    ],
)
def test_labels_that_cells_are_made_of(labels, cells):
    assert cell_labels(labels) == cells


def test_cells_of_several_labels_are_one_component():
    labels = np.array([[1, 2, 0, 2, 0, 1], [0, 0, 0, 0, 3, 0]])
    np.testing.assert_array_equal(cell_instances(labels, (1, 2)), [[1, 1, 0, 2, 0, 3], [0, 0, 0, 0, 0, 0]])


def test_names_tell_parameters_apart_and_pickles_are_equal():
    targets = [
        ClassBalance(), UNetMap(), UNetMap(w0=3.0), UNetMap(sigma=2.5), UNetMap(cells=(1, 2)), DistanceMap(),
        DistanceMap(20.0), ShapeAware(), ShapeAware(3.0), ShapeAware(tau=4.0), ShapeAware(cells=(2,)),
    ]  # fmt: skip
    assert len({target.name for target in targets}) == len(targets)
    assert UNetMap(2.5, cells=(1, 3)).name == "unet_w0=2.5_sigma=5_cells=1+3"
    assert ShapeAware(tau=4.0).name == "shape_sigma=2_tau=4_cells=1"
    for target in targets:
        assert pickle.loads(pickle.dumps(target)) == target


def test_names_of_many_labels_are_short_enough_for_a_folder():
    assert ShapeAware(cells=(1, 2, 3, 5, 7, 8)).name == "shape_sigma=2_cells=1-3+5+7-8"
    assert UNetMap(cells=tuple(range(1, 201))).name == "unet_w0=10_sigma=5_cells=1-200"


@pytest.mark.parametrize("patch_size", [(512, 512), (128, 128, 128)])
def test_what_is_costly_is_made_once_per_case(patch_size):
    targets = (ClassBalance(), DistanceMap(), UNetMap(), ShapeAware())
    assert [target.per_case(patch_size) for target in targets] == [False, False, True, True]


@pytest.mark.parametrize("target", [UNetMap(), DistanceMap(), ShapeAware()])
def test_a_stack_for_a_2d_network_is_slices(target):
    labels = four_classes((12, 40, 44))[::4]
    labels[1] = 0
    found = target.compute_case(Case("a", labels, (1.0, 1.0), {}))
    assert found.shape == (1, 3, 40, 44)
    for z in range(3):
        np.testing.assert_array_equal(found[:, z], target.compute(labels[z], (1.0, 1.0)))
    whole = target.compute_case(Case("a", labels, (2.0, 1.0, 1.0), {}))
    assert not np.allclose(whole, found)
