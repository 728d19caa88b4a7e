"""Semantic map to instances: literal arrays, and random ones against the obvious way, in any tiles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from slow_instances import slow_instances

from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.instances import Losses, from_semantic
from nnunet_ext.targets import semantic_from_instances


def picture(text, digits=" 123456789"):
    """Lines of characters to an array; a space is 0."""
    lines = text.strip("\n").split("\n")
    width = max(map(len, lines))
    return np.array([[digits.index(c) for c in line.ljust(width)] for line in lines], np.uint8)


def test_two_cells_with_a_band_and_a_gap():
    labels = picture("""
 11122111 3
 11122111 3
 11122111
""")
    expected = picture("""
 11112222
 11112222
 11112222
""")
    result = from_semantic(labels)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result[:, :9], expected)
    assert not result[:, 9:].any()


def test_a_voxel_between_two_cells_goes_to_the_first_in_raster_order():
    np.testing.assert_array_equal(from_semantic(np.array([[1, 2, 1]])), [[1, 1, 2]])
    np.testing.assert_array_equal(from_semantic(np.array([[1], [2], [1]])), [[1], [1], [2]])
    # The upper cell comes first although the lower one lies further left.
    labels = picture("""
    1
  2
1
""")
    assert from_semantic(labels)[1, 2] == 1


def test_a_ring_keeps_its_hole():
    labels = picture("""
 22222
 21112
 21 12
 21112
 22222
""")
    np.testing.assert_array_equal(from_semantic(labels), labels > 0)


def test_the_first_voxel_of_the_whole_instance_decides_its_id():
    labels = picture("""
2 1
1 1
""")
    np.testing.assert_array_equal(from_semantic(labels), [[1, 0, 2], [1, 0, 2]])


def test_touching_voxels_far_from_every_cell_and_beyond_a_gap():
    labels = np.zeros((3, 90), np.uint8)
    labels[1, 0], labels[1, 80], labels[1, [30, 39, 41, 89]] = 1, 1, 2
    result = from_semantic(labels, max_distance=np.inf)
    np.testing.assert_array_equal(result[1, [0, 30, 39, 41, 80, 89]], [1, 1, 1, 2, 2, 2])
    labels[1, 40] = 2  # as near to both
    assert from_semantic(labels, max_distance=np.inf)[1, 40] == 1


@pytest.mark.parametrize("tile", [None, 7])
def test_a_touching_speck_joins_no_cell_farther_than_the_limit(tile):
    labels = np.zeros((3, 90), np.uint8)
    labels[1, 0], labels[1, [5, 11, 12, 30, 31]] = 1, 2
    losses = Losses()
    result = from_semantic(labels, losses=losses, tile=tile)
    assert np.flatnonzero(result[1]).tolist() == [0, 5, 11]  # 4 · √8 = 11.3
    assert losses == Losses(small_cores=0, voxels_without_core=3)
    for limit, expected in ((5, [0, 5]), (4.99, [0]), (0, [0]), (30, [0, 5, 11, 12, 30])):
        result = from_semantic(labels, max_distance=limit, tile=tile)
        assert np.flatnonzero(result[1]).tolist() == expected
    spaced = from_semantic(labels, spacing=(1, 0.1), max_distance=0.5, tile=tile)
    assert np.flatnonzero(spaced[1]).tolist() == [0, 5]


def test_what_is_left_out_is_counted():
    labels = np.array([[1, 1, 0, 1, 2, 0, 3]])
    losses = Losses()
    assert from_semantic(labels, min_size=2, losses=losses).tolist() == [[1, 1, 0, 0, 1, 0, 0]]
    assert losses == Losses(small_cores=1)
    assert not from_semantic(labels, min_size=9, losses=losses).any()
    assert losses == Losses(small_cores=2, voxels_without_core=1)
    assert not from_semantic(np.full((2, 3), 2), losses=losses).any()
    assert losses == Losses(voxels_without_core=6)


@pytest.mark.parametrize(("shape", "spacing"), [((120, 120), None), ((24, 48, 48), (2.0, 1.0, 1.0))])
def test_the_limit_changes_nothing_where_cells_are_as_they_should(shape, spacing):
    semantic = semantic_from_instances(crowded_cells(shape, 40, spacing=spacing)[1])
    np.testing.assert_array_equal(
        from_semantic(semantic, spacing=spacing),
        from_semantic(semantic, spacing=spacing, max_distance=np.inf),
    )


@pytest.mark.parametrize("limit", [-1, float("nan")])
def test_a_limit_is_a_distance(limit):
    with pytest.raises(ValueError, match="max_distance"):
        from_semantic(np.ones((2, 2), int), max_distance=limit)


def test_spacing_decides_what_is_near():
    labels = np.zeros((4, 6), np.uint8)
    labels[0, 2], labels[2, 5], labels[2, 2] = 1, 1, 2  # two rows up, three columns to the right
    assert from_semantic(labels)[2, 2] == 1
    assert from_semantic(labels, spacing=(2.0, 1.0))[2, 2] == 2
    # Equally far, though 0.1·6 ≠ 0.2·3 in floating point.
    labels = np.zeros((7, 10), np.uint8)
    labels[0, 3], labels[6, 0], labels[6, 3] = 1, 1, 2
    assert from_semantic(labels, spacing=(0.1, 0.2))[6, 3] == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (5, 7), (3, 5, 7), (0, 4), (2, 0, 3)])
def test_no_cell_no_instance(shape):
    for value in (0, 2, 3):
        result = from_semantic(np.full(shape, value, np.uint8))
        assert (result.shape, result.dtype) == (shape, np.uint16)
        assert not result.any()


def test_one_voxel():
    assert from_semantic(np.ones((1, 1), np.uint8)).tolist() == [[1]]


def test_plain_foreground_becomes_components():
    foreground = picture("""
