"""Losses of persistent homology."""

from typing import ClassVar

from torch import nn

from nnunet_ext.arrays.persistence import check_holes
from nnunet_ext.errors import exit_on_user_error
from nnunet_ext.losses import TopologicalLoss
from nnunet_ext.training.options import DICE, FROM_EPOCH, HOLES, TERM_WEIGHT, TOPO_PATCH
from nnunet_ext.training.term import TermTrainer


class nnUNetTrainerTopo(TermTrainer):
    """TopoLoss: cross-entropy, and at the end of the training the components (holes) of every patch."""

    options = (TOPO_PATCH, HOLES, TERM_WEIGHT, DICE, FROM_EPOCH)
    ce = True
    term_from = None
    last_part = 0.3
    patch: ClassVar[int | None] = None
    holes = False
    term_weight = 0.01

    def term_weights(self) -> tuple[float, float]:
        """The weight in the name, beside all of the rest."""
        return self.term_weight, 1.0

    def build_term(self) -> nn.Module:
        """The mean over patches and classes; says before the training what 3D holes need."""
        if self.holes:
            with exit_on_user_error():
                check_holes(len(self.configuration_manager.patch_size))
        return TopologicalLoss(self.patch, self.holes, **self.target_format)
