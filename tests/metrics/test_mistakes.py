"""Mistakes of classes and instances on literal arrays, and against a slow search voxel by voxel."""

from collections import deque
from itertools import combinations, product

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from nnunet_ext.arrays.components import label_components
from nnunet_ext.metrics import (
    InstanceMark,
    Mark,
    betti_numbers,
    instance_overlap,
    locate_class_mistakes,
    locate_instance_mistakes,
    panoptic_quality,
)
from nnunet_ext.metrics.gaps import gaps_between
from nnunet_ext.metrics.mistakes import CLASS_KINDS


def picture(text):
    return np.array([[letter != "." for letter in line] for line in text.split()])


def volume(mask):
    """The same mask in the middle of three slices."""
    return np.stack([np.zeros_like(mask), mask, np.zeros_like(mask)])


def counts(marks):
    return {kind: sum(mark.kind == kind for mark in marks) for kind in CLASS_KINDS}


def both_ways(prediction, reference, **options):
    """The marks in 2D, after it was checked that the 3D ones are the same in the middle slice."""
    flat = locate_class_mistakes(prediction, reference, **options)
    deep = locate_class_mistakes(volume(prediction), volume(reference), **options)
    assert deep == [Mark(m.kind, (1, *m.centre), ((1, 2), *m.box), m.size) for m in flat]
    return flat


LINE = picture("............. .###########. .............")


def test_a_line_with_two_gaps():
    broken = picture("............. .##.###...##. .............")
    assert both_ways(broken, LINE) == [
        Mark("break", (1, 3), ((1, 2), (3, 4)), 1),
        Mark("break", (1, 8), ((1, 2), (7, 10)), 3),
    ]


def test_a_lost_end_is_no_break():
    assert both_ways(picture("............. .#######..... ............."), LINE) == []


def test_a_prediction_that_is_thinner_all_along_has_no_break_but_at_the_gap():
    thick = picture(".......... ########## ########## ########## ..........")
    thin = picture(".......... .......... ####..#### .......... ..........")
    (mark,) = both_ways(thin, thick)
    assert mark.kind == "break"
    assert mark.box == ((1, 4), (4, 6))
    assert mark.size == 6


def test_two_discs_joined_by_a_bridge():
    discs = picture(".###....###. ####....#### .###....###.")
    joined = picture(".###....###. ############ .###....###.")
    assert both_ways(joined, discs) == [Mark("merge", (1, 5), ((1, 2), (4, 8)), 4)]


def test_an_extra_blob_and_a_missed_one():
    reference, prediction = picture("##..... ##..... ......."), picture("....... ....##. ....##.")
    assert both_ways(prediction, reference) == [
        Mark("false", (1, 4), ((1, 3), (4, 6)), 4),
        Mark("missed", (0, 0), ((0, 2), (0, 2)), 4),
    ]


def test_pieces_that_are_joined_outside_of_the_reference_are_no_break():
    assert both_ways(picture("####### #.....# ##...##"), picture("....... ....... #######")) == []


def test_one_piece_in_two_references_is_a_merge_also_where_another_breaks_one_of_them():
    reference = picture("#####.#####")
    prediction = picture("##.########")
    assert counts(both_ways(prediction, reference)) == {"false": 0, "missed": 0, "break": 1, "merge": 1}
    assert betti_numbers(prediction)[0] == betti_numbers(reference)[0]  # the two cancel in the β0 error


def test_diagonal_neighbours_depend_on_the_connectivity():
    reference, prediction = np.ones((3, 3), bool), np.eye(3, dtype=bool)
    assert locate_class_mistakes(prediction, reference) == []
    assert counts(locate_class_mistakes(prediction, reference, connectivity=1))["break"] == 2


def test_what_nobody_judged_is_background_in_both():
    ignored = picture("............. ............. .............")
    ignored[:, 6] = True
    assert both_ways_ignored(LINE, LINE, ignored) == []
    marks = both_ways_ignored(picture("............. .####...####. ............."), LINE, ignored)
    assert counts(marks)["break"] == 0  # the gap lies where the reference itself is cut
    whole = picture("............. .##########.# .............")
    assert counts(both_ways_ignored(whole, np.zeros_like(LINE), ignored))["false"] == 3


