"""Where a segmentation is wrong: false and missed components, breaks, merges; instances one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from nnunet_ext.arrays.checks import dense_instances
from nnunet_ext.arrays.components import check_connectivity, label_components
from nnunet_ext.metrics.checks import BoolArray, check_mask, counted_pair
from nnunet_ext.metrics.contingency import InstanceOverlap, IntArray, instance_overlap
from nnunet_ext.metrics.gaps import gaps_between
from nnunet_ext.metrics.panoptic import match_instances

#: kinds of mistakes of a class, in the order of tables and legends
CLASS_KINDS = ("false", "missed", "break", "merge")
#: kinds of instances, likewise; an instance that nobody judged is of the kind "ignored" instead
INSTANCE_KINDS = ("matched", "missed", "extra", "merged", "split")

Labels = NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class Mark:
    """One place.

    Attributes
    ----------
    kind : str
        One of `CLASS_KINDS`, or of `INSTANCE_KINDS`.
    centre : tuple of int
        The voxel of it that is nearest to its centre of mass, in the order of the axes.
    box : tuple of (int, int)
        First voxel and one past the last, along each axis.
    size : int
        Its voxels.
    """

    kind: str
    centre: tuple[int, ...]
    box: tuple[tuple[int, int], ...]
    size: int


@dataclass(frozen=True)
class InstanceMark(Mark):
    """One instance.

    Attributes
    ----------
    of : {"reference", "prediction"}
        The map it is in.
    id : int
        Its number there.
    """

    of: Literal["reference", "prediction"]
    id: int


def locate_class_mistakes(
    prediction: BoolArray,
    reference: BoolArray,
    connectivity: int | None = None,
    ignored: BoolArray | None = None,
) -> list[Mark]:
    """Find the false and missed components, the breaks and the merges of one class.

    * ``false``: a predicted component that shares no voxel with the reference
    * ``missed``: a reference component that shares no voxel with the prediction
    * ``break``: a gap between the predicted components that cover one reference component; n of them make
      n − 1 breaks. The mark is the missing voxels of the shortest way from piece to piece.
    * ``merge``: a bridge between the reference components that one predicted component joins; n of them make
      n − 1 merges. The mark is the false voxels of the shortest way.

    So the difference in components is the sum of all of these, exactly:
    β0(P) − β0(R) = false − missed + breaks − merges, and the β0 error its absolute value. An error of 0 may
    hide mistakes that cancel; here each is counted. A lost end breaks nothing, and a loop that opens or
    closes is not counted: that is β1.

    Parameters
    ----------
    prediction, reference : (M, N[, P]) ndarray of bool
        Foreground of the two.
    connectivity : int, optional
        From 1 to the number of dimensions, as in `betti_numbers`. Default: full.
    ignored : (M, N[, P]) ndarray of bool, optional
        True where nobody judged: background in both maps before components are looked for.

    Returns
    -------
    list of Mark
        In the order of `CLASS_KINDS`.

    Raises
    ------
    ValueError
        If an array is not boolean, not 2D or 3D, the shapes differ, or the connectivity is out of range.

    Examples
    --------
    >>> reference = np.array([[1, 1, 1, 1, 1, 0, 0]], dtype=bool)
    >>> broken = np.array([[1, 1, 0, 1, 1, 0, 1]], dtype=bool)
    >>> [(mark.kind, mark.centre, mark.size) for mark in locate_class_mistakes(broken, reference)]
    [('false', (0, 6), 1), ('break', (0, 2), 1)]
    """
    prediction, reference = counted_pair(prediction, reference, _counted(ignored))
    connectivity = check_connectivity(connectivity, prediction.ndim)
    predicted, true = (label_components(mask, connectivity)[0] for mask in (prediction, reference))
    overlap = instance_overlap(true, predicted)
    gaps = gaps_between(true, predicted, overlap, connectivity)
    bridges = gaps_between(predicted, true, _swapped(overlap), connectivity)
    return [
        *_alone("false", predicted, overlap.prediction, overlap.prediction_sizes.size),
        *_alone("missed", true, overlap.reference, overlap.reference_sizes.size),
        *(Mark("break", *_place(voxels)) for voxels in gaps),
        *(Mark("merge", *_place(voxels)) for voxels in bridges),
    ]


def locate_instance_mistakes(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    iou: float = 0.5,
    ignored: BoolArray | None = None,
) -> list[InstanceMark]:
    """Give every instance of both maps one kind.

    * ``matched``: has a partner in the sense of `match_instances`, as for PQ
    * ``merged``: without partner; a predicted instance that covers more than half of each of two or more
      reference instances, or a reference instance that such a one covers
    * ``split``: without partner; a predicted instance more than half of which lies in a reference instance
      where more than half of another one lies, too, or a reference instance with two or more such pieces
    * ``missed`` (reference) or ``extra`` (prediction): any other without partner
    * ``ignored``: without partner, and more than half of it lies where nobody judged

    The first that fits counts. So the predicted ones that are extra, merged and split are the false positives
    of PQ, and the reference ones that are missed, merged and split its false negatives.

    Parameters
    ----------
    prediction, reference : (M, N[, P]) ndarray of int
        Instance ids, 0 = background.
    iou : float
        A pair of a higher intersection over union matches.
    ignored : (M, N[, P]) ndarray of bool, optional
        True where nobody judged.

    Returns
    -------
    list of InstanceMark
        The reference instances, then the predicted ones, in the order of their ids.

    Raises
    ------
    ValueError
        If an array is not of integers, has negative ones, is not 2D or 3D, the shapes differ, or `iou` is out
        of range.

    Examples
    --------
    >>> reference = np.array([[1, 1, 1, 0, 2, 2, 0, 3]])
    >>> prediction = np.array([[5, 5, 5, 0, 6, 7, 0, 0]])
    >>> [(mark.of, mark.id, mark.kind) for mark in locate_instance_mistakes(prediction, reference)][:3]
    [('reference', 1, 'matched'), ('reference', 2, 'split'), ('reference', 3, 'missed')]
    """
    overlap = instance_overlap(reference, prediction, _counted(ignored))
    of_reference, of_prediction = _instance_kinds(overlap, iou)
    return [
        *_instances("reference", reference, of_reference),
        *_instances("prediction", prediction, of_prediction),
    ]


def _instance_kinds(overlap: InstanceOverlap, iou: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Kind of every reference and of every predicted instance."""
    matching = match_instances(overlap, iou)
    true, predicted, shared = overlap.reference, overlap.prediction, overlap.intersection
    covered = 2 * shared > overlap.reference_sizes[true]  # most of the reference instance
    inside = 2 * shared > overlap.prediction_sizes[predicted]  # most of the predicted one
    joins = np.bincount(predicted[covered], minlength=overlap.prediction_sizes.size) > 1
    holds = np.bincount(true[inside], minlength=overlap.reference_sizes.size) > 1
    joined, pieces = np.zeros_like(holds), np.zeros_like(joins)
    joined[true[covered & joins[predicted]]] = True
    pieces[predicted[inside & holds[true]]] = True

    def kinds(merged: BoolArray, split: BoolArray, judged: BoolArray, partners: IntArray, rest: str) -> Any:
        kind = np.select([~judged, merged, split], ["ignored", "merged", "split"], rest)
        kind[partners] = "matched"
        return kind

    return (
        kinds(joined, holds, overlap.reference_judged, matching.reference, "missed"),
        kinds(joins, pieces, overlap.prediction_judged, matching.prediction, "extra"),
    )


