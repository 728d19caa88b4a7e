"""Cross-entropy in which every voxel has a weight."""

from collections.abc import Sequence
from typing import ClassVar

from nnunet_ext.training.extra_targets import ExtraTarget
from nnunet_ext.training.extra_targets.user_weights import user_weights
from nnunet_ext.training.extra_targets.weight_maps import (
    ClassBalance,
    DistanceMap,
    ShapeAware,
    UNetMap,
)
from nnunet_ext.training.options import (
    BETA,
    CASCADE,
    DICE,
    ON_THE_FLY,
    OUTLINE_SIGMA,
    PEAK,
    PER_CASE,
    TAU,
    UNET_SIGMA,
)
from nnunet_ext.training.weighted import WeightedTrainer


class nnUNetTrainerBWM(WeightedTrainer):
    """Cross-entropy in which every class counts alike: class balance weights (BWM)."""

    options = (DICE,)

    @classmethod
    def weight_map(cls, cells: tuple[int, ...]) -> ExtraTarget:
        """1 over the voxels of the class in the training cases."""
        return ClassBalance()


class nnUNetTrainerUNetWM(WeightedTrainer):
    """Cross-entropy in which background between two cells counts more: U-Net's weight map."""

    options = (PEAK, UNET_SIGMA, CASCADE, DICE, ON_THE_FLY)
    peak = 10.0
    sigma = 5.0
    cascade = False

    @classmethod
    def weight_map(cls, cells: tuple[int, ...]) -> ExtraTarget:
        """1, and up to `peak` more where two cells are near."""
        return UNetMap(cls.peak, cls.sigma, cells, cls.cascade)


class nnUNetTrainerDWM(WeightedTrainer):
    """Cross-entropy with class balance that fades away from the foreground: distance weights (DWM)."""

    options = (BETA, DICE, PER_CASE)
    beta = 30.0

    @classmethod
    def weight_map(cls, cells: tuple[int, ...]) -> ExtraTarget:
        """Class balance, 0 from `beta` voxels on."""
        return DistanceMap(cls.beta)


class nnUNetTrainerSAW(WeightedTrainer):
    """Cross-entropy with class balance and more at narrow or concave outlines: shape-aware weights (SAW)."""

    options = (OUTLINE_SIGMA, TAU, DICE, ON_THE_FLY)
    sigma = 2.0
    tau: ClassVar[float | None] = None

    @classmethod
    def weight_map(cls, cells: tuple[int, ...]) -> ExtraTarget:
        """Class balance, and outlines blurred by `sigma`."""
        return ShapeAware(cls.sigma, cls.tau, cells)


class nnUNetTrainerWeighted(WeightedTrainer):
    """Cross-entropy with your own weights, one file per case in weightsTr beside labelsTr."""

    options = (DICE,)

    def extra_targets(self) -> Sequence[ExtraTarget]:
        """What the files say."""
        return (user_weights(self.plans_manager, self.dataset_json),)
