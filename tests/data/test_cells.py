from __future__ import annotations

import cc3d
import numpy as np
import pytest
from scipy.ndimage import maximum_filter

from nnunet_ext.data.cells import crowded_cells


@pytest.mark.parametrize(
    ("shape", "n_cells", "spacing"),
    [
        ((96, 130), 40, None),
        ((40, 40), 44, None),  # as many as there is room for
        ((24, 48, 48), 30, None),
        ((12, 40, 40), 20, (3.0, 1.0, 1.0)),
        ((30, 30), 1, None),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_every_cell_is_there_and_connected(shape, n_cells, spacing, seed):
    image, instances = crowded_cells(shape, n_cells, seed, spacing)
    assert (image.shape, image.dtype) == (shape, np.uint8)
    assert (instances.shape, instances.dtype) == (shape, np.uint16)
    assert np.unique(instances[instances > 0]).tolist() == list(range(1, n_cells + 1))
    pieces = cc3d.connected_components(instances, connectivity=8 if len(shape) == 2 else 26)
    assert pieces.max() == n_cells
    if n_cells > 1:
        assert image[instances > 0].mean() > 2 * image[instances == 0].mean()


def _neighbours(instances):
    """Ids of the cells that another cell touches, and the background between different cells."""
    highest = maximum_filter(instances, 3)
    other = np.where(instances == 0, np.iinfo(np.uint16).max, instances)
    lowest = -maximum_filter(-other.astype(np.int32), 3)
    touching = (instances > 0) & ((highest > instances) | (lowest < instances))
    gap = (instances == 0) & (highest > 0) & (lowest < highest)
    return np.unique(instances[touching]), gap


@pytest.mark.parametrize(("shape", "n_cells"), [((200, 200), 60), ((32, 64, 64), 60)])
def test_many_touch_and_some_keep_a_gap(shape, n_cells):
    touching, gap = _neighbours(crowded_cells(shape, n_cells)[1])
    assert 0.4 * n_cells < len(touching) < n_cells
    assert gap.sum() > n_cells


def test_the_seed_decides():
    image, instances = crowded_cells((64, 64), 10, seed=3)
    again = crowded_cells((64, 64), 10, seed=3)
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(instances, again[1])
    assert not np.array_equal(instances, crowded_cells((64, 64), 10, seed=4)[1])


def test_round_in_physical_units():
    _, instances = crowded_cells((16, 64, 64), 20, spacing=(4.0, 1.0, 1.0))
    extents = [np.ptp(np.argwhere(instances == i), axis=0) + 1 for i in range(1, 21)]
    z, y, x = np.mean(extents, axis=0)
    assert z * 4 == pytest.approx(y, rel=0.35)
    assert y == pytest.approx(x, rel=0.35)


def test_no_cells():
    image, instances = crowded_cells((20, 30), 0)
    assert not instances.any()
    assert image.std() > 0


@pytest.mark.parametrize(
    ("shape", "n_cells", "spacing", "message"),
    [
        ((20,), 1, None, "shape is two or three positive edges"),
        ((0, 20), 1, None, "shape is two or three positive edges"),
        ((20, 20), 12, None, "room for 0 to 11 cells; got n_cells=12"),
        ((20, 20), -1, None, "room for 0 to 11 cells"),
        ((20, 20), 4, (1.0,), "positive numbers, one per axis"),
        ((20, 20), 4, (1.0, 0.0), "positive numbers, one per axis"),
    ],
)
def test_refused(shape, n_cells, spacing, message):
    with pytest.raises(ValueError, match=message):
        crowded_cells(shape, n_cells, spacing=spacing)
