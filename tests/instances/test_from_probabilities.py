"""Probabilities to a semantic map and to instances: each method and gap on literal values, and tiles."""

import numpy as np
import pytest

from nnunet_ext.instances import from_probabilities, from_semantic, semantic_from_probabilities

#: background, cell, touching, gap
VOXELS = {
    "background": (0.7, 0.1, 0.1, 0.1),
    "cell": (0.1, 0.6, 0.2, 0.1),
    "touching": (0.1, 0.2, 0.6, 0.1),
    "gap, then cell": (0.1, 0.28, 0.12, 0.5),
    "gap, then touching": (0.05, 0.1, 0.35, 0.5),
    "gap only": (0.0, 0.0, 0.0, 1.0),
    "cell, barely": (0.3, 0.35, 0.2, 0.15),
    "cell and touching": (0.0, 0.52, 0.48, 0.0),
}
P = np.array(list(VOXELS.values())).T[:, None]  # (4, 1, 8)


def random_p(shape, classes=4, seed=0, dtype=np.float32):
    """Smooth enough to have regions, random enough to have all kinds of voxels."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    logits = gaussian_filter(rng.standard_normal((classes, *shape)), (0,) + (1.2,) * len(shape)) * 15
    p = np.exp(logits)
    return (p / p.sum(0)).astype(dtype)


@pytest.mark.parametrize(
    ("method", "gap", "gammas", "expected"),
    [
        ("map", "background", {}, [0, 1, 2, 0, 0, 0, 1, 1]),
        ("map", "second", {}, [0, 1, 2, 1, 2, 0, 1, 1]),
        ("map", "uniform", {}, [0, 1, 2, 1, 2, 0, 1, 1]),
        ("threshold", "background", {}, [0, 1, 2, 0, 0, 0, 0, 1]),
        ("threshold", "second", {"gamma_touching": 0.3}, [0, 1, 2, 0, 2, 0, 0, 2]),
        ("threshold", "second", {"gamma_cell": 0.25}, [0, 1, 2, 1, 0, 0, 1, 1]),
        ("threshold", "uniform", {}, [0, 1, 2, 1, 2, 0, 0, 1]),
        ("threshold", "background", {"gamma_touching": 0.45, "gamma_cell": 0.3}, [0, 1, 2, 0, 0, 0, 1, 2]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_method_and_gap_voxel_by_voxel(method, gap, gammas, expected, dtype):
    result = semantic_from_probabilities(P.astype(dtype), method, gap=gap, **gammas)
    assert result.dtype == np.uint8
    assert result.tolist() == [expected]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_map_is_argmax(classes, dtype):
    p = random_p((30, 40), classes, dtype=dtype)
    expected = p.argmax(0)
    expected[expected == 3] = 0
    np.testing.assert_array_equal(semantic_from_probabilities(p), expected)
    np.testing.assert_array_equal(semantic_from_probabilities(p, gap="second"), p[:3].argmax(0))
    np.testing.assert_array_equal(semantic_from_probabilities(list(p)), expected)


@pytest.mark.parametrize("gap", ["background", "second", "uniform"])
def test_threshold_is_algorithm_2(gap):
    p = random_p((30, 40))
    q = p / p[:3].sum(0) if gap == "uniform" else p
    expected = np.where(q[2] > 0.3, 2, np.where(q[1] > 0.4, 1, 0))
    if gap == "background":
        expected[p.argmax(0) == 3] = 0
    result = semantic_from_probabilities(p, "threshold", gap=gap, gamma_touching=0.3, gamma_cell=0.4)
    np.testing.assert_array_equal(result, expected)
    assert set(np.unique(result)) == {0, 1, 2}


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("method", ["map", "threshold"])
@pytest.mark.parametrize(("shape", "spacing"), [((40, 50), None), ((12, 25, 20), (3.0, 1.0, 1.0))])
def test_instances_are_those_of_the_semantic_map_however_tiled(shape, spacing, method, classes, tmp_path):
    p = random_p(shape, classes, dtype=np.float16)
    before = p.copy()
    expected = from_semantic(semantic_from_probabilities(p, method), spacing=spacing, min_size=3)
    assert expected.max() > 1
    options = {"spacing": spacing, "min_size": 3}
    np.testing.assert_array_equal(from_probabilities(p, method, **options), expected)
    np.testing.assert_array_equal(from_probabilities(p, method, **options, tile=7), expected)
    tiled = from_probabilities(list(p), method, **options, tile=9, scratch=tmp_path, threads=2)
    np.testing.assert_array_equal(tiled, expected)
    np.testing.assert_array_equal(p, before)


def touching_discs():
    """Two discs whose overlap is uncertain; MAP sees one object."""
    y, x = np.mgrid[:21, :41]
    to_centre = np.minimum(np.hypot(y - 10, x - 12), np.hypot(y - 10, x - 28))
    inside = to_centre < 9.5
    touching = np.where(inside, np.clip((to_centre - 3) / 15, 0, 0.45), 0)
    cell = np.where(inside, 1 - touching, 0.0)
    return np.stack([1 - cell - touching, cell, touching]), inside


def test_watershed_separates_what_map_merges():
    p, inside = touching_discs()
    assert from_probabilities(p).max() == 1
    result = from_probabilities(p, "watershed", gamma_cell=0.7)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result > 0, inside)
    assert result.max() == 2
    np.testing.assert_array_equal(result[:, :20][inside[:, :20]], 1)
    np.testing.assert_array_equal(result[:, 21:][inside[:, 21:]], 2)


def test_watershed_drops_what_has_no_seed_and_small_seeds():
    p, _ = touching_discs()
    p = np.pad(p, ((0, 0), (0, 4), (0, 0)))
    p[0, 21:] = 1
    p[:, 23, 4] = (0.3, 0.4, 0.3)  # foreground, not confident
    result = from_probabilities(p, "watershed", gamma_cell=0.7)
    assert result[23, 4] == 0
    p[:, 23, 4] = (0.0, 1.0, 0.0)
    assert from_probabilities(p, "watershed", gamma_cell=0.7)[23, 4] == 3
    assert from_probabilities(p, "watershed", gamma_cell=0.7, min_size=2)[23, 4] == 0
    assert not from_probabilities(p, "watershed", gamma_cell=1.0).any()
    assert not from_probabilities(np.zeros((4, 5, 6)), "watershed").any()


def test_watershed_equals_that_of_each_object_alone():
    """Objects do not touch, so the others and the crop to the foreground change nothing."""
    p = random_p((40, 50), 4, seed=2)
    whole = from_probabilities(p, "watershed", gamma_cell=0.3)
    ids = whole[whole > 0]
    assert len(np.unique(ids)) > 5
    assert list(dict.fromkeys(ids.tolist())) == list(range(1, ids.max() + 1))
    objects = from_semantic((semantic_from_probabilities(p) > 0).astype(np.uint8), touching=None)
    for number in range(1, objects.max() + 1):
        alone = p.copy()
        alone[:, objects != number] = np.array([1, 0, 0, 0])[:, None]
        result = from_probabilities(alone, "watershed", gamma_cell=0.3)
        there = whole[objects == number]
        np.testing.assert_array_equal(
            np.unique(there, return_inverse=True)[1],
            np.unique(result[objects == number], return_inverse=True)[1],
        )


def test_gap_in_watershed():
    p = np.zeros((4, 1, 4))
    p[:, 0] = np.array([(0, 1, 0, 0), (0.1, 0.3, 0.1, 0.5), (0.1, 0.3, 0.1, 0.5), (0, 1, 0, 0)]).T
    assert from_probabilities(p, "watershed").tolist() == [[1, 0, 0, 2]]
    assert from_probabilities(p, "watershed", gap="second").tolist() == [[1, 1, 2, 2]]
    # Renormalised, the middle has p_cell − p_touching = 0.4.
    assert from_probabilities(p, "watershed", gap="uniform", gamma_cell=0.39).tolist() == [[1, 1, 1, 1]]
    assert from_probabilities(p, "watershed", gap="uniform", gamma_cell=0.41).tolist() == [[1, 1, 2, 2]]


def test_without_touching_class():
    p = np.array([[[0.2, 0.4, 0.9, 0.1]], [[0.8, 0.6, 0.1, 0.9]]])
    assert from_probabilities(p).tolist() == [[1, 1, 0, 2]]
    assert from_probabilities(p, "threshold", gamma_cell=0.7).tolist() == [[1, 0, 0, 2]]
    assert from_probabilities(p, "watershed", gamma_cell=0.7, gap="uniform").tolist() == [[1, 1, 0, 2]]


@pytest.mark.parametrize(
    ("p", "options", "text"),
    [
        (np.zeros((1, 4, 4)), {}, r"C = 2 to 4 classes .* got \(1, 4, 4\)"),
        (np.zeros((5, 4, 4)), {}, "C = 2 to 4"),
        (np.zeros((4, 4)), {}, "expected"),
        (np.zeros((4, 1, 4, 4, 4)), {}, "expected"),
        ([np.zeros((2, 2)), np.zeros((2, 3))], {}, "channels of"),
        ([], {}, "channels of none"),
        (np.zeros((4, 4, 4), np.uint8), {}, "floating point, got uint8"),
        (P, {"method": "argmax"}, "method: expected one of map, threshold, watershed, got 'argmax'"),
        (P, {"gap": "cell"}, "gap: expected one of background, second, uniform"),
        (P, {"gap": "cell", "method": "watershed"}, "gap: expected one of"),
        (P, {"gamma_cell": 0.3}, "'map' has no parameters"),
        (P, {"method": "threshold", "gamma_cell": 1.5}, "gamma_cell: expected 0 to 1, got 1.5"),
        (P, {"method": "watershed", "gamma_touching": 0.5}, "'watershed' has gamma_cell only"),
        (P, {"method": "watershed", "tile": 64}, "cannot be computed by tiles"),
        (P, {"connectivity": 3}, "connectivity"),
        (P, {"spacing": (1.0,)}, "spacing"),
    ],
)
def test_wrong_arguments(p, options, text):
    with pytest.raises(ValueError, match=text):
        from_probabilities(p, **options)


def test_the_step_before_knows_no_watershed():
    with pytest.raises(ValueError, match="method: expected one of map, threshold, got 'watershed'"):
        semantic_from_probabilities(P, "watershed")
