"""Losses that look at every voxel by itself."""

from collections.abc import Sequence

from torch import nn

from nnunet_ext.losses import CrossEntropyLoss, FocalLoss, RegionWiseLoss
from nnunet_ext.training.extra_targets import ExtraTarget
from nnunet_ext.training.extra_targets.shapes import Depths
from nnunet_ext.training.options import CROSS_ENTROPY, DICE, FOCUS
from nnunet_ext.training.term import TermTrainer
from nnunet_ext.training.trainer import ExtTrainer


class nnUNetTrainerCE(ExtTrainer):
    """Cross-entropy alone: nnU-Net's own loss without its Dice."""

    def build_loss(self, nnunet_loss: nn.Module) -> nn.Module:
        """The mean over the counted voxels."""
        return CrossEntropyLoss(**self.target_format)


class nnUNetTrainerFocal(TermTrainer):
    """Focal loss: cross-entropy in which voxels that are right already count less."""

    options = (FOCUS, DICE)
    gamma = 2.0

    def build_term(self) -> nn.Module:
        """The mean over the counted voxels."""
        return FocalLoss(self.gamma, **self.target_format)


class nnUNetTrainerRegionWise(TermTrainer):
    """Region-wise loss (rectified): probabilities weighed by the distance to the border of their class."""

    options = (CROSS_ENTROPY, DICE)

    def extra_targets(self) -> Sequence[ExtraTarget]:
        """How deep in its class each voxel of the patch lies; for each region, where there are regions."""
        return (Depths(self.structures if self.label_manager.has_regions else None),)

    def build_term(self) -> nn.Module:
        """The mean over the counted voxels and channels."""
        return RegionWiseLoss(**self.target_format)
