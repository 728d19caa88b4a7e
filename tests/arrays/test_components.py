"""Components against SciPy, in the images in which a labelling library slips, too."""

import numpy as np
import pytest
from scipy import ndimage

from nnunet_ext.arrays.components import NEIGHBOURS, label_components


@pytest.mark.parametrize(("ndim", "connectivity"), NEIGHBOURS)
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint32])
def test_equals_scipy_on_random_masks_of_odd_edges(ndim, connectivity, dtype):
    rng = np.random.default_rng(0)
    structure = ndimage.generate_binary_structure(ndim, connectivity)
    for _ in range(60):
        mask = rng.random(rng.integers(1, 8, ndim)) < rng.random()
        expected, count = ndimage.label(mask, structure)
        components, found = label_components(mask.astype(dtype), connectivity)
        assert found == count
        np.testing.assert_array_equal(components, expected)


def test_different_labels_are_never_connected():
    components, count = label_components(np.array([[1, 2, 2], [1, 0, 1]], np.uint8), 1)
    assert count == 3
    assert components.tolist() == [[1, 2, 2], [1, 0, 3]]


def test_not_contiguous_and_not_changed():
    labels = np.asfortranarray(np.eye(4, dtype=bool))
    assert label_components(labels)[1] == 1
    assert label_components(labels[::2])[1] == 2
    assert labels.sum() == 4
