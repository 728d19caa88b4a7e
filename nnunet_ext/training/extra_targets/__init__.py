"""Extra per-voxel targets, such as weight maps and skeletons, from the data to the loss.

A target (`ExtraTarget`) is computed in the augmentation workers from the augmented label, or once per case,
stored, and carried through the augmentation. Either way its maps pass nnU-Net's own loader as the last
channels of the image and reach the loss as its third argument, at every scale of deep supervision:

1. `cache`, `storage`, `dataset`: stored maps, stacked behind nnU-Net's images.
2. `transforms`: split off, carried, computed, finished, joined again.
3. `trainer`, `loss`: split off the batch, and handed to the loss beside nnU-Net's step.
"""

from nnunet_ext.training.extra_targets.target import Case, ExtraTarget, name_with
from nnunet_ext.training.extra_targets.user_weights import UserMap

__all__ = ["Case", "ExtraTarget", "UserMap", "name_with"]