def both_ways_ignored(prediction, reference, ignored):
    flat = locate_class_mistakes(prediction, reference, ignored=ignored)
    deep = locate_class_mistakes(volume(prediction), volume(reference), ignored=volume(ignored))
    assert counts(flat) == counts(deep)
    return flat


@pytest.mark.parametrize("shape", [(4, 5), (0, 3), (2, 3, 4)])
def test_empty_maps(shape):
    empty = np.zeros(shape, bool)
    assert locate_class_mistakes(empty, empty) == []
    full = np.ones(shape, bool)
    assert counts(locate_class_mistakes(full, empty))["false"] == min(1, full.size)
    assert counts(locate_class_mistakes(empty, full))["missed"] == min(1, full.size)


def test_the_centre_lies_in_the_mistake():
    ring = picture("##### #...# ##### .....")
    (mark,) = locate_class_mistakes(ring, np.zeros_like(ring))
    assert ring[mark.centre]


@pytest.mark.parametrize(
    ("prediction", "reference", "options", "match"),
    [
        (np.ones((2, 2), int), np.ones((2, 2), bool), {}, "prediction: expected a boolean array"),
        (np.ones((2, 2), bool), np.ones((2, 3), bool), {}, "one shape"),
        (np.ones((2, 2), bool), np.ones((2, 2), bool), {"connectivity": 3}, "connectivity: expected 1 to 2"),
        (np.ones((2, 2), bool), np.ones((2, 2), bool), {"ignored": np.ones((2, 2))}, "boolean"),
        (np.ones((2, 2), bool), np.ones((2, 2), bool), {"ignored": np.ones((2, 3), bool)}, "shape"),
    ],
)
def test_wrong_arrays(prediction, reference, options, match):
    with pytest.raises(ValueError, match=match):
        locate_class_mistakes(prediction, reference, **options)


# The slow version: sets of voxels, searched one step at a time.


def neighbours(voxel, connectivity):
    for step in product((-1, 0, 1), repeat=len(voxel)):
        if 0 < sum(map(abs, step)) <= connectivity:
            yield tuple(a + b for a, b in zip(voxel, step, strict=True))


def steps_from(sources, allowed, connectivity):
    """Steps to every allowed voxel that can be reached."""
    steps = dict.fromkeys(sources, 0)
    queue = deque(sources)
    while queue:
        voxel = queue.popleft()
        for other in neighbours(voxel, connectivity):
            if other in allowed and other not in steps:
                steps[other] = steps[voxel] + 1
                queue.append(other)
    return steps


def slow_components(mask, connectivity):
    left = {tuple(voxel) for voxel in np.argwhere(mask).tolist()}
    found = []
    while left:
        found.append(frozenset(steps_from([min(left)], left, connectivity)))
        left -= found[-1]
    return found


def slow_gap_lengths(wholes, pieces, connectivity):
    """Missing voxels along the ways of the minimum spanning tree of every whole's pieces, sorted."""
    lengths = []
    for whole in wholes:
        inside = [piece & whole for piece in pieces if piece & whole]
        edges = []
        for i, j in combinations(range(len(inside)), 2):
            steps = steps_from(inside[i], whole, connectivity)
            edges.append((min(steps[voxel] for voxel in inside[j]), i, j))
        group = list(range(len(inside)))
        for length, i, j in sorted(edges):
            if group[i] != group[j]:
                group = [group[j] if g == group[i] else g for g in group]
                lengths.append(length - 1)
    return sorted(lengths)


def random_maps(seed):
    random = np.random.default_rng(seed)
    shape = [(9, 11), (5, 6, 5), (1, 20), (3, 7, 1)][seed % 4]
    connectivity = int(random.integers(1, len(shape) + 1))
    density = random.uniform(0.3, 0.8, 2)
    prediction, reference = (random.random(shape) < part for part in density)
    return prediction, reference, connectivity


