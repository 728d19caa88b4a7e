"""Losses of centre lines, for vessels and other thin structures."""

from collections.abc import Sequence

from torch import nn

from nnunet_ext.losses import CenterlineCrossEntropyLoss, ClDiceLoss, SkeletonRecallLoss
from nnunet_ext.training.extra_targets import ExtraTarget
from nnunet_ext.training.extra_targets.shapes import Tubes
from nnunet_ext.training.options import (
    CLDICE_SHARE,
    CROSS_ENTROPY,
    DICE,
    FROM_EPOCH,
    ON_THE_FLY,
    PER_CLASS,
    SKELETON_STEPS,
)
from nnunet_ext.training.term import TermTrainer


class nnUNetTrainerClDice(TermTrainer):
    """clDice: soft Dice, and how well prediction and truth lie on each other's centre lines."""

    options = (SKELETON_STEPS, CLDICE_SHARE, CROSS_ENTROPY, FROM_EPOCH)
    dice = True
    skeleton_steps = 10
    alpha = 0.5

    def term_weights(self) -> tuple[float, float]:
        """α clDice + (1 - α) of the rest."""
        return self.alpha, 1 - self.alpha

    def build_term(self) -> nn.Module:
        """Sums over the batch where nnU-Net's Dice takes them so."""
        batch_dice = self.configuration_manager.batch_dice
        return ClDiceLoss(self.skeleton_steps, batch_dice=batch_dice, **self.target_format)


class nnUNetTrainerCenterlineCE(TermTrainer):
    """Centre-line cross-entropy: soft Dice, and the cross-entropy on true and predicted centre lines."""

    options = (SKELETON_STEPS, CROSS_ENTROPY, FROM_EPOCH)
    dice = True
    skeleton_steps = 3

    def build_term(self) -> nn.Module:
        """The mean over the counted voxels."""
        return CenterlineCrossEntropyLoss(self.skeleton_steps, **self.target_format)


class nnUNetTrainerSkelRecall(TermTrainer):
    """Skeleton Recall: cross-entropy, and how much of the tubes around the true centre lines is found."""

    options = (PER_CLASS, DICE, ON_THE_FLY, FROM_EPOCH)
    ce = True
    per_class = False

    def extra_targets(self) -> Sequence[ExtraTarget]:
        """Tubes of all foreground together, or of each class or region."""
        together = tuple(sorted({label for each in self.structures for label in each}))
        return (Tubes(self.structures if self.per_class else (together,)),)

    def build_term(self) -> nn.Module:
        """Minus the recall; sums over the batch where nnU-Net's Dice takes them so."""
        batch_dice = self.configuration_manager.batch_dice
        return SkeletonRecallLoss(batch_dice=batch_dice, **self.target_format)
