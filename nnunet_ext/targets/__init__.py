"""What a network should learn, made from labels: arrays in, arrays out."""

from nnunet_ext.targets.semantic import semantic_from_instances

__all__ = ["semantic_from_instances"]
