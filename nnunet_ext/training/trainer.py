"""The base of every trainer here: nnU-Net's own trainer with a loss to fill in and options in its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import distributed as dist
from torch import nn

from nnunet_ext import __version__
from nnunet_ext.errors import UserError, exit_on_ctrl_c, exit_on_user_error
from nnunet_ext.files import replacing
from nnunet_ext.networks.attention import GATED, with_attention
from nnunet_ext.nnunet_files.checkpoint import load_checkpoint
from nnunet_ext.nnunet_files.topology import FEWEST_STAGES
from nnunet_ext.training.augmentation import insert_after_spatial
from nnunet_ext.training.device import refuse_missing_device
from nnunet_ext.training.options import COMMON, NO_DEEP_SUPERVISION, Option
from nnunet_ext.training.progress import IterationProgress
from nnunet_ext.training.seeded import SeededTrainer

# nnU-Net validates on 50 batches per 250 training iterations.
TRAINING_PER_VALIDATION_ITERATION = 5
_DISTRUST = "Train anew, or get the checkpoint from where it was trained."


class ExtTrainer(SeededTrainer):
    """nnU-Net's trainer with hooks for a loss and for augmentation, and the options every family takes.

    A family is a subclass that declares its `options`, gives each a class attribute with the default, and
    returns its loss from `build_loss`. Everything else, from the network to resuming, is nnU-Net's.

    A family that changes what a loss sees, such as SCNP, sets `wraps_families` and wraps what
    ``super().build_loss`` returns: then ``nnUNetTrainerSCNP_JC`` is the loss of JC on SCNP logits.
    """

    options: ClassVar[tuple[Option, ...]] = ()
    wraps_families: ClassVar[bool] = False
    refuses_wrapping: ClassVar[str] = ""  # why the family cannot be wrapped, where it cannot

    same_as: ClassVar[str] = ""  # a shorter name of the same training, if the name has options to no effect

    epochs: ClassVar[int] = 1000  # this and the next as in nnU-Net
    iterations: ClassVar[int] = 250
    mirroring: ClassVar[bool] = True
    deep_supervision: ClassVar[bool] = True
    adam: ClassVar[float | None] = None
    attention: ClassVar[bool] = False

    # nnU-Net stores the arguments by the names of these parameters: a subclass must keep them as they are.
    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net's own default
    ) -> None:
        with exit_on_user_error():
            self._refuse_to_train(plans, configuration, fold, device)
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = self.epochs
        self.num_iterations_per_epoch = self.iterations
        self.num_val_iterations_per_epoch = max(1, self.iterations // TRAINING_PER_VALIDATION_ITERATION)
        self.enable_deep_supervision = self.deep_supervision
        if self.adam is not None:
            self.initial_lr = self.adam
        self._progress = IterationProgress(wanted=self.local_rank == 0)

    def _refuse_to_train(
        self, plans: dict, configuration: str, fold: int | str, device: torch.device
    ) -> None:
        """Raise before nnU-Net writes anything; a prediction makes no object of the class."""
        if self.same_as:
            raise UserError(
                f"{type(self).__name__} is the same training as {self.same_as}, but its results would go to "
                f"a second folder. Leave out the options that are the default: -tr {self.same_as}"
            )
        self.refuse_determinism_without_seed()
        if dist.is_available() and dist.is_initialized() and not self.deep_supervision:
            # nnU-Net's decoder keeps its lower heads, and DDP stops at parameters that get no gradient.
            raise NotImplementedError(
                f"{type(self).__name__} cannot train on several GPUs: nnU-Net's network needs deep "
                "supervision there. Leave out _nodeepsupervision, or train on one GPU."
            )
        refuse_missing_device(device, type(self).__name__, plans, configuration, fold)
        stages = len(PlansManager(plans).get_configuration(configuration).pool_op_kernel_sizes)
        if self.deep_supervision and stages < FEWEST_STAGES:
            raise UserError(
                f"The network of {plans['plans_name']}, {configuration} has {stages} stages. nnU-Net's deep "
                "supervision divides by 0 there, and the loss would be NaN from the start. Plan a network of "
                f"{FEWEST_STAGES} stages or more (nnunet_ext small-plans --overwrite writes such), or train "
                f"without: -tr {type(self).__name__}_{NO_DEEP_SUPERVISION.syntax}"
            )

        architecture = PlansManager(plans).get_configuration(configuration).network_arch_class_name
        if self.attention and architecture.rpartition(".")[2] not in GATED:
            raise UserError(
                f"{type(self).__name__}: attention gates are for {' and '.join(GATED)}, but the plans "
                f"{plans['plans_name']}, {configuration} have {architecture}. Take other plans with -p."
            )

    @classmethod
    def build_network_architecture(  # nnU-Net calls it on the class, like its own static one
        cls,
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """The plans' network, with attention gates if the name says so."""
        network: nn.Module = super().build_network_architecture(
            plans_manager,
            configuration_manager,
            num_input_channels,
            num_output_channels,
            enable_deep_supervision,
        )
        return with_attention(network) if cls.attention else network

    def build_loss(self, nnunet_loss: nn.Module) -> nn.Module:
        """Return the loss of one network output.

        Parameters
        ----------
        nnunet_loss : nn.Module
            nnU-Net's own loss for this dataset (CE + Dice, or BCE + Dice for regions), to wrap or to drop.

        Returns
        -------
        nn.Module
            Called as ``loss(logits, target)``, logits (B, C, *spatial), target as nnU-Net loads it; with
            `extra_targets` as ``loss(logits, target, maps)``, maps (B, K, *spatial); with deep supervision
            once per scale, weighted and summed by nnU-Net's wrapper.
        """
        return nnunet_loss

    def extra_transforms(self) -> list[BasicTransform]:
        """Return transforms to put into nnU-Net's training augmentation, right after its spatial ones."""
        return []

    @property
    def target_format(self) -> dict[str, Any]:
        """How `split_target` has to read this dataset's targets."""
        return {"regions": self.label_manager.has_regions, "ignore_label": self.label_manager.ignore_label}

    @property
    def structures(self) -> tuple[tuple[int, ...], ...]:
        """The labels of each foreground class, or of each region, in the order of their channels."""
        manager = self.label_manager
        found = manager.foreground_regions if manager.has_regions else manager.foreground_labels
        return tuple(
            tuple(map(int, each)) if isinstance(each, list | tuple) else (int(each),) for each in found
        )

    def _build_loss(self) -> nn.Module:
        """nnU-Net's loss with ours in its place, so that its deep-supervision weights are never restated."""
        stock = super()._build_loss()
        if not isinstance(stock, DeepSupervisionWrapper):
            return self.with_maps(self.build_loss(stock))
        stock.loss = self.build_loss(stock.loss)
        return self.with_maps(stock)

    @classmethod
    def all_options(cls) -> tuple[Option, ...]:
        """The family's own options, then those that every family takes."""
        return (*cls.options, *COMMON)

    def describe_options(self) -> str:
        """One line that names the settings in force, for the training log."""
        step = self._map_step
        settings = [f"{option.attribute}={getattr(self, option.attribute)}" for option in self.options]
        settings += [
            f"map {target.name} {'made once per case' if stored else 'made for every patch'}"
            for target, stored in zip(step.targets, step.stored, strict=True)
        ]
        settings += [
            f"{self.num_epochs} epochs of {self.num_iterations_per_epoch} iterations",
            f"mirroring {'on' if self.mirroring else 'off'}",
            f"deep supervision {'on' if self.enable_deep_supervision else 'off'}",
            *(["attention gates"] if self.attention else []),
            f"{'SGD' if self.adam is None else 'Adam'} from learning rate {self.initial_lr:g}",
            self.describe_seed(),
        ]
        return f"nnunet-ext {__version__}, {type(self).__name__}: {', '.join(settings)}"

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> tuple:
        """nnU-Net's choice, without mirroring if the name says so."""
        *geometry, mirror_axes = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        if not self.mirroring:
            mirror_axes = self.inference_allowed_mirroring_axes = None
        return *geometry, mirror_axes

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> BasicTransform:
        """nnU-Net's augmentation (static there, but called on the trainer) with `extra_transforms`."""
        return insert_after_spatial(super().get_training_transforms(*args, **kwargs), self.extra_transforms())

    def configure_optimizers(self) -> tuple:
        """nnU-Net's SGD, or Adam if the name says so, with nnU-Net's polynomial decay."""
        if self.adam is None:
            return super().configure_optimizers()
        optimizer = torch.optim.Adam(self.network.parameters(), self.initial_lr)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)

    def save_checkpoint(self, filename: str) -> None:
        """nnU-Net's way, but whole or not at all: who is killed meanwhile goes on from the one before."""
        if self.local_rank != 0 or self.disable_checkpointing:
            super().save_checkpoint(filename)  # which writes nothing
            return
        with replacing(Path(filename)) as temporary:
            super().save_checkpoint(str(temporary))

    def load_checkpoint(self, filename_or_checkpoint: Any) -> None:
        """nnU-Net's way, which runs what is hidden in a file; but first the file is looked at."""
        with exit_on_user_error():  # mapped: only the small entries are read
            content = load_checkpoint(Path(filename_or_checkpoint), mapped=True, remedy=_DISTRUST)
            self.check_checkpoint(content, filename_or_checkpoint)
        super().load_checkpoint(filename_or_checkpoint)

    def check_checkpoint(self, content: dict[str, Any], where: Any) -> None:
        """Raise a UserError if a checkpoint, the file `where`, does not fit this training."""

    def on_train_start(self) -> None:
        """Log the options in force before nnU-Net's own report."""
        self.print_to_log_file(self.describe_options())
        super().on_train_start()

    def run_training(self) -> None:
        """Train as nnU-Net does; an interrupted run leaves the terminal as it was, and says how to go on."""
        try:
            with exit_on_user_error(), exit_on_ctrl_c():
                super().run_training()
        finally:
            self._progress.stop()

    def on_train_epoch_start(self) -> None:
        """Start the bar once nnU-Net has printed its lines."""
        super().on_train_epoch_start()
        self._progress.start(f"epoch {self.current_epoch}", self.num_iterations_per_epoch)

    def train_step(self, batch: dict) -> dict:
        """One iteration of nnU-Net, counted."""
        result = super().train_step(batch)
        self._progress.advance(result["loss"])
        return result

    def on_train_epoch_end(self, train_outputs: list[dict]) -> None:
        """Take the bar away before nnU-Net collects the losses."""
        self._progress.stop()
        super().on_train_epoch_end(train_outputs)

    def on_validation_epoch_start(self) -> None:
        """The same bar for the validation batches."""
        super().on_validation_epoch_start()
        self._progress.start(f"epoch {self.current_epoch} validation", self.num_val_iterations_per_epoch)

    def validation_step(self, batch: dict) -> dict:
        """One validation batch of nnU-Net, counted."""
        result = super().validation_step(batch)
        self._progress.advance(result["loss"])
        return result

    def on_validation_epoch_end(self, val_outputs: list[dict]) -> None:
        """Take the bar away before nnU-Net prints the epoch's results."""
        self._progress.stop()
        super().on_validation_epoch_end(val_outputs)
