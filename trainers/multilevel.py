"""Nested classes on one channel: the multi-level activation."""

from nnunet_ext.training.multilevel import MultiLevelTrainer
from nnunet_ext.training.options import HEAD_GAIN, KAPPA, LEVEL_SPACING


class nnUNetTrainerMultiLevelSSE(MultiLevelTrainer):
    """Nested classes on one channel (multi-level activation), squared error."""

    options = (KAPPA, LEVEL_SPACING, HEAD_GAIN)
    loss_name = "sse"


class nnUNetTrainerMultiLevelMCE(MultiLevelTrainer):
    """Nested classes on one channel (multi-level activation), modified cross-entropy with class weights."""

    options = (KAPPA, LEVEL_SPACING, HEAD_GAIN)
    loss_name = "mce"
    class_weights = True


class nnUNetTrainerMultiLevelNCE(MultiLevelTrainer):
    """Nested classes on one channel (multi-level activation), normalised cross-entropy."""

    options = (KAPPA, LEVEL_SPACING, HEAD_GAIN)
    loss_name = "nce"
