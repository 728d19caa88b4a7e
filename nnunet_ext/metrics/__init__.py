"""What a segmentation is worth: overlap, topology, instances, and whether a difference is more than chance.

Functions of arrays: boolean ones (prediction first) or, about instances, integer ones (reference first, as in
StarDist's `matching`); `containment` takes a label map. The functions of folders live in
`nnunet_ext.evaluation` and can be imported from here, too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nnunet_ext.metrics.aggregated_jaccard import aggregated_jaccard_index
from nnunet_ext.metrics.containment import Containment, containment
from nnunet_ext.metrics.contingency import InstanceOverlap, instance_overlap
from nnunet_ext.metrics.contours import contour_f1, instance_contours
from nnunet_ext.metrics.mistakes import InstanceMark, Mark, locate_class_mistakes, locate_instance_mistakes
from nnunet_ext.metrics.overlap import Confusion, cl_dice, confusion, dice
from nnunet_ext.metrics.panoptic import Matching, match_instances, panoptic_quality
from nnunet_ext.metrics.repeated import RepeatedMean, RepeatedTest, holm, repeated_mean, repeated_test
from nnunet_ext.metrics.roundness import Roundness, roundness, roundness_of_instances
from nnunet_ext.metrics.statistics import PairedTest, paired_test
from nnunet_ext.metrics.thickness import local_thickness, median_thickness
from nnunet_ext.metrics.topology import betti_0_error, betti_1_error, betti_numbers

if TYPE_CHECKING:
    from nnunet_ext.evaluation import (
        Comparison,
        ComparisonRow,
        MeanRow,
        compare_models,
        compare_summaries,
        evaluate_folders,
        evaluate_instance_folders,
        load_summary,
        save_comparison,
        save_summary,
    )

__all__ = [
    "Comparison",
    "ComparisonRow",
    "Confusion",
    "Containment",
    "InstanceMark",
    "InstanceOverlap",
    "Mark",
    "Matching",
    "MeanRow",
    "PairedTest",
    "RepeatedMean",
    "RepeatedTest",
    "Roundness",
    "aggregated_jaccard_index",
    "betti_0_error",
    "betti_1_error",
    "betti_numbers",
    "cl_dice",
    "compare_models",
    "compare_summaries",
    "confusion",
    "containment",
    "contour_f1",
    "dice",
    "evaluate_folders",
    "evaluate_instance_folders",
    "holm",
    "instance_contours",
    "instance_overlap",
    "load_summary",
    "local_thickness",
    "locate_class_mistakes",
    "locate_instance_mistakes",
    "match_instances",
    "median_thickness",
    "paired_test",
    "panoptic_quality",
    "repeated_mean",
    "repeated_test",
    "roundness",
    "roundness_of_instances",
    "save_comparison",
    "save_summary",
]


def __getattr__(name: str) -> Any:
    """Look up a function of folders where it lives. Late: that package imports this one."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("nnunet_ext.evaluation"), name)
