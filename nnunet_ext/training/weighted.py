"""The base of trainers whose loss is a weighted cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from nnunet_ext.losses import WeightedCrossEntropy
from nnunet_ext.training.extra_targets import ExtraTarget
from nnunet_ext.training.extra_targets.weight_maps import cell_labels
from nnunet_ext.training.term import dice_alone
from nnunet_ext.training.trainer import ExtTrainer


class WeightedTrainer(ExtTrainer):
    """Cross-entropy with the weights of one map, which a family returns from `weight_map`."""

    dice: ClassVar[bool] = False

    @classmethod
    def weight_map(cls, cells: tuple[int, ...]) -> ExtraTarget:
        """Return the map, with the parameters in the trainer's name.

        Parameters
        ----------
        cells : tuple of int
            Labels whose connected components are the cells.
        """
        raise NotImplementedError

    def extra_targets(self) -> Sequence[ExtraTarget]:
        """The map alone."""
        return (self.weight_map(cell_labels(self.dataset_json["labels"])),)

    def build_loss(self, nnunet_loss: nn.Module) -> nn.Module:
        """The weighted cross-entropy in place of nnU-Net's loss, of which with `dice` the Dice term stays."""
        return WeightedCrossEntropy(dice_alone(nnunet_loss) if self.dice else None, **self.target_format)
