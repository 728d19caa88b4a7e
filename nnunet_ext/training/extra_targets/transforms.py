"""Extra targets in nnU-Net's augmentation: stored maps are split off the image, others computed, all joined.

Stored maps come as the image's last channels. As batchgeneratorsv2's ``regression_target`` no intensity
transform touches them, and the spatial ones carry them along. At the end all maps are the image's last
channels again, which is how they pass nnU-Net's own data loader.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTransform
from numpy.typing import NDArray

from nnunet_ext.training.extra_targets.target import ExtraTarget, plain_labels

_CARRIED = "regression_target"  # batchgeneratorsv2's name for what moves with the image
_FINAL = "extra_target"  # unknown to every other transform, so left alone by all of them


class SplitStoredMaps(BasicTransform):
    """Take the last `channels` channels off the image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def apply(self, data_dict: dict[str, Any], **params: Any) -> dict[str, Any]:
        """Split ``image`` into itself and ``regression_target``."""
        image = data_dict["image"]
        return data_dict | {"image": image[: -self.channels], _CARRIED: image[-self.channels :]}


class ComputeMaps(BasicTransform):
    """Compute the maps that were not stored, and finish all of them, from labels in their final place."""

    def __init__(
        self,
        targets: Sequence[ExtraTarget],
        stored: Sequence[bool],
        spacing: Sequence[float],
        ignore_label: int | None,
        class_counts: NDArray[np.int64] | None,
    ) -> None:
        super().__init__()
        self.targets = tuple(targets)
        self.stored = tuple(stored)
        self.spacing = tuple(spacing)
        self.ignore_label = ignore_label
        self.class_counts = class_counts

    def apply(self, data_dict: dict[str, Any], **params: Any) -> dict[str, Any]:
        """Put the maps of ``segmentation`` under a key of their own."""
        labels = plain_labels(data_dict["segmentation"][0].numpy(), self.ignore_label)
        carried = data_dict.pop(_CARRIED, None)
        maps, start = [], 0
        for target, stored in zip(self.targets, self.stored, strict=True):
            if stored:
                raw = carried[start : start + target.channels].numpy()
                start += target.channels
            else:
                raw = target.compute(labels, self.spacing)
            final = target.finish(raw, labels, self.class_counts)
            if final.shape != (target.channels, *labels.shape):
                raise ValueError(
                    f"{target.name} is {(target.channels, *labels.shape)} for these labels; got {final.shape}"
                )
            maps.append(torch.from_numpy(np.require(final, np.float32, ["C", "W"])))
        return data_dict | {_FINAL: torch.cat(maps)}


class JoinMaps(BasicTransform):
    """Append the finished maps to the image's channels."""

    def apply(self, data_dict: dict[str, Any], **params: Any) -> dict[str, Any]:
        """Move them behind ``image``, where nnU-Net's loader keeps them."""
        maps = data_dict.pop(_FINAL)
        return data_dict | {"image": torch.cat([data_dict["image"], maps])}


def _is_last_change_of_labels(transform: BasicTransform) -> bool:
    return (
        isinstance(transform, RemoveLabelTransform) and transform.label_value == -1 and transform.set_to == 0
    )


def add_to_pipeline(pipeline: ComposeTransforms, compute: ComputeMaps) -> ComposeTransforms:
    """Put the three steps into nnU-Net's training or validation transforms.

    Parameters
    ----------
    pipeline : ComposeTransforms
        Changed in place.
    compute : ComputeMaps
        The middle step. It is placed where labels are final integers, not yet regions or several scales:
        behind nnU-Net's removal of the label -1.

    Returns
    -------
    ComposeTransforms
        `pipeline`.

    Raises
    ------
    RuntimeError
        If nnU-Net's list is not as expected.
    """
    steps = pipeline.transforms
    places = [i for i, transform in enumerate(steps) if _is_last_change_of_labels(transform)]
    if len(places) != 1:
        raise RuntimeError(
            "Extra targets are computed where nnU-Net's transforms turn the label -1 into 0; we expect one "
            f"such step, got {len(places)} among: {', '.join(type(step).__name__ for step in steps)}."
        )
    steps.insert(places[0] + 1, compute)
    steps.append(JoinMaps())
    channels = sum(t.channels for t, stored in zip(compute.targets, compute.stored, strict=True) if stored)
    if channels:
        steps.insert(0, SplitStoredMaps(channels))
    return pipeline
