"""What a training runs on, and what to type where there is no GPU. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nnunet_ext.errors import UserError

if TYPE_CHECKING:
    import torch


def best_device() -> str:
    """``cuda``, ``mps`` or ``cpu``: the fastest that PyTorch can use here."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def device_option() -> str:
    """What nnU-Net's commands have to be given here: nothing with an NVIDIA GPU, else `` -device cpu``."""
    device = best_device()
    return "" if device == "cuda" else f" -device {device}"


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
    import torch

    there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if there.get(device.type, lambda: True)():
        return
    missing, other = {"cuda": "NVIDIA", "mps": "Apple"}[device.type], best_device()
    dataset, name = plans["dataset_name"], plans["plans_name"]
    train = f"  nnUNetv2_train {dataset} {configuration} {fold} -p {name} -tr {trainer} -device {other}"
    if other == "cpu":
        small = f"  nnunet_ext small-plans -d {dataset} -c {configuration} -p {name}"
        train += f"\nWith plans for a GPU that is very slow. Small ones, and how to train with them:\n{small}"
    raise UserError(f"PyTorch finds no {missing} GPU here. Train with -device {other}:\n{train}")
