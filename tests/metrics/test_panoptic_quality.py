"""PQ and its parts: literal maps, StarDist's own numbers, odd ids and types, speed."""

import math
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from stardist.matching import label_overlap, matching, matching_criteria

from nnunet_ext.metrics import instance_overlap, match_instances, panoptic_quality

STARDIST_NAMES = (
    *("precision", "recall", "accuracy", "f1", "tp", "fp", "fn", "n_true", "n_pred"),
    *("mean_true_score", "mean_matched_score", "panoptic_quality"),
)
RATIOS = ("pq", "sq", "rq", "precision", "recall", "f1", "accuracy", "mean_true_score", "mean_matched_dice")


def cells_and_prediction(seed, shape, damage):
    """Blocks as instances, and a prediction with other ids in which voxels, and some borders, are wrong."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 7, [-(-length // 3) for length in shape])
    reference, prediction = coarse, rng.permutation(9)[coarse] * (coarse > 0)
    for axis in range(len(shape)):
        reference, prediction = np.repeat(reference, 3, axis), np.repeat(prediction, 3, axis)
    reference, prediction = (array[tuple(map(slice, shape))] for array in (reference, prediction))
    prediction = np.where(
        rng.random(shape) < damage, rng.integers(0, 9, shape), np.roll(prediction, seed % 2)
    )
    return reference, prediction


def with_best_matches(theirs, reference, prediction):
    """StarDist's numbers for the matches whose IoUs have the largest sum.

    Its own choice also counts the IoUs of pairs that are no matches, which below .5 can cost matches.
    """
    scores = matching_criteria["iou"](label_overlap(reference, prediction, check=False))[1:, 1:]
    matches = scores >= theirs["thresh"]
    chosen = linear_sum_assignment(matches * (1 + scores / (2 * max(scores.shape))), maximize=True)
    assert matches[chosen].sum() == theirs["tp"]
    total = scores[chosen][matches[chosen]].sum()
    counted = theirs["tp"] + theirs["fp"] / 2 + theirs["fn"] / 2
    means = {
        "mean_true_score": theirs["n_true"],
        "mean_matched_score": theirs["tp"],
        "panoptic_quality": counted,
    }
    return theirs | {name: total / count if count else 0.0 for name, count in means.items()}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shape=st.sampled_from([(12, 15), (6, 7, 8), (1, 9)]),
    damage=st.sampled_from([0.0, 0.1, 0.3, 0.7]),
    iou=st.sampled_from([0, 0.1, 0.25, 0.37, 0.5, 0.61, 0.75]),
)
@example(seed=561539, shape=(6, 7, 8), damage=0.3, iou=0.1)
def test_equals_stardist(seed, shape, damage, iou):
    reference, prediction = cells_and_prediction(seed, shape, damage)
    ours = panoptic_quality(reference, prediction, iou)
    theirs = matching(reference, prediction, thresh=iou + 1e-6)._asdict()  # its rule is >=, ours >
    if not reference.any() and not prediction.any():
        assert math.isnan(ours["pq"])
        return
    if iou < 0.5 and reference.any() and prediction.any():
        theirs = with_best_matches(theirs, reference, prediction)
    assert {name: ours[name] for name in STARDIST_NAMES} == pytest.approx(
        {name: theirs[name] for name in STARDIST_NAMES}, abs=1e-6
    )
    assert (ours["pq"], ours["sq"], ours["rq"]) == (
        ours["panoptic_quality"],
        ours["mean_matched_score"],
        ours["f1"],
    )
    assert ours["pq"] == pytest.approx(ours["sq"] * ours["rq"])


def test_literal_maps():
    reference = np.array([[1, 1, 1, 1, 0, 2, 2, 2, 0, 3]])
    prediction = np.array([[5, 5, 5, 0, 0, 7, 8, 9, 4, 3]])
    result = panoptic_quality(reference, prediction)
    assert result == pytest.approx(
        {
            **{"tp": 2, "fp": 4, "fn": 1, "n_true": 3, "n_pred": 6, "thresh": 0.5},
            **{"precision": 2 / 6, "recall": 2 / 3, "f1": 4 / 9, "rq": 4 / 9, "accuracy": 2 / 7},
            **{"sq": 1.75 / 2, "mean_matched_score": 1.75 / 2, "mean_true_score": 1.75 / 3},
            **{"pq": 1.75 / 4.5, "panoptic_quality": 1.75 / 4.5},
            **{"mean_matched_dice": (6 / 7 + 1) / 2, "mean_true_dice": (6 / 7 + 1) / 3},
        }
    )


def test_a_list_of_thresholds():
    maps = np.array([[1, 1, 1, 2, 2, 2]]), np.array([[1, 1, 1, 2, 2, 0]])
    several = panoptic_quality(*maps, [0.5, 0.75])
    assert [(result["thresh"], result["tp"]) for result in several] == [(0.5, 2), (0.75, 1)]
    assert several == [panoptic_quality(*maps, iou) for iou in (0.5, 0.75)]
    assert panoptic_quality(*maps, np.float32(0.5)) == several[0]


@pytest.mark.parametrize(
    ("reference", "prediction", "iou"),
    [([1, 1], [1, 0], 0.5), ([1, 1, 1, 1], [1, 1, 1, 0], 0.75), ([1, 1, 1, 1], [1, 0, 0, 0], 0.25)],
)
def test_an_iou_of_exactly_the_threshold_is_no_match(reference, prediction, iou):
    maps = np.array([reference]), np.array([prediction])
    assert panoptic_quality(*maps, iou)["tp"] == 0
    assert panoptic_quality(*maps, iou - 0.01)["tp"] == 1
    assert matching(*maps, thresh=iou).tp == 1  # StarDist counts it


def test_below_one_half_as_many_pairs_as_possible():
    # 1 and 8 have IoU 5/7, more than both others together; but then 2 and 9 would have no partner.
    reference = np.array([[1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 0]])
    prediction = np.array([[9, 8, 8, 8, 8, 8, 8, 0, 0, 0, 0, 0]])
    overlap = instance_overlap(reference, prediction)
    found = match_instances(overlap, 0.09)
    assert list(zip(found.reference, found.prediction, strict=True)) == [(0, 1), (1, 0)]  # 1–9 and 2–8
    assert found.scores == pytest.approx([1 / 6, 1 / 10])
    assert matching(reference, prediction, thresh=0.09).tp == 2
    assert list(match_instances(overlap, 0.1).scores) == [5 / 7]  # 2–8 is out, so 1 takes the better one


def test_no_instances():
    empty, one = np.zeros((3, 4), int), np.eye(3, 4, dtype=int)
    nothing = panoptic_quality(empty, empty)
    assert all(math.isnan(nothing[name]) for name in RATIOS)
    assert (nothing["tp"], nothing["fp"], nothing["fn"]) == (0, 0, 0)
    for maps, counts in (((empty, one), (0, 1, 0)), ((one, empty), (0, 0, 1))):
        result = panoptic_quality(*maps)
        assert [result[name] for name in RATIOS] == [0] * len(RATIOS)
        assert (result["tp"], result["fp"], result["fn"]) == counts
    assert [panoptic_quality(one, one)[name] for name in RATIOS] == [1] * len(RATIOS)
    assert math.isnan(panoptic_quality(np.zeros((0, 4), int), np.zeros((0, 4), int))["pq"])


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "<u2", ">u2", "u4", "i8", "u8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_types_memory_orders_and_ids_make_no_difference(dtype, order):
    reference, prediction = cells_and_prediction(2, (9, 8, 7), 0.1)
    expected = panoptic_quality(reference, prediction)
    assert expected["tp"] > 0
    largest = int(np.iinfo(dtype).max)
    renamed = np.array([0, largest, 3, largest - 1, 9, 2, 7, 4, 1], dtype)
    arrays = [np.asarray(renamed[array], order=order) for array in (reference, prediction)]
    before = [array.copy() for array in arrays]
    assert panoptic_quality(*arrays) == pytest.approx(expected)
    assert panoptic_quality(*(array[::-1, :, ::-1] for array in arrays)) == pytest.approx(expected)
    assert panoptic_quality(arrays[0], prediction) == pytest.approx(expected)  # two types
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_ids_beyond_32_bits_without_background():
    reference = np.array([[2**40, 2**40, 2**40 + 1, 2**40 + 1]])
    prediction = np.array([[2**50, 2**50, 0, 2**50 + 2**32]])
    overlap = instance_overlap(reference, prediction)
    assert list(overlap.reference_sizes) == [2, 2]
    assert list(overlap.prediction_sizes) == [2, 1]
    assert list(overlap.iou) == [1, 0.5]


def test_overlap_equals_a_loop_over_blocks(monkeypatch):
    monkeypatch.setattr("nnunet_ext.metrics.contingency._BLOCK", 50)  # many blocks, runs cut in two
    reference, prediction = cells_and_prediction(5, (14, 6, 5), 0.2)
    overlap = instance_overlap(reference, prediction)
    ids = [[i for i in np.unique(array) if i] for array in (reference, prediction)]
    pairs = [
        (r, p, np.sum((reference == i) & (prediction == j)))
        for r, i in enumerate(ids[0])
        for p, j in enumerate(ids[1])
    ]
    assert list(zip(overlap.reference, overlap.prediction, overlap.intersection, strict=True)) == [
        pair for pair in pairs if pair[2]
    ]
    assert list(overlap.reference_sizes) == [np.sum(reference == i) for i in ids[0]]
    assert list(overlap.prediction_sizes) == [np.sum(prediction == i) for i in ids[1]]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((np.ones((2, 2)), np.ones((2, 2), int)), "reference: expected instance ids.*float64"),
        ((np.ones((2, 2), int), np.ones((2, 2), bool)), "prediction: expected instance ids.*bool"),
        ((np.ones((2, 2), int), np.full((2, 2), -3)), "prediction: expected 0 .* got -3"),
        ((np.ones((2, 2), int), np.ones((2, 3), int)), r"one shape, got \(2, 3\) and \(2, 2\)"),
    ],
)
def test_wrong_arrays_are_refused(arrays, message):
    with pytest.raises(ValueError, match=message):
        panoptic_quality(*arrays)


@pytest.mark.parametrize("iou", [-0.1, 1, 50, math.nan])
def test_wrong_thresholds_are_refused(iou):
    with pytest.raises(ValueError, match="iou: expected a threshold"):
        panoptic_quality(np.eye(2, dtype=int), np.eye(2, dtype=int), iou)


def test_thousands_of_instances_take_neither_time_nor_a_table_of_all_pairs():
    side = 71  # 5041 squares
    ids = np.arange(1, side**2 + 1, dtype=np.int32).reshape(side, side)
    reference = np.kron(ids, np.ones((28, 28), np.int32))
    prediction = np.roll(reference, (3, 2), (0, 1))
    tracemalloc.start()
    start = time.perf_counter()
    result = panoptic_quality(reference, prediction)
    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result["n_true"] == result["n_pred"] == 5041
    assert result["tp"] > 4800  # those rolled around the border fall apart
    assert seconds < 1
    assert peak < 2 * reference.nbytes  # int64 keys of every voxel would be as much alone, 5041² masks 200 MB
