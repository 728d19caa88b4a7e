"""What a network should learn, made from labels: arrays in, arrays out."""

from nnunet_ext.targets.semantic import semantic_from_instances, without_core
from nnunet_ext.targets.touching import touching_from_binary

__all__ = ["semantic_from_instances", "touching_from_binary", "without_core"]
