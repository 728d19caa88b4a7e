import numpy as np
import pytest

from nnunet_ext.arrays.blocks import split, whole
from nnunet_ext.arrays.patch_topology import patch_betti_numbers
from nnunet_ext.metrics import betti_numbers


@pytest.mark.parametrize(
    ("shape", "edges"),
    [
        ((11, 14), (5, 4)),
        ((11, 14), (1, 3)),
        ((11, 14), (20, 14)),
        ((1, 9), (4, 4)),
        ((7, 6, 9), (4, 4, 4)),
        ((7, 6, 9), (7, 1, 5)),
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.4, 0.7, 1.0])
def test_equals_each_patch_by_itself(shape, edges, share):
    foreground = np.random.default_rng(0).random((3, *shape)) < share
    boxes = split(whole(shape), edges)
    expected = np.array([[betti_numbers(image[box]) for box in boxes] for image in foreground])
    result = patch_betti_numbers(foreground, edges, holes=True)
    np.testing.assert_array_equal(np.moveaxis(result, 0, -1), expected)
    np.testing.assert_array_equal(patch_betti_numbers(foreground, edges), result[:1])


def test_a_tunnel_in_one_patch_and_a_cavity_in_the_next():
    volume = np.zeros((3, 3, 6), bool)
    volume[1] = True
    volume[1, 1, 1] = False
    volume[:, :, 3:] = True
    volume[1, 1, 4] = False
    assert patch_betti_numbers(volume[None], (3, 3, 3), holes=True).tolist() == [[[1, 1]], [[1, 0]], [[0, 1]]]
    assert patch_betti_numbers(volume[None], (3, 3, 6), holes=True).tolist() == [[[1]], [[1]], [[1]]]
