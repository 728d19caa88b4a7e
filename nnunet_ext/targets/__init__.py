"""What a network should learn, made from labels: arrays in, arrays out."""

from nnunet_ext.targets.region_distance import region_distance
from nnunet_ext.targets.semantic import semantic_from_instances, without_core
from nnunet_ext.targets.skeleton_tube import skeleton_tube
from nnunet_ext.targets.touching import touching_from_binary

__all__ = [
    "region_distance",
    "semantic_from_instances",
    "skeleton_tube",
    "touching_from_binary",
    "without_core",
]
