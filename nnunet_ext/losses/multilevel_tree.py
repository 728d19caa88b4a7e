"""The loss of a tree of classes: a multi-level loss per chain, cross-entropy among those that exclude."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nnunet_ext.losses.arguments import check_tensors, known_labels, split_target
from nnunet_ext.losses.multilevel import LOSSES, Activation, inverse_activation
from nnunet_ext.losses.reduction import mean_over_counted

if TYPE_CHECKING:
    from nnunet_ext.nnunet_files.hierarchy import Hierarchy


_ORIGIN = "nnunet_ext_channels"  # attribute of a tensor of scores


def remember_channels(scores: Tensor, channels: Tensor) -> Tensor:
    """Note down on class scores which channels they were made of, for `MultiLevelLoss`; return the scores.

    Where a sigmoid is saturated nothing in a score tells how far out its channel is, and the loss would come
    out too small.
    """
    setattr(scores, _ORIGIN, channels)
    return scores


class MultiLevelLoss(nn.Module):
    """The sum over chains of ``sse``, ``mce`` or ``nce``, and cross-entropy where chains exclude each other.

    Of a chain, a voxel that is in none of its classes has level 0, wherever it is. Among chains that start in
    the same class, a softmax over *none of them* and each of them decides, with the argument of a chain's
    outermost sigmoid as its logit: one more channel is all that another class beside others costs.

    Parameters
    ----------
    hierarchy : Hierarchy
        The classes.
    name : str
        ``"sse"``, ``"mce"`` or ``"nce"``.
    steepness, spacing : float
        κ and h of the activation.
    read_scores : callable
        From class scores to the activations of the chains (`MultiLevelHead.activations`), for outputs in
        ``eval()`` that are not known to be made of channels (`remember_channels`): exact but where a sigmoid
        is saturated. In ``train()``, the default, outputs are channels, one per chain.
    ignore_label : int, optional
        Label of voxels without annotation.
    """

    def __init__(
        self,
        hierarchy: Hierarchy,
        name: str,
        steepness: float = 10.0,
        spacing: float = 1.0,
        read_scores: Callable[[Tensor], list[Tensor]] | None = None,
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        self.name, self.steepness, self.spacing = name, steepness, spacing
        self.lengths = [len(chain) for chain in hierarchy.chains]
        self.siblings = hierarchy.siblings
        self.regions, self.ignore_label = hierarchy.regions, ignore_label
        order = list(hierarchy.labels)
        self._region_channels = [[order.index(name) for name in chain] for chain in hierarchy.chains]
        self._read_scores = read_scores
        # Tables are moved to the device once: a copy in every iteration would make the host wait for it.
        self._tables = {"levels": torch.tensor(hierarchy.levels)}

    def use_class_counts(self, counts: Sequence[int]) -> None:
        """Weigh every level, and every one of exclusive chains, by all voxels over its voxels.

        Parameters
        ----------
        counts : sequence of int
            Voxels of each label in the training cases, by label.
        """
        levels, voxels = self._tables["levels"].cpu(), torch.as_tensor(counts, dtype=torch.float64)
        for j, length in enumerate(self.lengths):
            self._tables[f"chain {j}"] = _rarity(voxels, levels[:, j], length + 1)
        for group in self.siblings:
            kinds = _choice(levels[:, list(group)])
            self._tables[f"among {group}"] = _rarity(voxels, kinds, len(group) + 1)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of (B, chains, *spatial) channels, in ``eval()`` (B, C, *spatial) scores."""
        labels, mask = split_target(target, regions=self.regions, ignore_label=self.ignore_label)
        check_tensors(output, labels[:, :1], mask)
        levels = self._levels_of(labels, mask)
        channels = self._channels_of(output)
        losses = sum(map(self._of_chain, range(len(levels)), channels, levels), torch.zeros_like(channels[0]))
        for group in self.siblings:
            losses = losses + self._among(channels, levels, group)
        return mean_over_counted(losses, mask)

    def _channels_of(self, output: Tensor) -> list[Tensor]:
        """(B, 1, *spatial) of every chain, from channels or from scores."""
        channels = output if self.training else getattr(output, _ORIGIN, None)
        if channels is None and self._read_scores is not None:
            return [
                inverse_activation(a[:, None], length, self.steepness, self.spacing)
                for a, length in zip(self._read_scores(_in_float32(output)), self.lengths, strict=True)
            ]
        channels = _in_float32(output if channels is None else channels)
        if channels.shape[1] != len(self.lengths):
            raise ValueError(f"{len(self.lengths)} chains have as many channels; got {tuple(channels.shape)}")
        return list(channels.split(1, 1))

    def _levels_of(self, labels: Tensor, mask: Tensor | None) -> list[Tensor]:
        """(B, 1, *spatial) level of every voxel in each chain."""
        if self.regions:
            return [(labels[:, channels] > 0.5).sum(1, keepdim=True) for channels in self._region_channels]
        table = self._table("levels", labels.device)
        labels = known_labels(labels, len(table), mask)
        return [table[:, j][labels] for j in range(len(self.lengths))]

    def _of_chain(self, chain: int, channel: Tensor, levels: Tensor) -> Tensor:
        """(B, 1, *spatial) multi-level loss of one chain."""
        length = self.lengths[chain]
        losses = LOSSES[self.name](Activation(channel, length, self.steepness, self.spacing), levels)
        return self._weighted(losses, f"chain {chain}", levels)

    def _among(self, channels: list[Tensor], levels: list[Tensor], group: tuple[int, ...]) -> Tensor:
        """(B, 1, *spatial) cross-entropy among the chains of a group and none of them."""
        choice = _choice(torch.cat([levels[j] for j in group], 1))
        # The argument of the sigmoid that fires first is the logit of being in the chain at all.
        entries = [self.steepness * (channels[j] + self.spacing * (self.lengths[j] - 1) / 2) for j in group]
        logits = torch.cat([torch.zeros_like(entries[0]), *entries], 1)
        losses = F.cross_entropy(logits, choice, reduction="none")
        return self._weighted(losses, f"among {group}", choice)[:, None]

    def _weighted(self, losses: Tensor, name: str, kinds: Tensor) -> Tensor:
        if name not in self._tables:
            return losses
        return losses * self._table(name, losses.device).to(losses.dtype)[kinds]

    def _table(self, name: str, device: torch.device) -> Tensor:
        if self._tables[name].device != device:
            self._tables[name] = self._tables[name].to(device)
        return self._tables[name]

    def extra_repr(self) -> str:
        """What is shown in nnU-Net's debug.json."""
        chains = f"chains of {self.lengths} levels"
        return f"{self.name}, {chains}, steepness={self.steepness}, spacing={self.spacing}"


def _in_float32(output: Tensor) -> Tensor:
    """At least."""
    return output.to(torch.promote_types(output.dtype, torch.float32))


def _choice(levels: Tensor) -> Tensor:
    """Which of the exclusive chains along axis 1 a voxel is in, from 1; 0 is none."""
    inside = levels > 0
    return torch.where(inside.any(1), 1 + inside.long().argmax(1), 0)


def _rarity(counts: Tensor, kind_of_label: Tensor, kinds: int) -> Tensor:
    """All voxels over those of each kind of labels; 0 for kinds that never occur."""
    voxels = torch.zeros(kinds, dtype=torch.float64)
    voxels.index_add_(0, kind_of_label, counts[: len(kind_of_label)])
    return torch.where(voxels > 0, voxels.sum() / voxels.clamp(min=1), 0)
