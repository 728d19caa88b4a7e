"""Contours and their F1 against scikit-image and loops over voxels."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.segmentation import find_boundaries

from nnunet_ext.metrics import contour_f1, instance_contours


def contour_places(instances):
    """Indices of voxels of an instance with a face neighbour that is not of it."""
    places = []
    for place in itertools.product(*map(range, instances.shape)):
        for axis, step in itertools.product(range(instances.ndim), (-1, 1)):
            other = list(place)
            other[axis] += step
            inside = 0 <= other[axis] < instances.shape[axis]
            if instances[place] and inside and instances[tuple(other)] != instances[place]:
                places.append(place)
                break
    return places


def f1_by_loops(reference, prediction, tolerance, spacing):
    references, predictions = contour_places(reference), contour_places(prediction)
    if not references and not predictions:
        return math.nan

    def share_near(here, there):
        near = sum(
            any(
                math.dist(np.multiply(a, spacing), np.multiply(b, spacing)) <= tolerance + 1e-9 for b in there
            )
            for a in here
        )
        return near / len(here) if here else 0

    precision, recall = share_near(predictions, references), share_near(references, predictions)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0


def blocks(rng, shape):
    coarse = rng.integers(0, 4, [-(-length // 3) for length in shape])
    for axis in range(len(shape)):
        coarse = np.repeat(coarse, 3, axis)
    return coarse[tuple(map(slice, shape))] * (rng.random(shape) < 0.9)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shape_and_spacing=st.sampled_from(
        [((9, 11), None), ((9, 11), (0.3, 0.1)), ((5, 6, 7), None), ((4, 7, 6), (1.5, 0.2, 0.25))]
    ),
    tolerance=st.sampled_from([0, 0.1, 0.3, 0.5, 1, 1.5, 2]),
)
def test_equals_loops(seed, shape_and_spacing, tolerance):
    shape, spacing = shape_and_spacing
    rng = np.random.default_rng(seed)
    reference, prediction = blocks(rng, shape), blocks(rng, shape)
    expected = f1_by_loops(reference, prediction, tolerance, spacing or (1,) * len(shape))
    assert contour_f1(reference, prediction, tolerance, spacing) == pytest.approx(expected, nan_ok=True)
    in_other_order = (np.asfortranarray(array.astype(">u4")) for array in (reference, prediction))
    assert contour_f1(*in_other_order, tolerance, spacing) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("shape", [(12, 13), (7, 8, 9)])
def test_contours_equal_scikit_image(shape):
    instances = blocks(np.random.default_rng(0), shape)
    before = instances.copy()
    expected = find_boundaries(instances, connectivity=1, mode="inner")
    np.testing.assert_array_equal(instance_contours(instances), expected)
    np.testing.assert_array_equal(instances, before)


def test_touching_instances_have_contours_between_them_and_none_at_the_border_of_the_image():
    touching = np.array([[1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2]])
    merged = np.ones_like(touching)
    assert instance_contours(touching).astype(int).tolist() == [[0, 0, 1, 1, 0, 0]] * 2
    assert not instance_contours(merged).any()
    assert contour_f1(touching, merged) == contour_f1(merged, touching) == 0
    assert math.isnan(contour_f1(merged, merged))


def test_tolerances_in_3d_with_spacing():
    reference, prediction = np.zeros((2, 8, 6, 6), int)
    reference[2:5, 1:5, 1:5] = 1
    prediction[3:6, 1:5, 1:5] = 4  # one slice further
    # Of 3 · 16 voxels per map all but the 4 inside the middle slice are contour. Not on the other's: the end
    # slice outside it (16), and the inside of the end slice that lies in its middle (4).
    at_zero = (44 - 16 - 4) / 44
    assert contour_f1(reference, prediction, [0, 1]) == pytest.approx([at_zero, 1])
    near, enough = contour_f1(reference, prediction, [1.9, 2], spacing=(2, 0.5, 0.5))
    assert at_zero < near < 1  # within 1.9 in the slice, where steps are short
    assert enough == 1


def test_without_instances():
    empty, one = np.zeros((4, 4), int), np.eye(4, dtype=int)
    assert math.isnan(contour_f1(empty, empty))
    assert contour_f1(empty, one) == contour_f1(one, empty) == 0
    assert contour_f1(one, one, 0) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference": np.ones((2, 2))}, "reference: expected instance ids"),
        ({"prediction": np.ones((2, 3), int)}, "one shape"),
        ({"reference": np.ones(4, int), "prediction": np.ones(4, int)}, "two or three axes"),
        ({"tolerance": [2, -1]}, "tolerance is 0 or more.* got -1"),
        ({"spacing": (1, 1, 1)}, "spacing: expected 2 positive numbers.*1 1 1"),
        ({"spacing": (1, 0)}, "spacing: expected 2 positive numbers"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    arguments = {"reference": np.eye(2, dtype=int), "prediction": np.eye(2, dtype=int), **changes}
    with pytest.raises(ValueError, match=message):
        contour_f1(**arguments)
