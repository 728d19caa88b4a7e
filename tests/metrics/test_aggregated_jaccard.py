"""AJI against the paper's algorithm as loops over sets of voxels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nnunet_ext.metrics import aggregated_jaccard_index

SHAPES = st.sampled_from([(5, 7), (3, 4, 5)])


def voxels_of(instances):
    return {i: set(np.flatnonzero(instances == i)) for i in sorted(set(instances.flat) - {0})}


def aji_by_loops(reference, prediction):
    references, predictions = voxels_of(reference), voxels_of(prediction)
    intersection = union = 0
    used = set()
    for mine in references.values():
        best, best_iou = None, 0
        for i, theirs in predictions.items():
            iou = len(mine & theirs) / len(mine | theirs)
            if iou > best_iou:
                best, best_iou = i, iou
        if best is None:
            union += len(mine)
            continue
        intersection += len(mine & predictions[best])
        union += len(mine | predictions[best])
        used.add(best)
    union += sum(len(theirs) for i, theirs in predictions.items() if i not in used)
    return intersection / union if union else math.nan


@settings(max_examples=100, deadline=None)
@given(data=st.data(), shape=SHAPES, most=st.sampled_from([1, 2, 5]))
def test_equals_loops(data, shape, most):
    reference, prediction = (
        data.draw(arrays.arrays(np.int16, shape, elements=st.integers(0, most))) for _ in "rp"
    )
    assert aggregated_jaccard_index(reference, prediction) == pytest.approx(
        aji_by_loops(reference, prediction), nan_ok=True
    )


def test_literal_maps():
    reference = np.array([[1, 1, 1, 1, 2, 2, 0, 3, 3]])
    prediction = np.array([[7, 7, 7, 7, 7, 7, 9, 0, 0]])
    # 7 serves 1 and 2, as in the paper; 3 is missed, 9 is false.
    assert aggregated_jaccard_index(reference, prediction) == (4 + 2) / (6 + 6 + 2 + 1)
    assert aggregated_jaccard_index(reference, reference) == 1


def test_of_equal_overlaps_the_lower_id_is_used():
    reference, prediction = np.array([[1, 1, 0, 0, 0]]), np.array([[5, 4, 4, 5, 0]])
    assert aggregated_jaccard_index(reference, prediction) == 1 / (3 + 2)
    reference, prediction = np.array([[1, 1]]), np.array([[5, 4]])
    assert aggregated_jaccard_index(reference, prediction) == 1 / (2 + 1)


def test_without_instances():
    empty, one = np.zeros((3, 3), int), np.eye(3, dtype=int)
    assert math.isnan(aggregated_jaccard_index(empty, empty))
    assert aggregated_jaccard_index(empty, one) == aggregated_jaccard_index(one, empty) == 0


def test_wrong_arrays_are_refused():
    with pytest.raises(ValueError, match="prediction: expected instance ids"):
        aggregated_jaccard_index(np.ones((2, 2), int), np.ones((2, 2)))
