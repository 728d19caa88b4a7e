"""Losses of centre lines, for vessels and other thin structures."""

from collections.abc import Sequence

from torch import nn

from nnunet_ext.losses import SkeletonRecallLoss
from nnunet_ext.training.extra_targets import ExtraTarget
from nnunet_ext.training.extra_targets.shapes import Tubes
from nnunet_ext.training.options import DICE, FROM_EPOCH, PER_CASE, PER_CLASS
from nnunet_ext.training.term import TermTrainer


class nnUNetTrainerSkelRecall(TermTrainer):
    """Skeleton Recall: cross-entropy, and how much of the tubes around the true centre lines is found."""

    options = (PER_CLASS, DICE, PER_CASE, FROM_EPOCH)
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
