"""One case of instances: counts that give its metrics and add up over cases."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nnunet_ext.metrics.aggregated_jaccard import JaccardSums
from nnunet_ext.metrics.contours import ContourCounts
from nnunet_ext.metrics.panoptic import Matching, PanopticCounts

PQ_IOU = 0.5  # the threshold that PQ is defined with
_ALWAYS = ("n_true", "n_pred")  # the same at every threshold
_SAME_NAME = ("precision", "recall", "f1", "accuracy", "tp", "fp", "fn")
SHAPES = ("Roundness", "Sphericity")  # of instances, where asked for
_MEANS = ("mean_true_score", "mean_matched_dice", "mean_true_dice")
# Key in a summary -> what `panoptic_quality` calls it.
_KEYS = {
    **{"PQ": "pq", "SQ": "sq", "RQ": "rq"},
    **{key: key for key in (*_SAME_NAME, *_MEANS, *_ALWAYS)},
}


@dataclass(frozen=True)
class Remarks:
    """What is odd about a case, though it could be evaluated.

    Attributes
    ----------
    grid : str
        How the voxels of the prediction lie otherwise than those of the reference; "" if they do not.
    equal : bool or None
        Whether the maps are the same, voxel by voxel; None where both are empty.
    pieces : tuple of (int, int) or None
        Ids and connected components of reference and prediction; None where they are too many for classes.
    full : tuple of (bool, bool)
        Whether no voxel of reference and prediction is background.
    """

    grid: str = ""
    equal: bool | None = None
    pieces: tuple[tuple[int, int] | None, tuple[int, int] | None] = (None, None)
    full: tuple[bool, bool] = (False, False)


@dataclass
class ShapeSums:
    """Sphericity and roundness of the instances of a map, added up.

    Attributes
    ----------
    count : int
    sphericity, roundness : float
        Sums over the instances.
    """

    count: int = 0
    sphericity: float = 0.0
    roundness: float = 0.0

    def __add__(self, other: ShapeSums) -> ShapeSums:
        return ShapeSums(
            self.count + other.count,
            self.sphericity + other.sphericity,
            self.roundness + other.roundness,
        )


@dataclass(frozen=True)
class InstanceCase:
    """What one case adds to the whole.

    Attributes
    ----------
    files : (Path, Path)
        Reference and prediction.
    matchings : tuple of Matching
        One per IoU threshold.
    jaccard : JaccardSums
        For the AJI.
    contours : tuple of ContourCounts
        One per tolerance.
    voxel_size : float
        Area or volume of a voxel in the unit sizes are wanted in; 1 for voxels.
    spacing : tuple of float or None
        Edges of a voxel, if they are known.
    shape : tuple of int
        Of the two maps.
    ignored : int or None
        Voxels that nobody judged; None if there is no label map to say so.
    remarks : Remarks
        What is odd about the two maps.
    shapes : (ShapeSums, ShapeSums) or None
        Of reference and prediction; None if nobody asked.
    """

    files: tuple[Path, Path]
    matchings: tuple[Matching, ...]
    jaccard: JaccardSums
    contours: tuple[ContourCounts, ...]
    voxel_size: float
    spacing: tuple[float, ...] | None
    shape: tuple[int, ...]
    ignored: int | None
    remarks: Remarks
    shapes: tuple[ShapeSums, ShapeSums] | None = None

    def counts(self, smallest: float = 0, below: float = math.inf) -> list[PanopticCounts]:
        """Count instances of ``smallest <= size < below`` at each IoU threshold."""
        return [matching.counts(smallest, below, self.voxel_size) for matching in self.matchings]

    def metrics(self) -> dict[str, float]:
        """Every metric of this case."""
        return {
            **panoptic_metrics(self.counts()),
            **shape_metrics(self.jaccard, self.contours),
            **roundness_metrics(self.shapes),
        }


def panoptic_metrics(counts: Iterable[PanopticCounts]) -> dict[str, float]:
    """The metrics of several IoU thresholds under the keys of a summary.

    At .5 they have no suffix and precision is ``P05``; at others ``@`` and the threshold follow.
    """
    result = {}
    for count in counts:
        values = count.metrics()
        if count.iou == PQ_IOU:
            result.update({"P05" if key == "precision" else key: values[name] for key, name in _KEYS.items()})
        else:
            names = {key: name for key, name in _KEYS.items() if key not in _ALWAYS}
            result.update({f"{key}@{count.iou:g}": values[name] for key, name in names.items()})
    return result


def shape_metrics(jaccard: JaccardSums, contours: Iterable[ContourCounts]) -> dict[str, float]:
    """The metrics without IoU threshold under the keys of a summary."""
    return {"AJI": jaccard.index, **{f"ContourF1@{count.tolerance:g}": count.f1 for count in contours}}


def roundness_metrics(shapes: tuple[ShapeSums, ShapeSums] | None) -> dict[str, float]:
    """Means over the predicted and the reference instances (``_ref``) under the keys of a summary.

    ``Error``: the difference of the two means, whichever is rounder; NaN where one map has no instances.
    """
    if shapes is None:
        return {}
    means = {
        f"{name.capitalize()}{suffix}": getattr(sums, name) / sums.count if sums.count else math.nan
        for name in map(str.lower, SHAPES)
        for sums, suffix in ((shapes[1], ""), (shapes[0], "_ref"))
    }
    for name in SHAPES:
        means[f"{name}Error"] = abs(means[name] - means[f"{name}_ref"])
    return means