@pytest.mark.parametrize("seed", range(120))
def test_random_maps_against_the_slow_version(seed):
    prediction, reference, connectivity = random_maps(seed)
    marks = locate_class_mistakes(prediction, reference, connectivity)
    predicted, true = (slow_components(mask, connectivity) for mask in (prediction, reference))
    for kind, own, others in (("false", predicted, true), ("missed", true, predicted)):
        alone = [part for part in own if not any(part & other for other in others)]
        found = [mark for mark in marks if mark.kind == kind]
        assert sorted(mark.size for mark in found) == sorted(map(len, alone))
        assert all(any(mark.centre in part and len(part) == mark.size for part in alone) for mark in found)
    number = counts(marks)
    assert number["break"] == len(slow_gap_lengths(true, predicted, connectivity))
    assert number["merge"] == len(slow_gap_lengths(predicted, true, connectivity))
    difference = number["false"] - number["missed"] + number["break"] - number["merge"]
    assert difference == len(predicted) - len(true)


@pytest.mark.parametrize("seed", range(120))
def test_gaps_are_the_shortest_ways_and_filling_them_joins_all_pieces(seed):
    prediction, reference, connectivity = random_maps(seed)
    (predicted, _), (true, _) = (label_components(mask, connectivity) for mask in (prediction, reference))
    gaps = gaps_between(true, predicted, instance_overlap(true, predicted), connectivity)
    wholes, pieces = (slow_components(mask, connectivity) for mask in (reference, prediction))
    lengths = []
    filled = prediction.copy()
    for gap in gaps:
        voxels = {tuple(voxel) for voxel in gap.tolist()}
        (whole,) = [whole for whole in wholes if voxels <= whole]
        assert not any(prediction[voxel] for voxel in voxels)
        beside = [
            piece & whole
            for piece in pieces
            if any(set(neighbours(voxel, connectivity)) & piece & whole for voxel in voxels)
        ]
        ways = []
        for one, other in combinations(beside, 2):
            steps = steps_from(one, voxels | other, connectivity)
            ways += [min(steps[voxel] for voxel in other if voxel in steps) - 1] if other & set(steps) else []
        lengths.append(set(ways))
        filled[tuple(gap.T)] = True
    # A gap may come by a third piece, so that several lengths are found: one of each has to be the right one.
    expected = slow_gap_lengths(wholes, pieces, connectivity)
    assert len(expected) == len(lengths)
    fits = csr_array([[length in ways for length in expected] for ways in lengths] or [[]], dtype=bool)
    assert np.all(maximum_bipartite_matching(fits) >= 0)
    for whole in wholes:
        inside = np.zeros_like(filled)
        inside[tuple(np.array(sorted(whole)).T)] = True
        assert counts(locate_class_mistakes(filled, inside, connectivity))["break"] == 0


# Instances


def kinds(marks, of):
    assert all(isinstance(mark, InstanceMark) for mark in marks)
    return {mark.id: mark.kind for mark in marks if mark.of == of}


REFERENCE = np.array(
    [
        [1, 1, 1, 0, 2, 2, 2, 0, 3, 3, 3, 0, 4, 4],
        [1, 1, 1, 0, 2, 2, 2, 0, 3, 3, 3, 0, 4, 4],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [7, 7, 7, 7, 7, 7, 0, 0, 0, 0, 0, 9, 9, 9],
    ]
)
PREDICTION = np.array(
    [
        [5, 5, 5, 0, 6, 6, 6, 6, 6, 6, 6, 0, 0, 0],
        [5, 5, 0, 0, 6, 6, 6, 6, 6, 6, 6, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 0, 0, 0, 0],
        [1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 3, 0],
    ]
)


