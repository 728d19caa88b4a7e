"""Handing extra targets to a loss that nnU-Net calls with output and target alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def at_scale_of(maps: Tensor, target: Tensor) -> Tensor:
    """(B, K, *spatial) maps at the voxels that nnU-Net picks for a lower scale of its labels."""
    size = target.shape[2:]
    return maps if maps.shape[2:] == size else F.interpolate(maps, size, mode="nearest-exact")


class ExtraTargetLoss(nn.Module):
    """The outermost loss: calls ``loss(output, target, maps)`` with the maps of the batch at hand.

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
