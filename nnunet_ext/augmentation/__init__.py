"""Augmentation: batchgeneratorsv2 transforms, each beside the deterministic function it draws numbers for."""

from nnunet_ext.augmentation.touching_contrast import TouchingContrastTransform, modulate_touching_contrast

__all__ = ["TouchingContrastTransform", "modulate_touching_contrast"]
