"""What a segmentation is worth: overlap, topology, and whether a difference is more than chance.

Array functions take boolean arrays (2D or 3D); the folder functions read and write what nnU-Net does.
"""

from nnunet_ext.metrics.centre_line import cl_dice
from nnunet_ext.metrics.comparison import ComparisonRow, compare_summaries, save_comparison
from nnunet_ext.metrics.evaluation import evaluate_folders
from nnunet_ext.metrics.overlap import Confusion, confusion, dice
from nnunet_ext.metrics.statistics import PairedTest, paired_test
from nnunet_ext.metrics.summary import load_summary, save_summary
from nnunet_ext.metrics.topology import betti_0_error, betti_1_error, betti_numbers

__all__ = [
    "ComparisonRow",
    "Confusion",
    "PairedTest",
    "betti_0_error",
    "betti_1_error",
    "betti_numbers",
    "cl_dice",
    "compare_summaries",
    "confusion",
    "dice",
    "evaluate_folders",
    "load_summary",
    "paired_test",
    "save_comparison",
    "save_summary",
]
