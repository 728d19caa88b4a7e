from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, maximum_filter

from nnunet_ext.arrays.components import label_components
from nnunet_ext.data.nested import nested_cells

IMAGES = [((160, 200), 8), ((96, 64), 3), ((24, 64, 72), 8), ((26, 26, 26), 1)]


@pytest.mark.parametrize(("shape", "cells"), IMAGES)
@pytest.mark.parametrize("seed", range(3))
def test_nuclei_are_enclosed_by_cells(shape, cells, seed):
    image, labels = nested_cells(shape, cells, seed)
    assert (image.shape, image.dtype) == (shape, np.float32)
    assert (labels.shape, labels.dtype) == (shape, np.uint8)
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert np.isfinite(image).all()
    assert 0 <= image.min() < image.max() < 2
    beside_background = maximum_filter(labels == 0, 3)  # diagonal neighbours too
    assert not (beside_background & (labels == 2)).any()


@pytest.mark.parametrize(("shape", "cells"), [((256, 256), 14), ((200, 320), 20), ((32, 96, 96), 14)])
@pytest.mark.parametrize("seed", range(2))
def test_every_cell_has_its_nucleus(shape, cells, seed):
    _, labels = nested_cells(shape, cells, seed)
    assert label_components(labels == 2)[1] == cells
    shares = np.bincount(labels.ravel(), minlength=3) / labels.size
    assert 0.25 < shares[0] < 0.7
    assert 0.01 < shares[2] < 0.12 < shares[1]


def test_the_seed_decides():
    image, labels = nested_cells((96, 96), 5, seed=3)
    again = nested_cells((96, 96), 5, seed=3)
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(labels, again[1])
    other = nested_cells((96, 96), 5, seed=4)
    assert not np.array_equal(image, other[0])
    assert not np.array_equal(labels, other[1])


def distance_to_background(labels):
    """Steps of erosion that the cells, nuclei included, survive, at each voxel."""
    steps, left = np.zeros(labels.shape), labels > 0
    while left.any():
        steps += left
        left = binary_erosion(left, np.ones((3,) * labels.ndim), border_value=1)
    return steps


@pytest.mark.parametrize(("share", "is_near"), [(1.0, True), (0.0, False)])
def test_nuclei_near_the_border(share, is_near):
    """Lone cells, so that every border is one to the background."""
    nearest = []
    for seed in range(6):
        _, labels = nested_cells((100, 100), 1, seed, near_border=share)
        nearest.append(distance_to_background(labels)[labels == 2].min())
    assert (np.median(nearest) <= 4) == is_near


def test_out_of_focus_nuclei_are_weak():
    def contrast(share):
        differences = []
        for seed in range(4):
            image, labels = nested_cells((128, 128), 4, seed, out_of_focus=share, noise=0)
            differences.append(image[labels == 1].mean() - image[labels == 2].mean())
        return np.mean(differences)

    assert contrast(0.0) > 1.8 * contrast(1.0) > 0.02


def test_debris_is_dark_background():
    """As dark as nuclei, and outside the cells; the labels know nothing of it."""
    clean, labels = nested_cells((160, 160), 6, seed=1, debris=0, noise=0, out_of_focus=0)
    dirty, same = nested_cells((160, 160), 6, seed=1, debris=10, noise=0, out_of_focus=0)
    np.testing.assert_array_equal(labels, same)
    nucleus, background = clean[labels == 2].mean(), np.median(clean[labels == 0])
    dark = (nucleus + background) / 2
    assert (clean[labels == 0] < dark).mean() < 0.02
    assert (dirty[labels == 0] < dark).mean() > 0.06


def test_noise():
    quiet, labels = nested_cells((96, 96), 4, noise=0)
    loud, _ = nested_cells((96, 96), 4, noise=0.05)
    assert (loud - quiet).std() == pytest.approx(0.05, rel=0.05)
    assert quiet[labels == 0].mean() > quiet[labels == 1].mean() > quiet[labels == 2].mean()


@pytest.mark.parametrize("shape", [(40, 50), (12, 20, 24)])
def test_no_cells(shape):
    image, labels = nested_cells(shape, 0, debris=2)
    assert not labels.any()
    assert image.shape == shape
    assert image.min() < 0.8 * np.median(image)  # the debris


def test_a_cell_that_fills_the_image():
    image, labels = nested_cells((26, 26), 1, seed=7, debris=3)
    assert np.unique(labels).tolist() == [1, 2]
    assert np.isfinite(image).all()
    assert (labels == 2).mean() < 0.4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (20,)}, "two or three positive edges in voxels as shape. Got: \\(20,\\)"),
        ({"shape": (0, 20)}, "two or three positive edges"),
        ({"shape": (48, 48), "cells": 11}, "room for 0 to 10 cells. Got: 11"),
        ({"cells": -1}, "room for 0 to"),
        ({"near_border": 1.5}, "from 0 to 1 as near_border. Got: 1.5"),
        ({"out_of_focus": -0.1}, "from 0 to 1 as out_of_focus"),
        ({"debris": -1}, "debris and noise of 0 or more. Got: -1"),
        ({"noise": float("nan")}, "debris and noise of 0 or more"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        nested_cells(**arguments)
