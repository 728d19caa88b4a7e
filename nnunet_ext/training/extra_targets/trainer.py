"""Extra targets in nnU-Net's trainer: from its datasets, through its augmentation, to the loss.

The maps of a batch come as the last channels of its images. `ExtraTargetTrainer` puts them there; for each
step of nnU-Net `ExtraTargetLoss` takes them off again and keeps them until it has computed the loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from nnunetv2.configuration import default_num_processes
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from numpy.typing import NDArray
from torch import Tensor, nn

from nnunet_ext.training.class_counts import training_class_counts
from nnunet_ext.training.extra_targets.dataset import DatasetWithMaps
from nnunet_ext.training.extra_targets.stored_maps import StoredTarget, build
from nnunet_ext.training.extra_targets.target import ExtraTarget
from nnunet_ext.training.extra_targets.transforms import ComputeMaps, add_to_pipeline


class ExtraTargetTrainer(nnUNetTrainer):
    """nnU-Net's trainer for losses that need more than the label: ``loss(logits, target, maps)``.

    A subclass lists what it needs in `extra_targets`, and its `_build_loss` returns `with_maps` of a loss.
    Without extra targets everything is nnU-Net's.
    """

    extra_targets_per_case: ClassVar[bool | None] = None  # None: each target's own choice

    def extra_targets(self) -> Sequence[ExtraTarget]:
        """What the loss needs; its `maps` (B, K, *spatial) are the channels of all of them in this order."""
        return ()

    def with_maps(self, loss: nn.Module) -> nn.Module:
        """The outermost loss: `loss` itself, or with extra targets one that hands it their maps."""
        channels = sum(target.channels for target in self._map_step.targets)
        return ExtraTargetLoss(loss, channels) if channels else loss

    @cached_property
    def _map_step(self) -> ComputeMaps:
        """The one transform of both pipelines; knows the class counts once the cases are known."""
        targets = tuple(self.extra_targets())
        patch_size = self.configuration_manager.patch_size
        choice = self.extra_targets_per_case
        stored = [
            not target.from_label or (target.per_case(patch_size) if choice is None else choice)
            for target in targets
        ]
        spacing = tuple(self.configuration_manager.spacing)[-len(patch_size) :]
        return ComputeMaps(targets, stored, spacing, self.label_manager.ignore_label, None)

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> BasicTransform:
        """nnU-Net's augmentation (static there, but called on the trainer), carrying the maps along."""
        return self._carrying_maps(super().get_training_transforms(*args, **kwargs))

    def get_validation_transforms(self, *args: Any, **kwargs: Any) -> BasicTransform:
        """nnU-Net's transforms of validation patches, with the same maps."""
        return self._carrying_maps(super().get_validation_transforms(*args, **kwargs))

    def _carrying_maps(self, pipeline: Any) -> BasicTransform:
        return add_to_pipeline(pipeline, self._map_step) if self._map_step.targets else pipeline

    def get_tr_and_val_datasets(self) -> tuple:
        """nnU-Net's datasets; stored maps are made if need be and stacked behind the images."""
        training, validation = super().get_tr_and_val_datasets()
        step = self._map_step
        data = Path(self.preprocessed_dataset_folder)
        if any(target.needs_class_counts for target in step.targets):
            step.class_counts = self.count_classes(training.identifiers)
        stored = [
            StoredTarget(
                target, data, type(training), step.spacing,
                tuple(self.configuration_manager.patch_size), step.ignore_label,
            )
            for target, is_stored in zip(step.targets, step.stored, strict=True) if is_stored
        ]  # fmt: skip
        cases = sorted({*training.identifiers, *validation.identifiers})
        for each in stored:
            build(each, cases, default_num_processes, self.print_to_log_file)
        if not stored:
            return training, validation
        folders = [each.folder for each in stored]
        return DatasetWithMaps(training, folders), DatasetWithMaps(validation, folders)

    def count_classes(self, identifiers: Sequence[str]) -> NDArray[np.int64]:
        """Voxels of each label, by label, in these cases; see `training_class_counts`."""
        return training_class_counts(
            Path(self.preprocessed_dataset_folder),
            self.dataset_class,
            identifiers,
            self.label_manager.all_labels,
            default_num_processes,
        )

    def train_step(self, batch: dict) -> dict:
        """One iteration of nnU-Net; the loss has the maps of the batch."""
        if not isinstance(self.loss, ExtraTargetLoss):
            return super().train_step(batch)
        with self.loss.taking_maps_from(batch, self.device) as images:
            return super().train_step(images)

    def validation_step(self, batch: dict) -> dict:
        """One validation batch of nnU-Net; the loss has the maps of the batch."""
        if not isinstance(self.loss, ExtraTargetLoss):
            return super().validation_step(batch)
        with self.loss.taking_maps_from(batch, self.device) as images:
            return super().validation_step(images)


class ExtraTargetLoss(nn.Module):
    """The outermost loss: calls ``loss(output, target, maps)`` with the maps of the current batch.

    Parameters
    ----------
    loss : nn.Module
        Called with three arguments; or nnU-Net's wrapper for deep supervision around such a loss, which gets
        a list of each.
    channels : int
        Number of maps in a batch.
    """

    def __init__(self, loss: nn.Module, channels: int) -> None:
        super().__init__()
        self.loss = loss
        self.channels = channels
        self._maps: Tensor | None = None

    @contextmanager
    def taking_maps_from(self, batch: dict[str, Any], device: torch.device) -> Iterator[dict[str, Any]]:
        """Keep the maps behind a batch's images for as long as the context lasts.

        Parameters
        ----------
        batch : dict
            As nnU-Net's loader yields it; left as it is.
        device : torch.device
            Where images and maps are wanted.

        Yields
        ------
        dict
            The batch for nnU-Net's own step, images without maps.
        """
        data = batch["data"].to(device, non_blocking=True)
        self._maps = data[:, -self.channels :]
        try:
            yield batch | {"data": data[:, : -self.channels].contiguous()}
        finally:
            self._maps = None

    def forward(self, output: Any, target: Any) -> Tensor:
        """The inner loss; with deep supervision `output` and `target` are lists, one entry per scale."""
        if self._maps is None:
            raise RuntimeError("This loss needs the maps of a batch: call it inside taking_maps_from(batch).")
        if isinstance(target, (list, tuple)):
            return self.loss(output, target, [at_scale_of(self._maps, each) for each in target])
        return self.loss(output, target, self._maps)


def at_scale_of(maps: Tensor, target: Tensor) -> Tensor:
    """(B, K, *spatial) maps at the voxels that nnU-Net picks for a lower scale of its labels."""
    size = target.shape[2:]
    return maps if maps.shape[2:] == size else F.interpolate(maps, size, mode="nearest-exact")
