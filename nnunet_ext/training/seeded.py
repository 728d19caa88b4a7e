"""nnU-Net's trainer, repeatable: the same seed ends with the same weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import torch
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA
from torch import nn
from torch.backends import cudnn

from nnunet_ext.errors import UserError, exit_on_user_error
from nnunet_ext.training.deterministic import WORD, deterministic_algorithms, with_deterministic_sums
from nnunet_ext.training.extra_targets.trainer import ExtraTargetTrainer
from nnunet_ext.training.numbered_batches import NumberedBatches, in_order
from nnunet_ext.training.random_numbers import Use, seed_all

_WORKERS = "nnUNet_n_proc_DA"  # nnU-Net's environment variable


class SeededTrainer(ExtraTargetTrainer):
    """nnU-Net's trainer with a seed for all that is drawn; without one everything is nnU-Net's.

    Under DDP each process has batches of its own, which depend on the seed and its rank.
    """

    seed: ClassVar[int | None] = None
    deterministic: ClassVar[bool] = False

    def refuse_determinism_without_seed(self) -> None:
        """Raise if repetitions could not be alike."""
        if self.deterministic and self.seed is None:
            name = type(self).__name__
            raise UserError(
                f"{name}: without a seed, two trainings differ all the same. Add one: -tr {name}_seed0"
            )

    def describe_seed(self) -> str:
        """What decides whether a repetition ends with the same weights, for the training log."""
        if self.seed is None:
            return "no seed"
        threads = f", PyTorch threads: {torch.get_num_threads()}" if self.device.type == "cpu" else ""
        algorithms = f", {WORD} algorithms" if self.deterministic else ""
        return f"seed {self.seed}{algorithms}{threads}"

    def _build_loss(self) -> nn.Module:
        """nnU-Net's loss, whose cross-entropy PyTorch would refuse on a GPU as it is."""
        loss: nn.Module = super()._build_loss()
        return with_deterministic_sums(loss) if self.deterministic else loss

    def initialize(self) -> None:
        """nnU-Net's way, with seeded first weights."""
        if self.seed is not None:
            seed_all(self.seed, Use.WEIGHTS)
        super().initialize()

    def get_dataloaders(self) -> tuple[Any, Any]:
        """nnU-Net's loaders; with a seed their batches are numbered, and come in order."""
        if self.seed is None:
            loaders: tuple[Any, Any] = super().get_dataloaders()
            return loaders
        workers = get_allowed_n_proc_DA()
        with _without_workers():
            training, validation = super().get_dataloaders()
        return (
            self._numbered(training, Use.TRAINING_BATCH, self.num_iterations_per_epoch, workers, 6),
            self._numbered(
                validation,
                Use.VALIDATION_BATCH,
                self.num_val_iterations_per_epoch,
                workers if workers < 2 else workers // 2,
                3,
            ),
        )

    def _numbered(self, stock: Any, use: Use, per_epoch: int, workers: int, cached: int) -> Any:
        """The batches from the current epoch on; workers and cache as many as nnU-Net's, nearly."""
        assert self.seed is not None
        first = self.current_epoch * per_epoch
        key = (use, self.local_rank)
        batches = NumberedBatches(stock.data_loader, self.seed, key, first, workers)
        return in_order(batches, workers, max(cached, workers // 2), self.device.type == "cuda")

    def on_train_epoch_start(self) -> None:
        """Seed what the epoch draws in this process, such as dropout."""
        if self.seed is not None:
            seed_all(self.seed, Use.EPOCH, self.local_rank, self.current_epoch)
        super().on_train_epoch_start()

    def run_training(self) -> None:
        """Train as nnU-Net does; with a seed, cuDNN does not choose its algorithms by timing."""
        with self._repeatable():
            super().run_training()

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Predict the validation cases as nnU-Net does, under the same conditions."""
        with exit_on_user_error(), self._repeatable():
            super().perform_actual_validation(save_probabilities)

    @contextmanager
    def _repeatable(self) -> Iterator[None]:
        if self.seed is None:
            yield
            return
        before = cudnn.benchmark
        cudnn.benchmark = False
        name = type(self).__name__
        try:
            with deterministic_algorithms(name, self.device) if self.deterministic else nullcontext():
                yield
        finally:
            cudnn.benchmark = before


@contextmanager
def _without_workers() -> Iterator[None]:
    """Let nnU-Net make its loaders for this process alone: they are wrapped before workers start."""
    before = os.environ.get(_WORKERS)
    os.environ[_WORKERS] = "0"
    try:
        yield
    finally:
        del os.environ[_WORKERS]
        if before is not None:
            os.environ[_WORKERS] = before
