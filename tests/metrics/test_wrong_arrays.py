"""What is no array of ids, labels or truth values gets an error text, never a number."""

import numpy as np
import pytest

from nnunet_ext.metrics import (
    aggregated_jaccard_index,
    betti_0_error,
    betti_1_error,
    cl_dice,
    containment,
    contour_f1,
    dice,
    instance_contours,
    instance_overlap,
    panoptic_quality,
)

IDS = np.array([[1, 1, 0], [0, 2, 2]])
OF_INSTANCES = panoptic_quality, aggregated_jaccard_index, contour_f1, instance_overlap
OF_MASKS = dice, cl_dice, betti_0_error, betti_1_error
NEITHER = {
    "list": IDS.tolist(),
    "None": None,
    "float": IDS.astype(float),
    "NaN": np.full(IDS.shape, np.nan),
    "text": IDS.astype(str),
    "objects": IDS.astype(object),
    "complex": IDS.astype(complex),
    "durations": IDS.astype("m8[s]"),
    "matrix": np.matrix(IDS),
    "masked ids": np.ma.masked_array(IDS, IDS == 1),
    "masked truth": np.ma.masked_array(IDS > 0, IDS == 1),
    "other shape": np.ones((2, 2), int),
    "other axes": np.ones((1, 2, 3), int),
    "empty": np.zeros((0, 3), int),
}


@pytest.mark.parametrize("name", [*NEITHER, "truth", "negative"])
def test_no_instances(name):
    wrong = {**NEITHER, "truth": IDS > 0, "negative": -IDS}[name]
    for metric in OF_INSTANCES:
        for arrays in ((wrong, IDS), (IDS, wrong)):
            with pytest.raises((ValueError, TypeError), match=r"expected"):
                metric(*arrays)


@pytest.mark.parametrize("name", [*NEITHER, "ids"])
def test_no_truth_values(name):
    wrong = {**NEITHER, "ids": IDS}[name]
    for metric in OF_MASKS:
        for arrays in ((wrong, IDS > 0), (IDS > 0, wrong), (IDS > 0, IDS > 0, wrong)):
            if arrays[-1] is not None or len(arrays) < 3:  # no mask is possible
                with pytest.raises((ValueError, TypeError), match=r"expected"):
                    metric(*arrays)


@pytest.mark.parametrize(
    "name", ["list", "None", "NaN", "text", "objects", "complex", "masked ids", "halves"]
)
def test_no_label_map(name):
    wrong = {**NEITHER, "halves": IDS / 2}[name]
    for call in (lambda: containment(wrong, (2,), (1, 2)), lambda: instance_contours(wrong)):
        with pytest.raises((ValueError, TypeError), match=r"labels|instances"):
            call()
    whole = containment(IDS.astype(np.float32), (2,), (1, 2))
    assert whole == containment(IDS, (2,), (1, 2))


def test_huge_sparse_ids():
    for factor, dtype in ((2**40, np.int64), (2**62, np.uint64)):
        huge = IDS.astype(dtype) * dtype(factor)
        assert panoptic_quality(huge, IDS)["pq"] == panoptic_quality(IDS, huge)["pq"] == 1
        assert aggregated_jaccard_index(huge, huge) == contour_f1(huge, IDS) == 1
