"""What keeping the cores guarantees, on label maps drawn to make it hard."""

import numpy as np
import pytest
from scipy import ndimage

from nnunet_ext.arrays import blocks
from nnunet_ext.arrays.nearest import squared_steps
from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.instances import from_semantic
from nnunet_ext.metrics import panoptic_quality
from nnunet_ext.targets import semantic_from_instances
from nnunet_ext.targets.keep_cores import moves as _moves
from nnunet_ext.targets.keep_cores.pieces import Pieces, offsets_across, reconstruction_overlap
from nnunet_ext.targets.touching import half_widths, thinnest_band, touching_band

FULL = {2: np.ones((3, 3)), 3: np.ones((3, 3, 3))}


def pieces_of(instances):
    """[(id, mask), …] of all connected pieces."""
    found = []
    for cell in np.unique(instances[instances > 0]):
        parts, count = ndimage.label(instances == cell, FULL[instances.ndim])
        found += [(cell, parts == part) for part in range(1, count + 1)]
    return found


def largest_pieces(instances):
    best = {}
    for cell, mask in pieces_of(instances):
        if cell not in best or mask.sum() > best[cell].sum():
            best[cell] = mask
    return best


def adjacent_cores(semantic, instances):
    """Pairs of cell voxels of different instances that are adjacent, counted voxel by voxel."""
    core = np.pad(np.where(semantic == 1, instances, 0).astype(int), 1)
    inner = (slice(1, -1),) * instances.ndim
    count = 0
    for shift in np.ndindex((3,) * instances.ndim):
        window = tuple(slice(s, s + n) for s, n in zip(shift, instances.shape, strict=True))
        count += ((core[inner] > 0) & (core[window] > 0) & (core[inner] != core[window])).sum()
    return count


def warped_blocks(shape, edges, seed):
    """Slanted blocks of these `edges`, some of them background: thin plates, rods, crumbs."""
    rng = np.random.default_rng(seed)
    grid = np.indices(shape).astype(float)
    slanted = grid + rng.uniform(-0.6, 0.6, (len(shape), len(shape))).dot(
        grid.reshape(len(shape), -1)
    ).reshape(grid.shape)
    cells = np.floor(slanted / np.reshape(edges, (-1,) + (1,) * len(shape))).astype(int)
    ids = np.unique(cells.reshape(len(shape), -1), axis=1, return_inverse=True)[1].reshape(shape) + 1
    keep = rng.permutation(ids.max() + 1) * (rng.random(ids.max() + 1) < 0.9)
    keep[0] = 0
    return keep[ids].astype(np.uint16)


