"""Losses of the overlap of each class."""

from torch import nn

from nnunet_ext.losses import TverskyLoss
from nnunet_ext.training.options import CROSS_ENTROPY, FALSE_NEGATIVES, FALSE_POSITIVES
from nnunet_ext.training.term import TermTrainer, dice_alone
from nnunet_ext.training.trainer import ExtTrainer


class nnUNetTrainerDice(ExtTrainer):
    """Soft Dice alone: nnU-Net's own loss without its cross-entropy."""

    def build_loss(self, nnunet_loss: nn.Module) -> nn.Module:
        """nnU-Net's own term."""
        return dice_alone(nnunet_loss)


class nnUNetTrainerTversky(TermTrainer):
    """Tversky loss: Dice in which false positives and false negatives weigh differently."""

    options = (FALSE_POSITIVES, FALSE_NEGATIVES, CROSS_ENTROPY)
    fp = 0.5
    fn = 0.5

    def build_term(self) -> nn.Module:
        """Sums over the batch where nnU-Net's Dice takes them so."""
        batch_dice = self.configuration_manager.batch_dice
        return TverskyLoss(self.fp, self.fn, batch_dice=batch_dice, **self.target_format)
