"""What a training runs on, and what to type where there is no GPU. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nnunet_ext.errors import UserError, command

if TYPE_CHECKING:
    import torch


def gpus() -> dict[str, bool]:
    """Whether PyTorch can use a GPU of each kind here: ``cuda`` (NVIDIA) and ``mps`` (Apple)."""
    import torch

    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


def best_device() -> str:
    """``cuda``, ``mps`` or ``cpu``: the fastest that PyTorch can use here."""
    return next((kind for kind, usable in gpus().items() if usable), "cpu")


def device_option() -> tuple[str, ...]:
    """What nnU-Net's commands have to be given here: nothing with an NVIDIA GPU, else ``-device cpu``."""
    device = best_device()
    return () if device == "cuda" else ("-device", device)


def refuse_missing_device(
    device: torch.device, trainer: str, plans: Mapping[str, Any], configuration: str, fold: int | str
) -> None:
    """Raise if a training is to run on what is not there.

    Parameters
    ----------
    device : torch.device
        What nnU-Net was told with ``-device``, ``cuda`` by default.
    trainer, plans, configuration, fold
        Of the training, for the text; `plans` is the content of their file.

    Raises
    ------
    UserError
        With the commands that work here.
    """
    if gpus().get(device.type, True):
        return
    missing, other = {"cuda": "NVIDIA", "mps": "Apple"}[device.type], best_device()
    dataset, name = plans["dataset_name"], plans["plans_name"]
    train = ("nnUNetv2_train", dataset, configuration, fold, "-p", name, "-tr", trainer, "-device", other)
    text = f"PyTorch finds no {missing} GPU here. Train with -device {other}:\n  {command(*train)}"
    if other == "cpu":
        small = command("nnunet_ext", "small-plans", "-d", dataset, "-c", configuration, "-p", name)
        text += (
            f"\nWith plans for a GPU that is very slow. Small ones, and how to train with them:\n  {small}"
        )
    raise UserError(text)
