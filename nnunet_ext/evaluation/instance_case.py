"""One case of instances: the two files read, and counts that give its metrics and add up over cases."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nnunet_ext.arrays.checks import check_spacing
from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.metrics.aggregated_jaccard import JaccardSums, jaccard_sums
from nnunet_ext.metrics.checks import check_instances
from nnunet_ext.metrics.contingency import instance_overlap
from nnunet_ext.metrics.contours import ContourCounts, contour_counts
from nnunet_ext.metrics.panoptic import Matching, PanopticCounts, match_instances

PQ_IOU = 0.5  # the threshold that PQ is defined with
ENDINGS = (".tif", ".tiff", ".nii.gz", ".nii", ".png")
_ALWAYS = ("n_true", "n_pred")  # the same at every threshold
_SAME_NAME = ("precision", "recall", "f1", "accuracy", "tp", "fp", "fn")
_MEANS = ("mean_true_score", "mean_matched_dice", "mean_true_dice")
# Key in a summary -> what `panoptic_quality` calls it.
_KEYS = {
    **{"PQ": "pq", "SQ": "sq", "RQ": "rq"},
    **{key: key for key in (*_SAME_NAME, *_MEANS, *_ALWAYS)},
}

Spacing = tuple[float, ...]


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
    """

    files: tuple[Path, Path]
    matchings: tuple[Matching, ...]
    jaccard: JaccardSums
    contours: tuple[ContourCounts, ...]
    voxel_size: float

    def counts(self, smallest: float = 0, below: float = math.inf) -> list[PanopticCounts]:
        """Count instances of ``smallest <= size < below`` at each IoU threshold."""
        return [matching.counts(smallest, below, self.voxel_size) for matching in self.matchings]

    def metrics(self) -> dict[str, float]:
        """Every metric of this case."""
        return {**panoptic_metrics(self.counts()), **shape_metrics(self.jaccard, self.contours)}


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


@dataclass(frozen=True)
class InstanceCaseEvaluator:
    """Evaluates one case after the other; can be sent to other processes.

    Attributes
    ----------
    ious, tolerances : tuple of float
        IoU thresholds and contour tolerances.
    spacing : tuple of float or None
        Replaces the spacing in the reference files.
    physical : bool
        Tolerances and sizes are in the unit of the spacing, not in voxels.
    """

    ious: tuple[float, ...]
    tolerances: tuple[float, ...]
    spacing: Spacing | None = None
    physical: bool = False

    def __call__(self, files: tuple[Path, Path]) -> InstanceCase | UnusableCase:
        """Evaluate a (reference, prediction) pair of files, or say why not."""
        try:
            reference, spacing = _read(files[0])
            prediction, _ = _read(files[1])
            if reference.shape != prediction.shape:
                raise UnusableCase(
                    f"{files[1]}: shape {prediction.shape}, but the reference has {reference.shape}"
                )
            spacing = self._distance_unit(files[0], self.spacing or spacing, reference.ndim)
        except UnusableCase as problem:
            return problem
        overlap = instance_overlap(reference, prediction)
        return InstanceCase(
            files,
            tuple(match_instances(overlap, iou) for iou in self.ious),
            jaccard_sums(overlap),
            tuple(contour_counts(reference, prediction, self.tolerances, spacing)),
            math.prod(spacing) if spacing and self.physical else 1.0,
        )

    def _distance_unit(self, file: Path, spacing: Spacing | None, ndim: int) -> Spacing | None:
        """The spacing with which distances come out as wanted: physical, or in voxels of the finest axis."""
        if spacing is None:
            if self.physical:
                raise UnusableCase(f"{file}: has no spacing, so nothing is physical; give --spacing")
            return None
        try:
            check_spacing(spacing, ndim)
        except ValueError as error:
            raise UnusableCase(f"{file}: {error}") from error
        return spacing if self.physical else tuple(step / min(spacing) for step in spacing)


def _read(file: Path) -> tuple[NDArray[Any], Spacing | None]:
    try:
        instances, spacing = _read_file(file)
        check_instances(instances, str(file))
    except (UserError, ValueError) as error:
        text = str(error)
        raise UnusableCase(text if str(file) in text else f"{file}: {text}") from error
    if instances.ndim == 3 and instances.shape[0] == 1:  # one slice, which some formats cannot say is 2D
        return instances[0], spacing and spacing[-2:]
    return instances, spacing


def _read_file(file: Path) -> tuple[NDArray[Any], Spacing | None]:
    # Not with nnU-Net's readers: they return single precision, in which ids above 2²⁴ coincide.
    if file.name.endswith((".tif", ".tiff")):
        from nnunet_ext.images.instance_files import read_instances

        return read_instances(file)
    from nnunet_ext.images.files import read_image
    from nnunet_ext.images.image import Hints

    image = read_image(file, Hints(label=True))
    if len(image.pixels) != 1:
        raise UserError(f"{file}: expected one channel of instance ids, got {len(image.pixels)} channels")
    return image.pixels[0], image.grid.spacing
