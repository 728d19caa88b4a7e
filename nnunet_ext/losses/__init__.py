"""Losses: logits and target in, scalar out. Plain torch; nothing here knows nnU-Net."""

from nnunet_ext.losses.arguments import split_target
from nnunet_ext.losses.centerline_cross_entropy import CenterlineCrossEntropyLoss, centerline_cross_entropy
from nnunet_ext.losses.cldice import ClDiceLoss, cldice_loss
from nnunet_ext.losses.cross_entropy import CrossEntropyLoss, cross_entropy
from nnunet_ext.losses.focal import FocalLoss, focal_loss
from nnunet_ext.losses.multilevel import multi_level_activation
from nnunet_ext.losses.multilevel_tree import MultiLevelLoss
from nnunet_ext.losses.region_wise import RegionWiseLoss, region_wise_loss
from nnunet_ext.losses.scnp import (
    SCNP,
    SCNPLoss,
    recommended_neighborhood,
    same_class_neighbor_penalization,
)
from nnunet_ext.losses.skeleton_recall import SkeletonRecallLoss, skeleton_recall_loss
from nnunet_ext.losses.soft_skeleton import soft_skeleton
from nnunet_ext.losses.topological import TopologicalLoss, topological_loss
from nnunet_ext.losses.tversky import TverskyLoss, tversky_loss
from nnunet_ext.losses.weighted_cross_entropy import WeightedCrossEntropy, weighted_cross_entropy
from nnunet_ext.losses.with_term import LossWithTerm
from nnunet_ext.losses.youden import JCLoss, youden_j_loss

__all__ = [
    "SCNP",
    "CenterlineCrossEntropyLoss",
    "ClDiceLoss",
    "CrossEntropyLoss",
    "FocalLoss",
    "JCLoss",
    "LossWithTerm",
    "MultiLevelLoss",
    "RegionWiseLoss",
    "SCNPLoss",
    "SkeletonRecallLoss",
    "TopologicalLoss",
    "TverskyLoss",
    "WeightedCrossEntropy",
    "centerline_cross_entropy",
    "cldice_loss",
    "cross_entropy",
    "focal_loss",
    "multi_level_activation",
    "recommended_neighborhood",
    "region_wise_loss",
    "same_class_neighbor_penalization",
    "skeleton_recall_loss",
    "soft_skeleton",
    "split_target",
    "topological_loss",
    "tversky_loss",
    "weighted_cross_entropy",
    "youden_j_loss",
]
