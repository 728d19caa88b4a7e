"""Regions that nobody judged: every metric of instances with a mask, against sets of voxels."""

import itertools
import math

import numpy as np
import pytest

from nnunet_ext.metrics import (
    aggregated_jaccard_index,
    containment,
    contour_f1,
    instance_contours,
    instance_overlap,
    match_instances,
    panoptic_quality,
)


def voxels_of(instances):
    places = itertools.product(*map(range, instances.shape))
    found = {}
    for place in places:
        if instances[place]:
            found.setdefault(int(instances[place]), set()).add(place)
    return found


def judged(instances, counted):
    """Ids of the instances that do not lie mostly in what is not counted."""
    return {i for i, places in voxels_of(instances).items() if 2 * len(places - counted) <= len(places)}


def by_sets(reference, prediction, mask):
    """PQ at .5 and AJI of voxels as sets."""
    counted = set(zip(*np.nonzero(mask), strict=True))
    ours, theirs = (
        {i: places & counted for i, places in voxels_of(instances).items()}
        for instances in (reference, prediction)
    )
    ious = {
        (r, p): len(ours[r] & theirs[p]) / len(ours[r] | theirs[p])
        for r, p in itertools.product(ours, theirs)
        if ours[r] & theirs[p]
    }
    pairs = {pair: iou for pair, iou in ious.items() if iou > 0.5}
    missed = judged(reference, counted) - {r for r, _ in pairs}
    false = judged(prediction, counted) - {p for _, p in pairs}
    intersection = union = 0
    used = set()
    for r in sorted(ours):
        partners = [(-ious[r, p], p) for p in theirs if (r, p) in ious]
        if partners:
            p = min(partners)[1]
            used.add(p)
            intersection += len(ours[r] & theirs[p])
            union += len(ours[r] | theirs[p])
        elif r in judged(reference, counted):
            union += len(ours[r])
    union += sum(len(theirs[p]) for p in judged(prediction, counted) - used)
    dices = [2 * iou / (1 + iou) for iou in pairs.values()]
    half = len(pairs) + (len(missed) + len(false)) / 2
    return {
        "tp": len(pairs),
        "fp": len(false),
        "fn": len(missed),
        "pq": sum(pairs.values()) / half if half else math.nan,
        "mean_true_dice": sum(dices) / (len(pairs) + len(missed)) if pairs else (0 if half else math.nan),
        "aji": intersection / union if union else math.nan,
    }


def contour_f1_by_loops(reference, prediction, mask, tolerance):
    counted = set(zip(*np.nonzero(mask), strict=True))

    def contour(instances):
        found = {}
        for place in counted:
            for axis, step in itertools.product(range(instances.ndim), (-1, 1)):
                other = tuple(c + step * (a == axis) for a, c in enumerate(place))
                if instances[place] and other in counted and instances[other] != instances[place]:
                    found[place] = int(instances[place])
        return found

    def near(here, there, instances):
        counting = [place for place, i in here.items() if i in judged(instances, counted)]
        hits = sum(any(math.dist(a, b) <= tolerance for b in there) for a in counting)
        return hits, len(counting)

    predicted, true = contour(prediction), contour(reference)
    (p, all_p), (r, all_r) = near(predicted, true, prediction), near(true, predicted, reference)
    if not all_p and not all_r:
        return math.nan
    return 2 * (p / all_p) * (r / all_r) / (p / all_p + r / all_r) if p and r else 0


