"""What a network should learn, made from labels: arrays in, arrays out."""

from nnunet_ext.targets.binary import touching_from_binary
from nnunet_ext.targets.semantic import semantic_from_instances

__all__ = ["semantic_from_instances", "touching_from_binary"]
