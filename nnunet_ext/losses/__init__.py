"""Losses: logits and target in, scalar out. Plain torch; nothing here knows nnU-Net."""

from nnunet_ext.losses.scnp import SCNP, SCNPLoss, same_class_neighbor_penalization
from nnunet_ext.losses.target_format import split_target

__all__ = ["SCNP", "SCNPLoss", "same_class_neighbor_penalization", "split_target"]
