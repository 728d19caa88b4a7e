"""What a segmentation is worth: overlap, topology, instances, and whether a difference is more than chance.

Array functions take boolean arrays (prediction first), those about instances integer arrays (reference
first, as StarDist's `matching`), `containment` a label map; the folder functions read and write what
nnU-Net does.
"""

from nnunet_ext.metrics.aggregated_jaccard import aggregated_jaccard_index
from nnunet_ext.metrics.centre_line import cl_dice
from nnunet_ext.metrics.comparison import ComparisonRow, compare_summaries, save_comparison
from nnunet_ext.metrics.containment import Containment, containment
from nnunet_ext.metrics.contingency import InstanceOverlap, instance_overlap
from nnunet_ext.metrics.contours import contour_f1, instance_contours
from nnunet_ext.metrics.evaluation import evaluate_folders
from nnunet_ext.metrics.instance_evaluation import evaluate_instance_folders
from nnunet_ext.metrics.instance_matching import Matching, match_instances
from nnunet_ext.metrics.overlap import Confusion, confusion, dice
from nnunet_ext.metrics.panoptic import panoptic_quality
from nnunet_ext.metrics.statistics import PairedTest, paired_test
from nnunet_ext.metrics.summary import load_summary, save_summary
from nnunet_ext.metrics.topology import betti_0_error, betti_1_error, betti_numbers

__all__ = [
    "ComparisonRow",
    "Confusion",
    "Containment",
    "InstanceOverlap",
    "Matching",
    "PairedTest",
    "aggregated_jaccard_index",
    "betti_0_error",
    "betti_1_error",
    "betti_numbers",
    "cl_dice",
    "compare_summaries",
    "confusion",
    "containment",
    "contour_f1",
    "dice",
    "evaluate_folders",
    "evaluate_instance_folders",
    "instance_contours",
    "instance_overlap",
    "load_summary",
    "match_instances",
    "paired_test",
    "panoptic_quality",
    "save_comparison",
    "save_summary",
]
