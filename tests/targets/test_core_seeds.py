"""As many cells as can have a core have one: against exhaustive search, and where it is known by hand."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from nnunet_ext.instances import from_semantic
from nnunet_ext.targets import semantic_from_instances, without_core
from nnunet_ext.targets.keep_cores.seeds import Seeds, inner_voxels


def random_cells(shape, number, seed):
    """Cells around random points that fill an image."""
    points = np.random.default_rng(seed).uniform(0, 1, (number, len(shape))) * shape
    voxels = np.stack(np.indices(shape), -1).reshape(-1, len(shape))
    return (cKDTree(points).query(voxels)[1] + 1).reshape(shape)


def most_cores(instances):
    """The largest number of instances that can have a voxel each, no two adjacent: all choices are tried."""
    cells = [
        [tuple(v) for v in np.argwhere(instances == cell)] for cell in np.unique(instances[instances > 0])
    ]
    cells.sort(key=len)
    best = 0

    def choose(number, chosen):
        nonlocal best
        if len(chosen) + len(cells) - number <= best:
            return
        if number == len(cells):
            best = len(chosen)
            return
        for voxel in cells[number]:
            if all(max(abs(a - b) for a, b in zip(voxel, other, strict=True)) > 1 for other in chosen):
                choose(number + 1, [*chosen, voxel])
        choose(number + 1, chosen)

    choose(0, [])
    return best


@pytest.mark.parametrize(("shape", "number"), [((5, 6), 6), ((6, 7), 9), ((3, 3, 4), 6), ((2, 4, 5), 7)])
def test_as_many_cells_have_a_core_as_exhaustive_search_finds(shape, number):
    for seed in range(8):
        instances = random_cells(shape, number, seed)
        lost = without_core(instances, semantic_from_instances(instances, classes=3))
        assert len(np.unique(instances)) - len(lost) == most_cores(instances)


def test_a_place_for_all_that_one_cell_after_the_other_does_not_find():
    instances = np.array([[[1, 2, 2, 3]], [[1, 2, 2, 3]], [[1, 2, 4, 3]]])
    semantic = semantic_from_instances(instances, touching_radius=2, gap_radius=0, classes=3)
    assert without_core(instances, semantic).tolist() == []
    assert from_semantic(semantic).max() == 4


def test_in_a_dense_field_nearly_all_cells_have_a_core():
    instances = random_cells((60, 60), 360, 0)
    semantic = semantic_from_instances(instances)
    assert len(without_core(instances, semantic)) <= 2
    core = np.where(semantic == 1, instances, 0)
    others = np.where(core, core, instances.max() + 1)
    assert (ndimage.minimum_filter(others, 3)[core > 0] == core[core > 0]).all()  # none is adjacent
    counts = [ndimage.label(core == cell, np.ones((3, 3)))[1] for cell in np.unique(core[core > 0])]
    assert set(counts) == {1}


def test_cells_keep_their_cores_when_no_more_moves_are_tried(monkeypatch):
    monkeypatch.setattr("nnunet_ext.targets.keep_cores.moves._MOST_TRIED", {2: 1, 3: 1})
    instances = random_cells((40, 40), 80, 1)  # of 20 pixels
    assert len(without_core(instances, semantic_from_instances(instances))) == 0


def test_a_cell_whose_largest_piece_has_no_place_has_its_core_in_another():
    instances = np.zeros((5, 11), int)
    instances[1:4, 1:4] = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    instances[2, 9] = 5
    semantic = semantic_from_instances(instances, classes=3)
    assert semantic[2, 9] == 1


def test_inner_voxels():
    labels = np.zeros((4, 6), np.uint8)
    labels[:, :3], labels[:, 3:] = 1, 2
    assert inner_voxels(labels).tolist() == [0, 8, 8]


def test_nobody_who_has_a_voxel_is_left_without():
    cells = np.array([[1, 1, 2, 3, 3]], np.uint8)
    seeds = Seeds(cells, np.array([-1, 1, -1, 4]))
    seeds.search(np.array([2]))
    assert seeds.places.tolist() == [-1, 0, 2, 4]  # the first one moves aside
    tight = Seeds(np.array([[1, 2, 3]], np.uint8), np.array([-1, 0, -1, 2]))
    tight.search(np.array([2]))
    assert tight.places.tolist() == [-1, 0, -1, 2]
