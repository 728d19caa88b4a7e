"""Folders in, numbers out: classes, instances, nesting; summaries, and the comparison of several."""

from nnunet_ext.evaluation.classes import evaluate_folders
from nnunet_ext.evaluation.comparison import (
    Comparison,
    ComparisonRow,
    MeanRow,
    compare_models,
    compare_summaries,
    save_comparison,
)
from nnunet_ext.evaluation.instances import evaluate_instance_folders
from nnunet_ext.evaluation.summary import load_summary, save_summary

__all__ = [
    "Comparison",
    "ComparisonRow",
    "MeanRow",
    "compare_models",
    "compare_summaries",
    "evaluate_folders",
    "evaluate_instance_folders",
    "load_summary",
    "save_comparison",
    "save_summary",
]
