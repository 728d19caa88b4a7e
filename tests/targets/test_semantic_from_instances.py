"""Semantic classes against their definition, voxel by voxel, and the cores that are kept."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from nnunet_ext.arrays import blocks
from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.instances import from_semantic
from nnunet_ext.metrics import panoptic_quality
from nnunet_ext.targets import semantic_from_instances
from nnunet_ext.targets import touching as _touching


def definition(instances, radius, gap_radius, classes, spacing=None):
    """The paper's rule with loops; the closing on a canvas around the image."""
    edges = np.ones(instances.ndim) if spacing is None else np.array(spacing)
    half = np.floor(radius / edges + 1e-9).astype(int)
    result = (instances != 0).astype(np.uint8)
    for voxel in itertools.product(*map(range, instances.shape)):
        window = tuple(slice(max(0, v - h), v + h + 1) for v, h in zip(voxel, half, strict=True))
        others = set(instances[window].ravel().tolist()) - {0, int(instances[voxel])}
        if instances[voxel] and others:
            result[voxel] = 2
    if classes == 4:
        reach = np.floor(gap_radius / edges + 1e-9).astype(int) + 1
        grid = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), -1)
        ball = ((grid * edges) ** 2).sum(-1) <= gap_radius**2 + 1e-6
        canvas = np.pad(instances != 0, [(2 * r, 2 * r) for r in reach])
        closed = ndimage.binary_erosion(ndimage.binary_dilation(canvas, ball), ball)
        inside = tuple(slice(2 * r, -2 * r) for r in reach)
        result[closed[inside] & (instances == 0)] = 3
    return result


def random_instances(shape, seed, ids=6):
    rng = np.random.default_rng(seed)
    blobs = ndimage.uniform_filter(rng.random((ids, *shape)), (0, *[3] * len(shape)))
    labels = blobs.argmax(0) + 1
    labels[ndimage.uniform_filter(rng.random(shape), 3) < 0.47] = 0
    return labels.astype(np.int32)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((14, 17), None), ((14, 17), (2.0, 0.7)), ((6, 8, 9), None), ((5, 8, 9), (2, 1, 0.5))],
)
@pytest.mark.parametrize("radius", [0, 1, 2, 2.5])
@pytest.mark.parametrize("classes", [3, 4])
def test_paper_to_the_letter(shape, spacing, radius, classes):
    for seed in range(3):
        instances = random_instances(shape, seed)
        got = semantic_from_instances(instances, radius, 3, classes, spacing, keep_cores=False)
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, definition(instances, radius, 3, classes, spacing))


def test_two_touching_squares():
    instances = np.zeros((7, 10), int)
    instances[1:6, 0:5], instances[1:6, 5:10] = 4, 9
    expected = np.zeros((7, 10), int)
    expected[1:6] = [1, 1, 1, 2, 2, 2, 2, 1, 1, 1]
    np.testing.assert_array_equal(semantic_from_instances(instances), expected)


def test_a_narrow_gap_and_the_number_of_classes():
    instances = np.zeros((9, 13), int)
    instances[:, :5], instances[:, 8:] = 1, 2
    with_gap = semantic_from_instances(instances, gap_radius=2)
    assert with_gap[4].tolist() == [1] * 5 + [3] * 3 + [1] * 5
    assert semantic_from_instances(instances, classes=3).max() == 1
    np.testing.assert_array_equal(semantic_from_instances(instances, classes=2), instances != 0)
    far = semantic_from_instances(instances, gap_radius=1)
    assert (far == 3).sum() == 0


def cores(semantic, instances, cell):
    full = np.ones((3,) * instances.ndim)
    return ndimage.label((semantic == 1) & (instances == cell), full)[1]


def thin_between_fat():
    instances = np.zeros((12, 15), int)
    instances[:, :7], instances[:, 7], instances[:, 8:] = 1, 2, 3
    return instances


def dumbbell():
    instances = np.ones((11, 21), int)
    instances[2:9, 2:8] = instances[2:9, 13:19] = instances[5, 8:13] = 2
    return instances


def one_pixel():
    instances = np.ones((9, 9), int)
    instances[4, 4] = 2
    return instances


@pytest.mark.parametrize("instances", [thin_between_fat(), dumbbell(), one_pixel()])
def test_an_instance_that_would_be_erased_or_split_keeps_one_core(instances):
    to_the_letter = semantic_from_instances(instances, keep_cores=False)
    kept = semantic_from_instances(instances)
    assert cores(to_the_letter, instances, 2) != 1
    assert all(cores(kept, instances, cell) == 1 for cell in np.unique(instances))