def _instances(
    of: Literal["reference", "prediction"], instances: NDArray[Any], kinds: NDArray[Any]
) -> list[InstanceMark]:
    dense, _ = dense_instances(instances)
    marks = []
    for number, voxels in _voxels_of(dense, np.arange(1, len(kinds) + 1)):
        place = _place(voxels)
        marks.append(InstanceMark(str(kinds[number - 1]), *place, of, int(instances[place[0]])))
    return marks


def _alone(kind: str, components: Labels, touched: IntArray, count: int) -> list[Mark]:
    """Return the components without a partner."""
    alone = np.flatnonzero(np.bincount(touched, minlength=count) == 0) + 1
    return [Mark(kind, *_place(voxels)) for _, voxels in _voxels_of(components, alone)]


def _voxels_of(labels: Labels, numbers: IntArray) -> list[tuple[int, NDArray[np.intp]]]:
    if not numbers.size:
        return []
    boxes = find_objects(labels if labels.dtype != np.uint64 else labels.astype(np.int64))
    return [
        (
            number,
            np.argwhere(labels[boxes[number - 1]] == number) + [part.start for part in boxes[number - 1]],
        )
        for number in numbers.tolist()
    ]


def _place(voxels: NDArray[np.intp]) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...], int]:
    """Centre, box and size of a set of voxels."""
    nearest = voxels[((voxels - voxels.mean(0)) ** 2).sum(1).argmin()]
    box = zip(voxels.min(0).tolist(), (voxels.max(0) + 1).tolist(), strict=True)
    return tuple(nearest.tolist()), tuple(box), len(voxels)


def _swapped(overlap: InstanceOverlap) -> InstanceOverlap:
    order = np.lexsort((overlap.reference, overlap.prediction))
    return InstanceOverlap(
        overlap.prediction_sizes,
        overlap.reference_sizes,
        overlap.prediction_ignored,
        overlap.reference_ignored,
        overlap.prediction[order],
        overlap.reference[order],
        overlap.intersection[order],
    )


def _counted(ignored: BoolArray | None) -> BoolArray | None:
    if ignored is None:
        return None
    check_mask(ignored, ignored.shape)
    return ~ignored
