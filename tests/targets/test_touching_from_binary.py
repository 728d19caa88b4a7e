"""Touching zones of binary masks against Algorithm 1, spelled out with SciPy on a large canvas."""

import numpy as np
import pytest
from scipy import ndimage

from nnunet_ext.targets import touching_from_binary


def spelled_out(mask, radius):
    box = np.ones((2 * radius + 1,) * mask.ndim, bool)
    canvas = np.pad(mask, 4 * radius)
    gaps = ndimage.binary_closing(canvas, box) & ~canvas
    touching = ndimage.binary_dilation(gaps, box)
    inside = (slice(4 * radius, -4 * radius),) * mask.ndim
    return np.where(touching, 2, canvas)[inside]


@pytest.mark.parametrize("shape", [(17, 20), (7, 9, 11), (1, 12)])
@pytest.mark.parametrize("radius", [1, 2])
def test_equals_the_algorithm(shape, radius):
    rng = np.random.default_rng(4)
    for share in (0.5, 0.8):
        mask = ndimage.uniform_filter(rng.random(shape), 3) > np.quantile(
            ndimage.uniform_filter(rng.random(shape), 3), 1 - share
        )
        got = touching_from_binary(mask, radius)
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, spelled_out(mask, radius))


def test_two_squares_with_one_empty_column():
    mask = np.zeros((5, 7), np.uint8)
    mask[1:4, 0:3] = mask[1:4, 4:7] = 255
    expected = np.zeros((5, 7), int)
    expected[1:4] = [1, 1, 2, 2, 2, 1, 1]
    # the closing fills the column between the squares; its ends widen the zone beyond them by one
    expected[[0, 4]] = [0, 0, 2, 2, 2, 0, 0]
    np.testing.assert_array_equal(touching_from_binary(mask), expected)


def test_cells_farther_apart_do_not_touch():
    mask = np.array([[1, 0, 0, 0, 1]] * 3, bool)
    np.testing.assert_array_equal(touching_from_binary(mask), mask)
    assert touching_from_binary(mask, radius=2)[1].tolist() == [2, 2, 2, 2, 2]


def test_nothing_in_nothing_out_and_input_kept():
    mask = np.zeros((4, 4), bool)
    assert not touching_from_binary(mask).any()
    full = np.ones((4, 4), bool)
    assert (touching_from_binary(full) == 1).all()
    assert full.all()


@pytest.mark.parametrize(
    ("mask", "radius", "error", "text"),
    [
        (np.array([[0, 1, 2]]), 1, ValueError, "semantic_from_instances"),
        (np.zeros((2, 2)), 1, TypeError, "float64"),
        (np.zeros((2, 2), bool), 0, ValueError, "radius"),
        (np.zeros((2, 2), bool), 1.5, ValueError, "radius"),
        (np.zeros(3, bool), 1, ValueError, "two or three axes"),
    ],
)
def test_what_is_no_mask_is_refused(mask, radius, error, text):
    with pytest.raises(error, match=text):
        touching_from_binary(mask, radius)
