"""Same-class neighbour penalisation."""

from torch import nn

from nnunet_ext.losses import SCNPLoss
from nnunet_ext.training.options import JOINT, NEIGHBORHOOD
from nnunet_ext.training.trainer import ExtTrainer


class nnUNetTrainerSCNP(ExtTrainer):
    """nnU-Net's own loss on SCNP logits: fewer breaks in thin structures, fewer false islands."""

    options = (NEIGHBORHOOD, JOINT)
    wraps_families = True
    neighborhood = 3
    joint = False

    def build_loss(self, nnunet_loss: nn.Module) -> nn.Module:
        """nnU-Net's own loss, or that of the family it is combined with, on penalised logits."""
        loss = super().build_loss(nnunet_loss)
        return SCNPLoss(loss, self.neighborhood, self.joint, **self.target_format)