def random_maps(seed, shape):
    """Blocks as instances, a damaged copy, and a mask of blocks and some voxels."""
    rng = np.random.default_rng(seed)

    def blocks(size, most):
        coarse = rng.integers(0, most, [-(-length // size) for length in shape])
        for axis in range(len(shape)):
            coarse = np.repeat(coarse, size, axis)
        return coarse[tuple(map(slice, shape))]

    reference = blocks(3, 7)
    prediction = np.where(
        rng.random(shape) < 0.2, rng.integers(0, 7, shape), np.roll(reference, seed % 2, -1)
    )
    return reference, prediction, (blocks(2, 4) > 0) & (rng.random(shape) > 0.1)


@pytest.mark.parametrize("shape", [(9, 11), (4, 5, 6)])
@pytest.mark.parametrize("seed", range(8))
def test_equals_sets_of_voxels(shape, seed):
    reference, prediction, mask = random_maps(seed, shape)
    if seed % 2:
        reference = np.where(mask, reference, 0)  # as converters write it: no instance where nobody judged
    before = [array.copy() for array in (reference, prediction, mask)]
    expected = by_sets(reference, prediction, mask)
    found = panoptic_quality(reference, prediction, mask=mask)
    found["aji"] = aggregated_jaccard_index(reference, prediction, mask)
    assert {key: found[key] for key in expected} == pytest.approx(expected, nan_ok=True)
    contours = contour_f1(reference, prediction, [0, 1], mask=mask)
    assert contours == pytest.approx(
        [contour_f1_by_loops(reference, prediction, mask, tolerance) for tolerance in (0, 1)], nan_ok=True
    )
    for array, copy in zip((reference, prediction, mask), before, strict=True):
        np.testing.assert_array_equal(array, copy)


CUT = np.array([[1, 1, 1, 1, 1, 1, 0, 0]], bool)


@pytest.mark.parametrize(
    ("reference", "prediction", "tp_fp_fn", "pq"),
    [
        ([1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 7, 7], (1, 0, 0), 1),  # wholly in it
        ([1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 7, 7, 7], (1, 0, 0), 1),  # two thirds in it
        ([1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 7, 7, 7, 7], (1, 1, 0), 1 / 1.5),  # half is not mostly
        ([0, 0, 0, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 1, 1], (1, 0, 0), 1),  # the ignored leave the IoU
        ([0, 0, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1, 1, 1], (1, 0, 0), 1),  # mostly in it, but a match
        ([0, 0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0], (0, 0, 0), math.nan),  # a reference in it
        ([0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0], (0, 0, 1), 0),
    ],
)
def test_literal_maps(reference, prediction, tp_fp_fn, pq):
    maps = np.array([reference]), np.array([prediction])
    result = panoptic_quality(*maps, mask=CUT)
    assert (result["tp"], result["fp"], result["fn"]) == tp_fp_fn
    assert result["pq"] == pytest.approx(pq, nan_ok=True)
    swapped = panoptic_quality(*maps[::-1], mask=CUT)
    assert (swapped["tp"], swapped["fn"], swapped["fp"]) == tp_fp_fn
    assert aggregated_jaccard_index(*maps, CUT) == pytest.approx(
        aggregated_jaccard_index(*(array[:, :6] for array in maps)) if tp_fp_fn != (1, 0, 0) else 1,
        nan_ok=True,
    )


def test_sizes_are_counted_voxels_and_bins_follow_them():
    reference = np.array([[1, 1, 1, 0, 2, 2, 2, 2]])
    overlap = instance_overlap(reference, np.array([[1, 1, 1, 0, 0, 0, 0, 9]]), CUT)
    assert list(overlap.reference_sizes) == [3, 2]
    assert list(overlap.reference_ignored) == [0, 2]
    assert list(overlap.prediction_sizes) == [3, 0]
    matching = match_instances(overlap)
    assert (matching.counts(below=3).fn, matching.counts(3).tp, matching.counts(3).fn) == (1, 1, 0)
    assert matching.counts().fp == 0
    assert matching.left_out == (0, 1)


@pytest.mark.parametrize("shape", [(12, 14), (6, 7, 8)])
def test_an_ignored_border_is_as_if_it_were_cut_off(shape):
    reference, prediction, _ = random_maps(5, shape)
    inner = tuple(slice(1, None) for _ in shape)
    mask = np.zeros(shape, bool)
    mask[inner] = True
    for instances in (reference, prediction):  # pieces off, so that no instance is mostly in the border
        instances[~mask & (np.random.default_rng(0).random(shape) < 0.6)] = 0
        assert judged(instances, set(zip(*np.nonzero(mask), strict=True))) == set(voxels_of(instances))
    cut = reference[inner], prediction[inner]
    assert panoptic_quality(reference, prediction, mask=mask) == panoptic_quality(*cut)
    assert aggregated_jaccard_index(reference, prediction, mask) == aggregated_jaccard_index(*cut)
    assert contour_f1(reference, prediction, [0, 1, 2], mask=mask) == contour_f1(*cut, [0, 1, 2])
    labels = np.minimum(prediction, 2)
    assert containment(labels, (2,), (1, 2), mask) == containment(labels[inner], (2,), (1, 2))


def test_a_mask_that_counts_all_changes_nothing_and_one_that_counts_nothing_leaves_nothing():
    reference, prediction, _ = random_maps(3, (9, 11))
    everything, nothing = np.ones((9, 11), bool), np.zeros((9, 11), bool)
    assert panoptic_quality(reference, prediction, mask=everything) == panoptic_quality(reference, prediction)
    assert contour_f1(reference, prediction, mask=everything) == contour_f1(reference, prediction)
    empty = panoptic_quality(reference, prediction, mask=nothing)
    assert (empty["tp"], empty["fp"], empty["fn"]) == (0, 0, 0)
    assert math.isnan(empty["pq"])
    assert math.isnan(aggregated_jaccard_index(reference, prediction, nothing))
    assert math.isnan(contour_f1(reference, prediction, mask=nothing))


def test_ids_beyond_32_bits():
    reference = np.array([[2**40, 2**40, 0, 0, 0, 0, 0, 0]])
    prediction = np.array([[2**50, 2**50, 0, 2**41, 2**41, 0, 2**40 + 1, 2**40 + 1]])
    result = panoptic_quality(reference, prediction, mask=CUT)
    assert (result["tp"], result["fp"], result["fn"]) == (1, 1, 0)
    small = np.array([[1, 1, 0, 0, 0, 0, 0, 0]]), np.array([[4, 4, 0, 3, 3, 0, 2, 2]])
    assert contour_f1(reference, prediction, 0, mask=CUT) == contour_f1(*small, 0, mask=CUT) == 1 / 2


def test_contours_towards_ignored_voxels_are_none():
    cell = np.array([[0, 1, 1, 1, 1, 1, 1, 1]])
    assert instance_contours(cell, CUT).astype(int).tolist() == [[0, 1, 0, 0, 0, 0, 0, 0]]
    # 7 and 8 have two of three voxels in the ignored part: no contour of theirs is wrong.
    prediction = np.array([[0, 1, 1, 0, 0, 8, 8, 8]])
    assert contour_f1(np.minimum(prediction, 1), prediction, 0, mask=CUT) == 1


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.ones((2, 2)), ValueError, "mask: expected a boolean array, True = counted, got dtype float64"),
        (np.ones((2, 3), bool), ValueError, r"mask: expected shape \(2, 2\), got \(2, 3\)"),
        ([[True, True], [True, True]], TypeError, "mask: expected a numpy array, got list"),
    ],
)
def test_wrong_masks_are_refused(mask, error, message):
    one = np.eye(2, dtype=int)
    for metric in (panoptic_quality, aggregated_jaccard_index, contour_f1):
        with pytest.raises(error, match=message):
            metric(one, one, mask=mask)