HARD = [
    (warped_blocks((40, 50), (6, 9), 0), None),
    (warped_blocks((40, 50), (3, 12), 1), None),
    (warped_blocks((40, 50), (2, 2), 2), None),
    (warped_blocks((30, 40), (4, 9), 3), (2.0, 0.7)),
    (warped_blocks((12, 18, 18), (6, 9, 8), 4), None),
    (warped_blocks((8, 18, 18), (3, 12, 12), 5), (3.0, 1.0, 1.0)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("instances", "spacing"), HARD)
@pytest.mark.parametrize("radius", [0, 2])
def test_cores_are_single_never_adjacent_and_rarely_missing(instances, spacing, radius):
    semantic = semantic_from_instances(instances, radius, classes=3, spacing=spacing)
    np.testing.assert_array_equal(semantic > 0, instances > 0)
    assert adjacent_cores(semantic, instances) == 0
    counts = [
        ndimage.label(mask & (semantic == 1), FULL[mask.ndim])[1]
        for mask in largest_pieces(instances).values()
    ]
    assert max(counts) == 1
    assert np.mean(counts) > 0.97  # a cell of a few voxels may find no place for one


@pytest.mark.parametrize("seed", range(4))
def test_noise_breaks_nothing(seed):
    rng = np.random.default_rng(seed)
    shape = (15, 17) if seed % 2 else (5, 6, 7)
    for instances in (rng.integers(0, 4, shape), rng.permutation(int(np.prod(shape))).reshape(shape)):
        semantic = semantic_from_instances(instances, classes=3)
        np.testing.assert_array_equal(semantic > 0, instances > 0)
        assert adjacent_cores(semantic, instances) == 0


@pytest.mark.parametrize(("instances", "spacing"), HARD)
def test_more_comes_back_than_to_the_letter(instances, spacing):
    separate = label_pieces(instances)
    kept, letter = (
        panoptic_quality(
            separate,
            from_semantic(
                semantic_from_instances(separate, classes=3, spacing=spacing, keep_cores=keep),
                spacing=spacing,
            ),
        )["pq"]
        for keep in (True, False)
    )
    assert kept > letter + 0.3


def label_pieces(instances):
    separate = np.zeros(instances.shape, np.uint16)
    for number, (_, mask) in enumerate(pieces_of(instances), 1):
        separate[mask] = number
    return separate


@pytest.mark.parametrize("spacing", [None, (3.0, 1.0, 1.0)])
def test_instances_that_come_back_are_left_alone(spacing):
    good = crowded_cells((24, 60, 60), 12, seed=1, spacing=spacing)[1]
    arguments = {"classes": 3, "spacing": (1.0, 1.0, 1.0)}
    np.testing.assert_array_equal(
        semantic_from_instances(good, **arguments),
        semantic_from_instances(good, keep_cores=False, **arguments),
    )


def test_only_neighbours_of_a_thin_instance_change():
    instances = np.zeros((20, 60), int)
    instances[:, :9], instances[:, 9], instances[:, 10:30], instances[:, 30:45], instances[:, 45:] = (
        1,
        2,
        3,
        4,
        5,
    )
    kept, letter = (semantic_from_instances(instances, classes=3, keep_cores=keep) for keep in (True, False))
    changed = np.flatnonzero((kept != letter).any(0))
    assert changed.min() >= 7  # two voxels from column 9, as far as its neighbours' bands went
    assert changed.max() <= 11
    assert (kept[:, 9] == 1).any()
    back = from_semantic(kept)
    assert panoptic_quality(instances, back)["pq"] > 0.95


def test_plate_of_two_voxels_between_slabs_comes_back_exactly():
    instances = np.ones((12, 10, 10), int)
    instances[5:7], instances[7:] = 2, 3
    letter = semantic_from_instances(instances, keep_cores=False)
    assert not (letter[5:7] == 1).any()
    back = from_semantic(semantic_from_instances(instances))
    assert panoptic_quality(instances, back)["pq"] > 0.9


@pytest.mark.parametrize("beside", [1, 3])
def test_a_smaller_piece_of_an_instance_follows_the_paper(beside):
    instances = np.ones((20, 30), int)
    instances[4:16, 3:12] = 2
    instances[8:11, 20:23] = 2  # the other piece, 3 × 3: gone with a window of 5 × 5
    instances[8:11, 23:25] = beside  # 3: itself too thin for that window
    semantic = semantic_from_instances(instances)
    assert (semantic[8:11, 20:23] == 2).all()
    assert (semantic[7:13, 6:9] == 1).all()
    on_its_own = np.where((instances == 2) & (np.arange(30) >= 15), 4, instances)
    assert (semantic_from_instances(on_its_own)[8:11, 20:23] == 1).any()


@pytest.mark.parametrize(("instances", "spacing"), [*HARD, (crowded_cells((80, 80), 40)[1], None)])
def test_reconstruction_overlap_is_that_of_from_semantic(instances, spacing):
    pieces = Pieces(instances)
    separate = pieces.labels
    half = half_widths(2, spacing or (1,) * separate.ndim)
    semantic = (separate > 0).astype(np.uint8) + touching_band(separate, half, separate=True)
    cores, count = ndimage.label(semantic == 1, FULL[separate.ndim])
    owner = np.append(0, ndimage.maximum(separate, cores, range(1, count + 1))).astype(int)
    offsets = offsets_across(separate.shape, squared_steps(separate.shape, spacing))  # however far a core is
    got = reconstruction_overlap(pieces, cores.astype(np.uint16), owner, semantic, offsets)

    back = from_semantic(semantic, spacing=spacing, max_distance=np.inf)
    came_from = np.append(0, ndimage.maximum(separate * (semantic == 1), back, range(1, count + 1)))[back]
    for piece in range(1, separate.max() + 1):
        both = (separate == piece) & (came_from == piece)
        either = (separate == piece) | (came_from == piece)
        assert got[piece] == pytest.approx(both.sum() / either.sum())


@pytest.mark.slow
@pytest.mark.parametrize(("instances", "spacing"), HARD)
def test_moves_reckon_with_what_from_semantic_does(instances, spacing, monkeypatch):
    separate = label_pieces(instances)
    expected = {}

    def write(patch, *arguments):
        original(patch, *arguments)
        expected["nearest"], expected["own"] = (
            flat.reshape(patch.shape)[patch._inner()] for flat in (patch.nearest, patch.own)
        )

    original = _moves._Patch.write
    monkeypatch.setattr(_moves._Patch, "write", write)
    monkeypatch.setattr(_moves, "grown", lambda box, margin, shape: tuple(slice(0, n) for n in shape))
    semantic = semantic_from_instances(separate, 1, classes=3, spacing=spacing)
    back = from_semantic(semantic, spacing=spacing)
    right = expected["nearest"] == expected["own"]
    agreed = label_of_most(back, np.where(semantic == 1, separate, 0)) == separate
    assert np.mean(right[separate > 0] == agreed[separate > 0]) > 0.995  # ties of cores that changed since


def label_of_most(back, core):
    """The instance whose core lies in each component of `back`."""
    return np.append(0, ndimage.maximum(core, back, range(1, back.max() + 1)))[back]


COARSE = (warped_blocks((9, 24, 24), (5, 14, 14), 6), (4.0, 1.0, 1.0))  # the window is one slice thick


@pytest.mark.slow
@pytest.mark.parametrize(("instances", "spacing"), [*HARD, COARSE])
def test_slabs_change_nothing(instances, spacing, monkeypatch):
    whole = semantic_from_instances(instances, gap_radius=3, spacing=spacing)
    monkeypatch.setattr(blocks, "SLAB_VOXELS", 2 * instances[0].size)
    np.testing.assert_array_equal(semantic_from_instances(instances, gap_radius=3, spacing=spacing), whole)


def test_ids_play_no_part():
    instances, _ = HARD[1]
    order = np.random.default_rng(0).permutation(np.arange(1, instances.max() + 1))
    renamed = np.append(0, order * 1000)[instances]
    np.testing.assert_array_equal(semantic_from_instances(renamed), semantic_from_instances(instances))


def test_thinnest_band():
    instances = np.array(
        [
            [1, 1, 1, 2, 2, 0],
            [1, 1, 1, 2, 0, 4],
            [1, 1, 1, 0, 0, 0],
            [0, 3, 3, 0, 0, 0],
        ]
    )
    expected = [
        [0, 0, 1, 1, 1, 0],  # the last 2 and the 4 meet at a corner
        [0, 0, 1, 1, 0, 1],
        [0, 1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0, 0],
    ]
    np.testing.assert_array_equal(thinnest_band(instances.astype(np.uint8)), np.array(expected, bool))


def test_pieces():
    instances = np.array([[7, 7, 0, 5, 5], [0, 0, 0, 0, 5], [7, 0, 9, 0, 0], [7, 0, 9, 0, 7]], np.uint16)
    pieces = Pieces(instances)
    assert pieces.labels.tolist() == [[1, 1, 0, 2, 2], [0, 0, 0, 0, 2], [3, 0, 4, 0, 0], [3, 0, 4, 0, 5]]
    assert pieces.size[1:].tolist() == [2, 3, 2, 2, 1]
    assert pieces.first[1:].tolist() == [0, 3, 10, 12, 19]
    assert pieces.largest[1:].tolist() == [True, True, False, True, False]  # of equally large ones the first
    assert pieces.box(4) == (slice(2, 4), slice(2, 3))
