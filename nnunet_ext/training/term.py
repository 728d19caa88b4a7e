"""The base of trainers whose loss is one term, alone or added to cross-entropy or Dice, perhaps only late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from torch import nn

from nnunet_ext.errors import UserError
from nnunet_ext.losses import CrossEntropyLoss, LossWithTerm
from nnunet_ext.training.trainer import ExtTrainer


class TermTrainer(ExtTrainer):
    """One term, which a family returns from `build_term`, on top of what it says with `ce` and `dice`.

    Both are nnU-Net's own loss; with one of them, that half of it; with none, the term is the whole loss.
    A family with the option `FROM_EPOCH` can leave the term out until an epoch.
    """

    ce: ClassVar[bool] = False
    dice: ClassVar[bool] = False
    term_from: ClassVar[int | None] = 0  # None: for the last part of the training alone
    last_part: ClassVar[float] = 1.0  # of the epochs

    def build_term(self) -> nn.Module:
        """Return the term of one network output, called as in `build_loss`."""
        raise NotImplementedError

    def term_weights(self) -> tuple[float, float]:
        """What the term, and what it is added to, are multiplied with."""
        return 1.0, 1.0

    def build_loss(self, nnunet_loss: nn.Module) -> nn.Module:
        """The term with what it is added to."""
        base: Any = nnunet_loss
        if not self.ce:
            base = dice_alone(nnunet_loss) if self.dice else None
        elif not self.dice:
            base = CrossEntropyLoss(**self.target_format)
        weight, base_weight = self.term_weights()
        return LossWithTerm(self.build_term(), base, weight, base_weight)

    @property
    def first_epoch_of_term(self) -> int:
        """The epoch from which the term counts; the first is 0."""
        if self.term_from is not None:
            return self.term_from
        return self.epochs - max(1, round(self.last_part * self.epochs))

    def _refuse_to_train(
        self, plans: dict, configuration: str, fold: int | str, device: torch.device
    ) -> None:
        super()._refuse_to_train(plans, configuration, fold, device)
        begins = self.first_epoch_of_term
        if begins >= self.epochs:
            raise UserError(
                f"{type(self).__name__}: the further term begins with epoch {begins}, but the last of "
                f"{self.epochs} epochs is {self.epochs - 1}. Begin earlier (_from<n>epochs) or train longer "
                "(_<n>epochs)."
            )

    def describe_options(self) -> str:
        """With the epoch from which the term counts, unless it does all the time."""
        begins = self.first_epoch_of_term
        return f"{super().describe_options()}{f', term from epoch {begins} on' if begins else ''}"

    def on_train_start(self) -> None:
        """From now on the progress plot says where the term begins."""
        super().on_train_start()
        logger: Any = self.logger.local_logger
        logger.plot_progress_png = marking(logger.plot_progress_png, self._epoch_to_mark)

    def _epoch_to_mark(self) -> int | None:
        begins = self.first_epoch_of_term
        return begins if 0 < begins <= self.current_epoch else None

    def on_train_epoch_start(self) -> None:
        """Take the term in, or leave it out; the losses of validation follow those of training."""
        super().on_train_epoch_start()
        begins = self.first_epoch_of_term
        for module in self.loss.modules():
            if isinstance(module, LossWithTerm):
                module.begun = self.current_epoch >= begins
        if 0 < begins == self.current_epoch:
            self.print_to_log_file("From this epoch on the loss has its further term.")


def dice_alone(nnunet_loss: nn.Module) -> nn.Module:
    """nnU-Net's own loss (changed in place) without its cross-entropy."""
    stock: Any = nnunet_loss
    stock.weight_ce = 0
    return nnunet_loss


def marking(plot: Callable[[str], None], epoch: Callable[[], int | None]) -> Callable[[str], None]:
    """nnU-Net's plot of the progress with a line at an epoch.

    Parameters
    ----------
    plot : callable
        Makes a figure of axes over epochs and saves it into the folder that it is called with.
    epoch : callable
        Where the line is to be; None for no line.
    """

    def marked(folder: str) -> None:
        at, save = epoch(), Figure.savefig
        if at is None:
            plot(folder)
            return

        def draw_and_save(figure: Figure, *args: Any, **kwargs: Any) -> None:
            for axes in figure.axes:
                axes.axvline(at, color="black", linestyle="--", linewidth=3)
            figure.axes[0].text(
                at, 1, " further term", transform=figure.axes[0].get_xaxis_transform(), va="top"
            )
            save(figure, *args, **kwargs)

        # nnU-Net makes, saves and closes the figure in one call: this is the one place to draw in.
        Figure.savefig = draw_and_save  # type: ignore[method-assign, assignment]
        try:
            plot(folder)
        finally:
            Figure.savefig = save  # type: ignore[method-assign]

    return marked
