import math

import numpy as np
import pytest

from nnunet_ext.metrics import confusion, dice


def naive_counts(prediction, reference, mask):
    counts = {"tp": 0, "fp": 0, "fn": 0, "tn": 0}
    for p, r, m in zip(prediction.flat, reference.flat, mask.flat, strict=True):
        if m:
            counts[("t" if p == r else "f") + ("p" if p else "n")] += 1
    return counts


@pytest.mark.parametrize("shape", [(7, 9), (4, 5, 6)])
def test_counts_equal_a_naive_loop(shape):
    rng = np.random.default_rng(0)
    prediction, reference, mask = (rng.random(shape) < 0.5 for _ in range(3))
    counts = confusion(prediction, reference, mask)
    expected = naive_counts(prediction, reference, mask)
    assert counts._asdict() == expected
    tp, fp, fn = expected["tp"], expected["fp"], expected["fn"]
    assert dice(prediction, reference, mask) == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert counts.iou == pytest.approx(tp / (tp + fp + fn))


def test_without_mask_everything_counts():
    rng = np.random.default_rng(1)
    prediction, reference = (rng.random((5, 6)) < 0.5 for _ in range(2))
    everything = np.ones((5, 6), bool)
    assert confusion(prediction, reference) == confusion(prediction, reference, everything)


def test_perfect_disjoint_and_empty():
    full, empty = np.ones((3, 3), bool), np.zeros((3, 3), bool)
    assert dice(full, full) == 1
    assert dice(full, empty) == dice(empty, full) == 0
    assert math.isnan(dice(empty, empty))
    assert math.isnan(confusion(empty, empty).iou)
    assert math.isnan(dice(full, full, mask=empty))


def test_inputs_are_not_mutated_and_any_memory_order_works():
    rng = np.random.default_rng(2)
    arrays = [np.asfortranarray(rng.random((6, 8)) < 0.5)[::2] for _ in range(3)]
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    assert dice(*arrays) == dice(*copies)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(
    ("prediction", "reference", "mask", "message"),
    [
        (np.zeros((2, 2)), np.zeros((2, 2), bool), None, "prediction: expected a boolean array.*float64"),
        (np.zeros((2, 2), bool), np.zeros((2, 2), int), None, "reference: expected a boolean array"),
        (np.zeros(4, bool), np.zeros(4, bool), None, r"two or three axes.* got shape \(4,\)"),
        (np.zeros((2, 2), bool), np.zeros((2, 3), bool), None, r"got \(2, 2\) and \(2, 3\)"),
        (
            np.zeros((2, 2), bool),
            np.zeros((2, 2), bool),
            np.ones((1, 2), bool),
            r"mask.*\(2, 2\), got \(1, 2\)",
        ),
    ],
)
def test_exception(prediction, reference, mask, message):
    with pytest.raises(ValueError, match=message):
        dice(prediction, reference, mask)