@pytest.mark.parametrize("deep", [False, True])
def test_every_kind_of_instance(deep):
    prediction, reference = (np.stack([a, a]) if deep else a for a in (PREDICTION, REFERENCE))
    marks = locate_instance_mistakes(prediction, reference)
    assert kinds(marks, "reference") == {
        1: "matched",
        2: "merged",
        3: "merged",
        4: "missed",
        7: "split",
        9: "missed",  # 3 lies in it, but is too small a part
    }
    assert kinds(marks, "prediction") == {
        1: "split",
        2: "split",
        3: "extra",
        5: "matched",
        6: "merged",
        8: "extra",
    }
    first = marks[0]
    assert first.size == 6 * (1 + deep)
    assert first.box[-2:] == ((0, 2), (0, 3))


def test_a_crumb_of_a_matched_instance_is_a_piece_of_it():
    marks = locate_instance_mistakes(np.array([[1, 1, 1, 1, 1, 2]]), np.array([[4, 4, 4, 4, 4, 4]]))
    assert kinds(marks, "reference") == {4: "matched"}
    assert kinds(marks, "prediction") == {1: "matched", 2: "split"}


def test_instances_that_nobody_judged():
    ignored = np.zeros((1, 8), bool)
    ignored[0, 4:] = True
    prediction, reference = np.array([[1, 1, 0, 0, 0, 2, 2, 0]]), np.array([[1, 1, 0, 0, 5, 0, 0, 6]])
    marks = locate_instance_mistakes(prediction, reference, ignored=ignored)
    assert kinds(marks, "reference") == {1: "matched", 5: "ignored", 6: "ignored"}
    assert kinds(marks, "prediction") == {1: "matched", 2: "ignored"}


@pytest.mark.parametrize("seed", range(60))
def test_random_instances_against_sets_and_panoptic_quality(seed):
    random = np.random.default_rng(seed)
    shape = (12, 12) if seed % 2 else (5, 6, 4)
    coarse, fine = (random.integers(0, ids, shape) for ids in (4, 9))
    reference, prediction = (coarse, np.where(random.random(shape) < 0.7, coarse, fine))
    if seed % 3 == 0:
        reference, prediction = prediction * 7, reference
    if seed % 3 == 1:
        prediction = np.where(prediction == 2, 1, prediction)
    ignored = random.random(shape) < 0.3 if seed % 5 == 0 else None
    iou = [0.5, 0.3, 0.7][seed % 3]
    marks = locate_instance_mistakes(prediction, reference, iou, ignored)
    quality = panoptic_quality(reference, prediction, iou, None if ignored is None else ~ignored)
    of_reference, of_prediction = kinds(marks, "reference"), kinds(marks, "prediction")
    assert set(of_reference) == set(np.unique(reference)) - {0}
    assert set(of_prediction) == set(np.unique(prediction)) - {0}
    for found, wrong, key in (
        (of_reference, ("missed", "merged", "split"), "fn"),
        (of_prediction, ("extra", "merged", "split"), "fp"),
    ):
        assert sum(kind == "matched" for kind in found.values()) == quality["tp"]
        assert sum(kind in wrong for kind in found.values()) == quality[key]
    counted = np.ones(shape, bool) if ignored is None else ~ignored
    for id_, kind in of_prediction.items():
        if kind in ("matched", "ignored"):
            continue
        own = (prediction == id_) & counted
        covers = [
            r for r in of_reference if 2 * (own & (reference == r)).sum() > ((reference == r) & counted).sum()
        ]
        home = [r for r in of_reference if 2 * (own & (reference == r)).sum() > own.sum()]
        pieces = sum(
            2 * ((prediction == p) & counted & (reference == r)).sum() > ((prediction == p) & counted).sum()
            for r in home
            for p in of_prediction
        )
        assert kind == ("merged" if len(covers) > 1 else "split" if pieces > 1 else "extra")


def test_inputs_are_not_changed_and_large_ids_work():
    prediction, reference = PREDICTION.astype(np.uint64) * 10**12, REFERENCE.astype(np.int16)
    before = prediction.copy(), reference.copy()
    marks = locate_instance_mistakes(prediction, reference)
    assert kinds(marks, "prediction")[6 * 10**12] == "merged"
    np.testing.assert_array_equal(before[0], prediction)
    np.testing.assert_array_equal(before[1], reference)
