"""Losses: logits and target in, scalar out. Plain torch; nothing here knows nnU-Net."""

from nnunet_ext.losses.arguments import split_target
from nnunet_ext.losses.multilevel import multi_level_activation
from nnunet_ext.losses.multilevel_tree import MultiLevelLoss
from nnunet_ext.losses.scnp import SCNP, SCNPLoss, same_class_neighbor_penalization
from nnunet_ext.losses.topological import TopologicalLoss, topological_loss
from nnunet_ext.losses.weighted_cross_entropy import WeightedCrossEntropy, weighted_cross_entropy
from nnunet_ext.losses.youden import JCLoss, youden_j_loss

__all__ = [
    "SCNP",
    "JCLoss",
    "MultiLevelLoss",
    "SCNPLoss",
    "TopologicalLoss",
    "WeightedCrossEntropy",
    "multi_level_activation",
    "same_class_neighbor_penalization",
    "split_target",
    "topological_loss",
    "weighted_cross_entropy",
    "youden_j_loss",
]