@pytest.mark.parametrize("instances", [thin_between_fat(), one_pixel()])
def test_thin_and_tiny_instances_come_back(instances):
    kept, letter = (semantic_from_instances(instances, keep_cores=keep) for keep in (True, False))
    assert panoptic_quality(instances, from_semantic(kept))["pq"] > 0.9
    assert panoptic_quality(instances, from_semantic(letter))["pq"] < 0.9


@pytest.mark.parametrize("shape", [(90, 90), (14, 40, 40)])
@pytest.mark.parametrize("seed", range(3))
def test_cores_are_single_apart_and_bring_the_instances_back(shape, seed):
    instances = crowded_cells(shape, n_cells=45 if len(shape) == 2 else 60, seed=seed)[1]
    semantic = semantic_from_instances(instances)
    core = np.where(semantic == 1, instances, 0).astype(int)
    big = np.where(core, core, core.max() + 1)
    assert not ((core > 0) & (ndimage.maximum_filter(core, 3) != core)).any()
    assert not ((core > 0) & (ndimage.minimum_filter(big, 3) != core)).any()
    assert all(cores(semantic, instances, cell) == 1 for cell in range(1, instances.max() + 1))
    assert panoptic_quality(instances, from_semantic(semantic))["pq"] > 0.95


def test_foreground_gap_and_background_do_not_depend_on_cores():
    instances = random_instances((30, 30), 1)
    kept, letter = (semantic_from_instances(instances, keep_cores=keep) for keep in (True, False))
    np.testing.assert_array_equal((kept == 1) | (kept == 2), instances > 0)
    np.testing.assert_array_equal(kept == 3, letter == 3)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("spacing", [None, (4.0, 1.0, 1.0), (1.0, 4.0, 4.0)])
def test_slabs_change_nothing(monkeypatch, keep, spacing):
    instances = crowded_cells((30, 24, 24), n_cells=60, seed=2)[1]
    settings = {"gap_radius": 3, "spacing": spacing, "keep_cores": keep}
    whole = semantic_from_instances(instances, **settings)
    monkeypatch.setattr(blocks, "SLAB_VOXELS", 24 * 24 * 3)
    np.testing.assert_array_equal(semantic_from_instances(instances, **settings), whole)


def test_the_band_alone_does_not_depend_on_slabs():
    for half in ((0, 2, 2), (1, 0, 0), (1, 2, 0), (0, 1, 1), (1, 1, 1), (2, 2, 2)):
        for seed in range(5):
            ids = random_instances((12, 10, 10), seed).astype(np.uint16)
            whole = _touching.touching_band(ids, half, separate=True)
            for start in range(0, 12, 3):
                wide, inner = blocks.widened(slice(start, start + 3), max(2, half[0]), 12)
                part = _touching.touching_band(ids[wide], half, separate=True)[inner]
                np.testing.assert_array_equal(part, whole[start : start + 3])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, ">u2"])
def test_any_integer_type_and_memory_order_input_kept(dtype):
    instances = crowded_cells((40, 40), n_cells=12)[1]
    expected = semantic_from_instances(instances)
    given = np.asfortranarray(instances.astype(dtype))
    before = given.copy()
    np.testing.assert_array_equal(semantic_from_instances(given), expected)
    np.testing.assert_array_equal(given, before)


def test_large_ids():
    instances = crowded_cells((40, 40), n_cells=12)[1].astype(np.int64)
    large = np.where(instances, instances + 2**40, 0)
    np.testing.assert_array_equal(semantic_from_instances(large), semantic_from_instances(instances))


@pytest.mark.parametrize("shape", [(5, 6), (3, 4, 5), (0, 4)])
def test_no_instances_is_all_background(shape):
    semantic = semantic_from_instances(np.zeros(shape, np.uint8))
    assert semantic.shape == shape
    assert not semantic.any()


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"instances": np.array([[0, -1]])}, ValueError, "-1"),
        ({"instances": np.zeros((2, 2))}, TypeError, "float64"),
        ({"instances": np.zeros((2, 2), bool)}, TypeError, "touching_from_binary"),
        ({"instances": np.zeros(3, int)}, ValueError, "two or three axes"),
        ({"classes": 5}, ValueError, "classes is 2, 3 or 4"),
        ({"touching_radius": -1}, ValueError, "touching_radius"),
        ({"gap_radius": np.inf}, ValueError, "gap_radius"),
        ({"gap_radius": 65}, ValueError, "65 voxels"),
        ({"touching_radius": 2, "spacing": (2e-4, 2e-4)}, ValueError, "unit of the spacing"),
        ({"spacing": (1.0,)}, ValueError, "2 positive numbers"),
        ({"spacing": (1.0, 0.0)}, ValueError, "2 positive numbers"),
    ],
)
def test_wrong_arguments_are_refused_with_a_sentence(changes, error, text):
    arguments = {"instances": np.ones((3, 3), int), **changes}
    with pytest.raises(error, match=text):
        semantic_from_instances(**arguments)