11  1
  1 1
""")
    expected = picture("""
11  2
  1 2
""")
    np.testing.assert_array_equal(from_semantic(foreground), expected)
    np.testing.assert_array_equal(from_semantic(foreground > 0), expected)
    np.testing.assert_array_equal(from_semantic(foreground, connectivity=1).max(), 3)


def test_labels_can_be_named():
    labels = np.array([[7, 7, 4, 4, 9, 7], [7, 1, 2, 4, 4, 7]], np.int16)
    swapped = np.array([[1, 1, 2, 2, 0, 1], [1, 0, 0, 2, 2, 1]])
    np.testing.assert_array_equal(from_semantic(labels, cell=7, touching=4), from_semantic(swapped))
    np.testing.assert_array_equal(
        from_semantic(labels, cell=7, touching=None), from_semantic(swapped, touching=None)
    )
    assert from_semantic(labels, cell=7, touching=None)[0, 2] == 0


def test_min_size_counts_cores_and_a_speck_takes_no_touching_voxels():
    labels = picture("""
11 2221222
11 2222222
""")
    assert from_semantic(labels)[0, 5] == 2
    result = from_semantic(labels, min_size=2)
    assert result.max() == 1
    assert result[0, 6] == 0  # the speck itself is background
    np.testing.assert_array_equal(result[labels == 2], 1)
    assert from_semantic(labels, min_size=4).max() == 1
    assert not from_semantic(labels, min_size=5).any()


def test_min_size_is_not_cut_by_tiles():
    labels = np.ones((1, 12), np.uint8)
    assert from_semantic(labels, min_size=12, tile=3).all()


def test_more_instances_than_uint16_holds():
    labels = np.zeros((520, 520), np.uint8)
    labels[::2, ::2] = 1
    labels[-1, -1] = 2
    result = from_semantic(labels, tile=100)
    assert result.dtype == np.uint32
    np.testing.assert_array_equal(result[::2, ::2].ravel(), np.arange(1, 260 * 260 + 1))
    assert result[-1, -1] == 260 * 260


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16])
def test_input_is_not_changed(dtype, order):
    labels = np.random.default_rng(0).integers(0, 4, (20, 30)).astype(dtype, order=order)
    before = labels.copy()
    labels.setflags(write=False)
    np.testing.assert_array_equal(from_semantic(labels), slow_instances(before))
    np.testing.assert_array_equal(labels, before)


# Many touching voxels and few cells, so that some are far from every cell; or the other way round.
FREQUENCIES = st.sampled_from([[0, 0, 0, 1, 2, 3], [2] * 30 + [0, 0, 1], [1, 1, 1, 2, 0], [0, 0, 0, 0, 1]])
LIMITS = (np.inf, 0.23456789, 2.3456789, 9.87654321)  # none is a distance between voxels
SPACINGS = (0.1, 0.235, 0.5, 1.0, 3.0)


@st.composite
def problems(draw):
    ndim = draw(st.integers(2, 3))
    edge = 18 if ndim == 2 else 7
    shape = draw(st.tuples(*[st.integers(1, edge)] * ndim))
    labels = draw(arrays(np.uint8, shape, elements=st.sampled_from(draw(FREQUENCIES)), fill=st.nothing()))
    options = {
        "connectivity": draw(st.one_of(st.none(), st.integers(1, ndim))),
        "min_size": draw(st.sampled_from([0, 0, 2, 4])),
        "max_distance": draw(st.sampled_from(LIMITS)),
        "spacing": draw(st.one_of(st.none(), st.tuples(*[st.sampled_from(SPACINGS)] * ndim))),
    }
    tile = draw(st.one_of(st.integers(2, 6), st.tuples(*[st.integers(1, edge)] * ndim)))
    return labels, options, tile


@settings(max_examples=200, deadline=None)
@given(problems())
def test_equal_to_the_obvious_way_however_tiled(problem):
    labels, options, tile = problem
    expected = slow_instances(labels, **options)
    np.testing.assert_array_equal(from_semantic(labels, **options), expected)
    np.testing.assert_array_equal(from_semantic(labels, **options, tile=tile, threads=2), expected)


@pytest.mark.parametrize("spacing", [None, (2.0, 1.0, 1.0)])
def test_a_larger_volume_equals_itself_in_tiles_on_disk(tmp_path, spacing):
    rng = np.random.default_rng(3)
    labels = rng.choice(np.array([0, 1, 2, 3], np.uint8), (40, 60, 50), p=[0.3, 0.1, 0.5, 0.1])
    labels[:, 30:] = np.where(rng.random((40, 30, 50)) < 0.002, 1, 2)  # here most voxels are far from cells
    expected = from_semantic(labels, spacing=spacing, max_distance=np.inf)
    on_disk = np.memmap(tmp_path / "labels.raw", np.uint8, mode="w+", shape=labels.shape)
    on_disk[:] = labels
    result = from_semantic(on_disk, spacing=spacing, max_distance=np.inf, tile=16, scratch=tmp_path)
    assert isinstance(result, np.memmap)
    np.testing.assert_array_equal(result, expected)
    assert (expected[labels == 2] > 0).all()


@pytest.mark.parametrize(
    ("labels", "options", "text"),
    [
        (np.zeros((3, 3), np.float32), {}, "expected integers, got float32"),
        (np.zeros(3, np.uint8), {}, "two or three axes"),
        (np.zeros((2, 2, 2, 2), np.uint8), {}, "two or three axes"),
        (np.zeros((3, 3), np.uint8), {"cell": 2}, "got 2 for both"),
        (np.zeros((3, 3), np.uint8), {"connectivity": 3}, "expected 1 to 2 in 2D, got 3"),
        (np.zeros((3, 3), np.uint8), {"spacing": (1.0, 1.0, 1.0)}, "expected 2 positive numbers"),
        (np.zeros((3, 3), np.uint8), {"spacing": (1.0, 0.0)}, "expected 2 positive numbers"),
        (np.zeros((3, 3), np.uint8), {"tile": 0}, "tile: expected a positive whole number"),
        (np.zeros((3, 3), np.uint8), {"tile": (2, 2, 2)}, "one per axis"),
        (np.zeros((3, 3), np.uint8), {"tile": 2.5}, "tile"),
        (np.zeros((3, 3), np.uint8), {"threads": 0}, "threads: expected at least 1"),
    ],
)
def test_wrong_arguments(labels, options, text):
    with pytest.raises(ValueError, match=text):
        from_semantic(labels, **options)
