"""Reads the two maps of a case of instances, checks them, and counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.checks import check_spacing
from nnunet_ext.arrays.components import label_components
from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.evaluation.grids import are_placed, check_shapes, compare_grids
from nnunet_ext.evaluation.ignored import IgnoredRegion
from nnunet_ext.evaluation.instance_case import InstanceCase, Remarks, ShapeSums
from nnunet_ext.evaluation.notes import are_equal
from nnunet_ext.evaluation.orientation import better_orientation
from nnunet_ext.images.files import ending_of, stem_of
from nnunet_ext.images.image import Grid
from nnunet_ext.metrics.aggregated_jaccard import jaccard_sums
from nnunet_ext.metrics.checks import check_instances
from nnunet_ext.metrics.contingency import instance_overlap
from nnunet_ext.metrics.contours import contour_counts
from nnunet_ext.metrics.panoptic import match_instances
from nnunet_ext.metrics.roundness import roundness_of_instances

_MOST_CLASSES = 10  # a map with more ids holds no classes

Files = tuple[Path, Path]
Spacing = tuple[float, ...]
Maps = tuple[NDArray[Any], NDArray[Any]]


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
    ignored : IgnoredRegion or None
        What nobody judged.
    ignore_headers : bool
        Whether the voxels are compared one by one wherever the files say that they lie.
    roundness : bool
        Whether sphericity and roundness are measured.
    """

    ious: tuple[float, ...]
    tolerances: tuple[float, ...]
    spacing: Spacing | None = None
    physical: bool = False
    ignored: IgnoredRegion | None = None
    ignore_headers: bool = False
    roundness: bool = False

    def __call__(self, files: Files) -> InstanceCase | UnusableCase:
        """Evaluate a (reference, prediction) pair of files, or say why not."""
        try:
            return self._evaluate(files)
        except UnusableCase as problem:
            return problem

    def _evaluate(self, files: Files) -> InstanceCase:
        (reference, at), (prediction, pred_at) = read_instance_map(files[0]), read_instance_map(files[1])
        check_shapes(files, (reference.shape, prediction.shape))
        difference = compare_grids(files, (at, pred_at), reference.shape, self.ignore_headers)
        spacing = self._distance_unit(files[0], self.spacing or at.spacing, reference.shape)
        counted = None
        if self.ignored:
            place = Grid() if self.ignore_headers else at
            counted = self.ignored.counted(stem_of(files[0]), reference.shape, place)
        overlap = instance_overlap(reference, prediction, counted)
        if not self.ignore_headers and not are_placed((at, pred_at)):
            check_orientation(files, (reference, prediction))
        return InstanceCase(
            files,
            tuple(match_instances(overlap, iou) for iou in self.ious),
            jaccard_sums(overlap),
            tuple(contour_counts(reference, prediction, self.tolerances, spacing, counted)),
            math.prod(spacing) if spacing and self.physical else 1.0,
            self.spacing or at.spacing,
            reference.shape,
            None if counted is None else int(counted.size - np.count_nonzero(counted)),
            _remarks((reference, prediction), difference),
            self._shapes((reference, prediction), spacing, counted) if self.roundness else None,
        )

    @staticmethod
    def _shapes(
        maps: Maps, spacing: Spacing | None, counted: NDArray[np.bool_] | None
    ) -> tuple[ShapeSums, ShapeSums]:
        reference, prediction = (
            sum(
                (ShapeSums(1, each.sphericity, each.roundness) for each in found.values()),
                ShapeSums(),
            )
            for found in (roundness_of_instances(each, spacing, counted) for each in maps)
        )
        return reference, prediction

    def _distance_unit(self, file: Path, spacing: Spacing | None, shape: tuple[int, ...]) -> Spacing | None:
        """The spacing with which distances come out as wanted: physical, or in voxels of the finest axis."""
        if spacing is None:
            if self.physical:
                raise UnusableCase(
                    f"{file}: has no spacing, so nothing is physical; give --spacing, in the unit (such as "
                    "µm) of --tolerance"
                )
            return None
        try:
            check_spacing(spacing, len(shape))
        except ValueError as error:
            raise UnusableCase(f"{file}: {error}") from error
        if not self.physical:
            return tuple(step / min(spacing) for step in spacing)
        size = tuple(length * step for length, step in zip(shape, spacing, strict=True))
        if max(self.tolerances, default=0) >= max(size):
            extent, steps = (" x ".join(f"{n:.4g}" for n in numbers) for numbers in (size, spacing))
            raise UnusableCase(
                f"{file}: the whole image measures {extent} (voxels of {steps}), less than the tolerance "
                f"{max(self.tolerances):g}: give --tolerance in the unit of the spacing"
            )
        return spacing


def check_orientation(files: Files, maps: Maps) -> None:
    """Raise `UnusableCase` if the prediction fits its reference only when it is turned."""
    turned = better_orientation(*maps)
    if turned:
        raise UnusableCase(
            f"{files[1]}: its instances hardly match the reference, but {turned} they do. Such files do not "
            "say how their axes lie: write both as the axes lie in the image file. (--ignore-headers "
            "evaluates it as it is)"
        )


def _remarks(maps: Maps, difference: str) -> Remarks:
    reference, prediction = map(_pieces, maps)
    full = bool(maps[0].all()), bool(maps[1].all())
    return Remarks(difference, are_equal(*maps), (reference, prediction), full)


def _pieces(instances: NDArray[Any]) -> tuple[int, int] | None:
    """Numbers of ids and of connected components, if the ids are as few and low as those of classes."""
    if instances.max(initial=0) > _MOST_CLASSES:
        return None
    labels = instances.astype(np.uint8)
    ids = np.unique(labels)
    return int(np.count_nonzero(ids)), label_components(labels)[1]


def read_instance_map(file: Path) -> tuple[NDArray[Any], Grid]:
    """Read instance ids and where they lie; an `UnusableCase` names a file that holds something else."""
    try:
        instances, grid = _read_file(file)
        check_instances(instances, str(file))
    except (UserError, ValueError) as error:
        text = str(error)
        raise UnusableCase(text if str(file) in text else f"{file}: {text}") from error
    if instances.ndim == 3 and instances.shape[0] == 1:  # one slice, which some formats cannot say is 2D
        return instances[0], grid.plane()
    return instances, grid


def _read_file(file: Path) -> tuple[NDArray[Any], Grid]:
    # Not with nnU-Net's readers: they return single precision, in which ids above 2²⁴ coincide.
    if ending_of(file) in (".tif", ".tiff", ".ome.tif", ".ome.tiff"):
        from nnunet_ext.images.instance_files import read_instances

        instances, spacing = read_instances(file)
        return instances, Grid(spacing)
    from nnunet_ext.images.files import read_image
    from nnunet_ext.images.image import Hints
    from nnunet_ext.images.instance_files import integer_ids

    image = read_image(file, Hints(label=True))
    if len(image.pixels) != 1:
        raise UserError(f"{file}: expected one channel of instance ids, got {len(image.pixels)} channels")
    return integer_ids(image.pixels[0], file), image.grid
