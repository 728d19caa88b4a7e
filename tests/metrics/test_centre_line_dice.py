import math

import numpy as np
import pytest
from skimage.morphology import skeletonize

from nnunet_ext.metrics import cl_dice, dice


def bar(length, width=3, ndim=2):
    image = np.zeros((9,) * (ndim - 1) + (20,), bool)
    image[(slice(3, 3 + width),) * (ndim - 1) + (slice(2, 2 + length),)] = True
    return image


@pytest.mark.parametrize("ndim", [2, 3])
def test_perfect_thicker_shorter(ndim):
    thin, thick, short = bar(14, 3, ndim), bar(14, 5, ndim), bar(7, 3, ndim)
    assert cl_dice(thin, thin) == 1
    assert cl_dice(thick, thin) > 0.9 > dice(thick, thin)  # thickness does not count, length does
    assert cl_dice(short, thin) < 0.8


@pytest.mark.parametrize("ndim", [2, 3])
def test_equals_the_definition(ndim):
    prediction, reference = bar(9, 5, ndim), bar(14, 3, ndim)
    sp, sr = skeletonize(prediction), skeletonize(reference)
    precision, sensitivity = (sp & reference).sum() / sp.sum(), (sr & prediction).sum() / sr.sum()
    expected = 2 * precision * sensitivity / (precision + sensitivity)
    assert cl_dice(prediction, reference) == pytest.approx(expected)
    assert 0 < expected < 1


def test_literal_value():
    reference = np.array([[0, 0, 0, 0, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 0]], dtype=bool)
    prediction = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]], dtype=bool)
    # a line is its own skeleton: precision 1/2, sensitivity 1/4
    assert cl_dice(prediction, reference) == pytest.approx(2 * 0.5 * 0.25 / 0.75)


def test_empty_and_disjoint():
    line, empty = bar(5), np.zeros((9, 20), bool)
    assert math.isnan(cl_dice(empty, empty))
    assert cl_dice(line, empty) == cl_dice(empty, line) == 0
    assert cl_dice(line, np.roll(line, 8, axis=1)) == 0


def test_mask_removes_from_both_before_thinning():
    reference, prediction = bar(14), bar(7)
    mask = np.zeros_like(reference)
    mask[:, :9] = True  # where they agree
    assert cl_dice(prediction, reference, mask) == 1
    assert math.isnan(cl_dice(prediction, reference, np.zeros_like(mask)))


def test_tube_that_scikit_image_deletes_still_counts():
    tube = bar(10, 4, ndim=3)
    assert not skeletonize(tube).any()  # scikit-image#3757; if this fails, it has been corrected there
    assert cl_dice(tube, tube) == 1
    two = tube.copy()
    two[8, 8, 2:12] = True  # a component that survives next to one that does not
    assert cl_dice(two, tube) == pytest.approx(2 * (160 / 170) / (1 + 160 / 170))


def test_inputs_are_not_mutated():
    prediction, reference, mask = bar(7), bar(14), np.ones((9, 20), bool)
    for array in (prediction, reference, mask):
        array.flags.writeable = False
    cl_dice(prediction, reference, mask)
    np.testing.assert_array_equal(prediction, bar(7))


def test_exception():
    with pytest.raises(ValueError, match="one shape"):
        cl_dice(bar(5), bar(5, ndim=3))
    with pytest.raises(ValueError, match="boolean"):
        cl_dice(bar(5).astype(int), bar(5))


def test_a_mask_whose_empty_rows_a_labelling_library_has_counted_in():
    """cc3d 4.1.1 numbers background voxels of this boolean image."""
    rows = ("...", "...", "...", "#.#", "###")
    mask = np.array([[pixel == "#" for pixel in row] for row in rows])
    assert cl_dice(mask, mask) == 1
