"""nnU-Net's own loss: the baseline, and with another network."""

from nnunet_ext.training.trainer import ExtTrainer


class nnUNetTrainerExt(ExtTrainer):
    """nnU-Net's own loss: the baseline to compare every other family with, under the same options."""

    refuses_wrapping = "nnU-Net's own loss is what a family without another one works on"


class nnUNetTrainerAttentionUNet(ExtTrainer):
    """nnU-Net's own loss and network, with attention gates on its skip connections."""

    attention = True
