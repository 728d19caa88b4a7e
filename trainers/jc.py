"""Youden's J beside cross-entropy."""

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from torch import nn

from nnunet_ext.augmentation import TouchingContrastTransform
from nnunet_ext.losses import JCLoss
from nnunet_ext.training.options import NO_TOUCHING_CONTRAST, YOUDEN_WEIGHT
from nnunet_ext.training.trainer import ExtTrainer


class nnUNetTrainerJC(ExtTrainer):
    """Cross-entropy plus Youden's J: small classes count like large ones, so crowded cells separate."""

    options = (YOUDEN_WEIGHT, NO_TOUCHING_CONTRAST)
    youden_weight = 0.5
    touching_contrast = True

    def build_loss(self, nnunet_loss: nn.Module) -> nn.Module:
        """CE + J (BCE + J per region) in place of nnU-Net's own loss."""
        return JCLoss(self.youden_weight, **self.target_format)

    def extra_transforms(self) -> list[BasicTransform]:
        """Random contrast of the touching zones in every second patch, where the dataset has that class."""
        labels = self.dataset_json["labels"]
        classes = {name: labels.get(name) for name in ("cell", "touching")}
        if not self.touching_contrast or not all(isinstance(value, int) for value in classes.values()):
            return []
        return [TouchingContrastTransform(**classes, probability=0.5)]
