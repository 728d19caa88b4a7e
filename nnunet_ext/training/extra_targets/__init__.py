"""Extra per-voxel targets, such as weight maps and skeletons, from the data to the loss.

A target (`ExtraTarget`) is computed in the augmentation workers from the augmented label, or once per case,
stored, and carried through the augmentation. Either way its maps pass nnU-Net's own loader as the last
channels of the image and reach the loss as its third argument, at every scale of deep supervision:

1. `target`: what a target is; `weight_maps`, `shapes` and `user_weights` are those there are.
2. `stored_maps`, `dataset`: maps computed once per case, stored, and stacked behind nnU-Net's images.
3. `transforms`: stored maps are taken off the image and carried along, the others computed; all are finished
   and appended to the image again.
4. `trainer`: they are taken off the batch and given to the loss, around nnU-Net's own training step.
"""

from nnunet_ext.training.extra_targets.target import Case, ExtraTarget, name_with
from nnunet_ext.training.extra_targets.user_weights import UserWeights

__all__ = ["Case", "ExtraTarget", "UserWeights", "name_with"]
