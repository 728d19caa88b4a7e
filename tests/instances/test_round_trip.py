"""Instances to semantic classes and back; both packages must agree on the labels."""

import numpy as np
import pytest

from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.instances import from_probabilities, from_semantic
from nnunet_ext.metrics import panoptic_quality
from nnunet_ext.targets import semantic_from_instances


@pytest.mark.parametrize(
    ("shape", "n_cells", "spacing"),
    [((160, 200), 60, None), ((40, 64, 64), 30, None), ((16, 64, 64), 20, (3.0, 1.0, 1.0))],
)
def test_instances_come_back(shape, n_cells, spacing):
    _, instances = crowded_cells(shape, n_cells, spacing=spacing)
    semantic = semantic_from_instances(instances, spacing=spacing)
    assert (semantic == 2).any()
    plain = from_semantic((instances > 0).astype(np.uint8))
    assert panoptic_quality(instances, plain)["pq"] < 0.7  # they do touch

    back = from_semantic(semantic, spacing=spacing)
    assert back.max() == n_cells
    assert panoptic_quality(instances, back)["pq"] > 0.95
    np.testing.assert_array_equal(back > 0, instances > 0)
    sure = np.stack([semantic == label for label in range(4)]).astype(np.float32)
    np.testing.assert_array_equal(from_probabilities(sure, spacing=spacing), back)
