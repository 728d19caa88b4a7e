"""The base of trainers whose network has one channel per chain of nested classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from torch._dynamo import OptimizedModule
from typing_extensions import TypedDict

from nnunet_ext.errors import UserError, exit_on_user_error
from nnunet_ext.files import read_json
from nnunet_ext.json_shape import mismatch
from nnunet_ext.losses.multilevel import preset_thresholds
from nnunet_ext.losses.multilevel_tree import MultiLevelLoss
from nnunet_ext.networks.multilevel import MultiLevelHead, MultiLevelNetwork
from nnunet_ext.nnunet_files.hierarchy import BACKGROUND, IGNORE, Hierarchy, hierarchy_of
from nnunet_ext.training.trainer import ExtTrainer

# nnU-Net builds the network for a prediction from the plans alone: what lies in what travels with them.
IN_PLANS = "nnunet_ext_nesting"
# Slope of the activation's steps in the network's output: a sigmoid has 1, κ alone would be 10.
GAIN = 2.0


class _Nested(TypedDict):
    """What a model's plans say about its classes."""

    labels: dict[str, int | list[int] | tuple[int, ...]]
    nesting: Any


def hierarchy_in(plans: dict[str, Any]) -> Hierarchy:
    """The hierarchy in the plans of a multi-level model.

    Raises
    ------
    ValueError
        If the plans are not those that were saved with the model.
    """
    if IN_PLANS not in plans:
        raise ValueError(f'these plans have no "{IN_PLANS}": use the plans.json in the results folder')
    if problem := mismatch(plans[IN_PLANS], _Nested):
        raise ValueError(f'the "{IN_PLANS}" of these plans is damaged ({problem})')
    return hierarchy_of(plans[IN_PLANS])


class MultiLevelTrainer(ExtTrainer):
    """Multi-level activation of nested classes, with the loss that a family names."""

    refuses_wrapping = (
        "a multi-level channel is no logit of a class, so it has no worst neighbour of its class"
    )

    loss_name: ClassVar[str]
    class_weights: ClassVar[bool] = False
    steepness = 10.0
    level_spacing = 1.0
    gain: ClassVar[float | None] = None  # None: so that each step sees GAIN · z of the network's output z

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net's own default
    ) -> None:
        with exit_on_user_error():
            _refuse_instance_classes(dataset_json, type(self).__name__)
            self.hierarchy = hierarchy_of(dataset_json)
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.plans_manager.plans[IN_PLANS] = {key: dataset_json.get(key) for key in ("labels", "nesting")}

    def describe_options(self) -> str:
        """With the nesting in force, and where it comes from."""
        stated = self.hierarchy.regions or self.dataset_json.get("nesting") is not None
        source = "" if stated else ' (dataset.json has no "nesting": each label lies in the one before)'
        resumed = self.network is not None  # perhaps from before there was a gain
        gain = self.plain_network.head.gain.item() if resumed else self.head_gain()
        return f"{super().describe_options()}, gain of the head {gain:g}, nesting {self.hierarchy}{source}"

    @classmethod
    def presets(cls, hierarchy: Hierarchy) -> list[list[float]]:
        """θ of each chain before any tuning."""
        return [preset_thresholds(cls.loss_name, len(chain)) for chain in hierarchy.chains]

    @classmethod
    def build_network_architecture(  # nnU-Net calls it on the class, like its own static one
        cls,
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """The plans' architecture with one channel per chain, under a head that makes scores of them."""
        hierarchy = hierarchy_in(plans_manager.plans)
        head = MultiLevelHead(
            hierarchy, cls.presets(hierarchy), cls.steepness, cls.level_spacing, cls.head_gain()
        )
        if head.outputs != num_output_channels:
            raise ValueError(f"{num_output_channels} classes to predict; the nesting has {head.outputs}")
        backbone = super().build_network_architecture(
            plans_manager, configuration_manager, num_input_channels, head.channels, enable_deep_supervision
        )
        return MultiLevelNetwork(backbone, head)

    @classmethod
    def head_gain(cls) -> float:
        """What the network's output is multiplied with to be the activation's x."""
        return GAIN / cls.steepness if cls.gain is None else cls.gain

    @property
    def plain_network(self) -> MultiLevelNetwork:
        """The network without the wrappers of DDP and torch.compile."""
        network: Any = self.network.module if self.is_ddp else self.network
        plain: Any = network._orig_mod if isinstance(network, OptimizedModule) else network
        return plain

    def build_loss(self, nnunet_loss: nn.Module) -> nn.Module:
        """The multi-level loss in place of nnU-Net's."""
        self._multi_level_loss = MultiLevelLoss(
            self.hierarchy,
            self.loss_name,
            self.steepness,
            self.level_spacing,
            self.plain_network.head.activations,
            self.label_manager.ignore_label,
        )
        return self._multi_level_loss

    def get_tr_and_val_datasets(self) -> tuple:
        """nnU-Net's datasets; the voxels of every class in the fold's training cases weigh the loss."""
        training, validation = super().get_tr_and_val_datasets()
        if self.class_weights:
            counts = self.count_classes(training.identifiers)
            self._multi_level_loss.use_class_counts(counts.tolist())
        return training, validation

    def check_checkpoint(self, content: dict[str, Any], where: Any) -> None:
        """Refuse one of another nesting: its weights would fit all the same."""
        try:
            plans = content["init_args"]["plans"]
        except (KeyError, TypeError) as error:
            raise UserError(f"{where} is no checkpoint of nnU-Net: it has no plans.") from error
        self._refuse_other_nesting(plans, where)

    def on_train_start(self) -> None:
        """Refuse to replace the nesting of other folds; leave behind thresholds of pretrained weights."""
        plans = Path(self.output_folder_base) / "plans.json"
        others = {path.parent.name for path in plans.parent.glob("fold_*/checkpoint_*.pth")}
        if plans.is_file() and others - {Path(self.output_folder).name}:
            with exit_on_user_error():
                self._refuse_other_nesting(read_json(plans), plans.parent)
        super().on_train_start()
        if self.current_epoch == 0:
            self.plain_network.head.set_thresholds(self.presets(self.hierarchy))

    def _refuse_other_nesting(self, plans: dict[str, Any], where: Any) -> None:
        try:
            before = hierarchy_in(plans)
        except ValueError as error:
            raise UserError(f"{where}: {error}.") from error
        if before == self.hierarchy and before.chains == self.hierarchy.chains:
            return
        raise UserError(
            f"{where} was trained with {before}, but dataset.json in nnUNet_preprocessed now says "
            f"{self.hierarchy}. Put the nesting back, or move the results away and train all folds anew."
        )

    def on_train_epoch_start(self) -> None:
        """In training the network gives channels, one per chain."""
        super().on_train_epoch_start()
        self.loss.train()

    def on_validation_epoch_start(self) -> None:
        """In validation it gives the scores of classes."""
        super().on_validation_epoch_start()
        self.loss.eval()


def _refuse_instance_classes(dataset_json: Mapping[str, Any], trainer: str) -> None:
    """Raise where nobody said that the classes which instance labels are turned into are nested."""
    names = [name for name in dataset_json["labels"] if name not in (BACKGROUND, IGNORE)]
    if dataset_json.get("nesting") is not None or not {"touching", "gap"} & {name.lower() for name in names}:
        return
    raise UserError(
        f"{trainer} is for nested classes, but {', '.join(names)} exclude each other: none is a part of "
        "another. Train them with nnUNetTrainerJC, or with nnUNetTrainerExt for nnU-Net's own loss. If one "
        'does lie in another, say so in dataset.json: "nesting".'
    )
