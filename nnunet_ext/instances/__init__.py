"""From a semantic map (background, cell, touching, gap) or its probabilities to instance labels.

Arrays in, arrays out; `instances_from_folder` does the same for a folder of nnU-Net predictions.
"""

from nnunet_ext.instances.folder import FolderInstances, instances_from_folder
from nnunet_ext.instances.from_probabilities import from_probabilities
from nnunet_ext.instances.from_semantic import from_semantic
from nnunet_ext.instances.losses import Losses
from nnunet_ext.instances.options import InstanceOptions
from nnunet_ext.instances.semantic import semantic_from_probabilities

__all__ = [
    "FolderInstances",
    "InstanceOptions",
    "Losses",
    "from_probabilities",
    "from_semantic",
    "instances_from_folder",
    "semantic_from_probabilities",
]
