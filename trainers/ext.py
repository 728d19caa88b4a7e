"""The baseline: nnU-Net's own loss."""

from nnunet_ext.training.trainer import ExtTrainer


class nnUNetTrainerExt(ExtTrainer):
    """nnU-Net's own loss: the baseline to compare every other family with, under the same options."""

    refuses_wrapping = "nnU-Net's own loss is what a family without another one works on"
