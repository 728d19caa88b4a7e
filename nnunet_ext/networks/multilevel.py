"""A network with one output channel per chain of nested classes that predicts as any of nnU-Net's does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nnunet_ext.losses.multilevel import multi_level_activation
from nnunet_ext.losses.multilevel_tree import remember_channels

if TYPE_CHECKING:
    from nnunet_ext.nnunet_files.hierarchy import Hierarchy

# nnU-Net adds up tiles in half precision, with weights down to 6e-8 in the corners of a volume: scores are
# rounded to whole numbers there, so they have to be larger than activations. Much larger ones would turn the
# averages of probabilities in ensembles into votes.
SCORE_SCALE = 8.0


class MultiLevelHead(nn.Module):
    r"""From channels of nested classes to the scores of classes, of which nnU-Net takes the largest.

    A chain has the activation a, from 0 to the number of its classes, and increasing thresholds θ. Each class
    of it that a voxel is in adds what its threshold is exceeded by:

    .. math::
        s_c = S \sum_j \sum_{l=1}^{l_j(c)} (a_j - \theta_{jl})

    with :math:`l_j(c)` the level of class c in chain j; the background has 0. Within a chain the largest
    score is that of the last class whose threshold is reached. Of chains that exclude each other the one that
    gains more has the voxel. Scores are affine in a: averaging or resampling them is averaging or resampling
    a. A region, which nnU-Net compares with 0 by itself, has the score :math:`S (a_j - \theta_{jl})`. S is
    `SCORE_SCALE`.

    In training the head only multiplies the channels with its gain, in float32, for the loss; the scores are
    made in evaluation, also for nnU-Net's validation, whose loss finds the channels on them
    (`remember_channels`).

    Parameters
    ----------
    hierarchy : Hierarchy
        The classes.
    thresholds : sequence of sequence of float
        θ of each chain. They are a buffer, so a checkpoint has them.
    steepness, spacing : float
        κ and h of the activation.
    gain : float
        What the network's output is multiplied with to be the activation's x. The last layer could learn it,
        but with κ = 10 and without it most voxels start where the activation is flat. A buffer as well; a
        checkpoint that has none is of a model without it, which is a gain of 1.
    """

    thresholds: Tensor
    gain: Tensor

    def __init__(
        self,
        hierarchy: Hierarchy,
        thresholds: list[list[float]],
        steepness: float,
        spacing: float,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.lengths = [len(chain) for chain in hierarchy.chains]
        self.steepness, self.spacing = steepness, spacing
        self.register_buffer("thresholds", torch.zeros(sum(self.lengths)))
        self.set_thresholds(thresholds)
        self.register_buffer("gain", torch.tensor(float(gain)))
        self._terms = _terms_of_regions(hierarchy) if hierarchy.regions else _terms_of_labels(hierarchy)
        self._first = [pairs[0] for pairs in score_pairs(hierarchy)]

    @property
    def channels(self) -> int:
        """Channels that the network under the head has to give: one per chain."""
        return len(self.lengths)

    @property
    def outputs(self) -> int:
        """Scores that come out: one per label, or per region."""
        return len(self._terms)

    def set_thresholds(self, thresholds: list[list[float]]) -> None:
        """Replace θ of each chain."""
        if [len(chain) for chain in thresholds] != self.lengths:
            raise ValueError(f"chains of {self.lengths} levels need as many thresholds; got {thresholds}")
        self.thresholds.copy_(torch.tensor([t for chain in thresholds for t in chain]))

    def chain_thresholds(self) -> list[Tensor]:
        """θ of each chain."""
        return list(self.thresholds.split(self.lengths))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        """PyTorch's way, for models from before there was a gain, too."""
        state_dict.setdefault(f"{prefix}gain", torch.ones_like(self.gain))
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    @torch.compiler.disable  # a compiled network returns new tensors, on which nothing is noted down
    def forward(self, x: Any) -> Any:
        """Channels (B, chains, *spatial) to scores (B, outputs, *spatial), a list of scales to a list."""
        if isinstance(x, (list, tuple)):
            return [self.forward(scale) for scale in x]
        x = x.float() * self.gain
        if self.training:
            return x
        activations = [
            multi_level_activation(x[:, j], length, self.steepness, self.spacing)
            for j, length in enumerate(self.lengths)
        ]
        return remember_channels(self.scores(activations), x)

    def scores(self, activations: list[Tensor]) -> Tensor:
        """Scores (B, outputs, *spatial) of activations (B, *spatial), one per chain."""
        zero = torch.zeros_like(activations[0])
        chains = self.chain_thresholds()
        scores = [
            sum((len(levels) * activations[j] - chains[j][levels].sum() for j, levels in terms.items()), zero)
            for terms in self._terms
        ]
        return SCORE_SCALE * torch.stack(scores, 1)

    def activations(self, scores: Tensor) -> list[Tensor]:
        """What `scores` were made of: activations (B, *spatial), one per chain."""
        chains = self.chain_thresholds()
        return [
            (scores[:, first] - (0 if base is None else scores[:, base])) / SCORE_SCALE + chains[j][0]
            for j, (first, base) in enumerate(self._first)
        ]


class MultiLevelNetwork(nn.Module):
    """One of nnU-Net's networks under a `MultiLevelHead`.

    Parameters
    ----------
    backbone : nn.Module
        With as many output channels as there are chains.
    head : MultiLevelHead
        What follows.
    """

    def __init__(self, backbone: nn.Module, head: MultiLevelHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    @property
    def decoder(self) -> nn.Module:
        """Where nnU-Net switches deep supervision on and off."""
        return self.backbone.decoder  # type: ignore[return-value]

    def forward(self, image: Tensor) -> Any:
        """The head's output for (B, C, *spatial) images; with deep supervision a list, full size first."""
        return self.head(self.backbone(image))


def _terms_of_labels(hierarchy: Hierarchy) -> list[dict[int, list[int]]]:
    """Of every label: chain -> indices of the levels that it is in."""
    return [{j: list(range(level)) for j, level in enumerate(levels) if level} for levels in hierarchy.levels]


def _terms_of_regions(hierarchy: Hierarchy) -> list[dict[int, list[int]]]:
    places = {
        name: {j: [level]} for j, chain in enumerate(hierarchy.chains) for level, name in enumerate(chain)
    }
    return [places[name] for name in hierarchy.labels]


def score_pairs(hierarchy: Hierarchy) -> list[list[tuple[int, int | None]]]:
    """Of every level of every chain: the outputs whose scores differ by S (a - θ); None is 0.

    Parameters
    ----------
    hierarchy : Hierarchy
        The classes.
    """
    if hierarchy.regions:
        order = list(hierarchy.labels)
        return [[(order.index(name), None) for name in chain] for chain in hierarchy.chains]
    label = hierarchy.own_label
    pairs: list[list[tuple[int, int | None]]] = []
    for chain in hierarchy.chains:
        parent = hierarchy.parents[chain[0]]
        inwards = [0 if parent is None else label[parent], *(label[name] for name in chain)]
        pairs.append(list(zip(inwards[1:], inwards[:-1], strict=True)))
    return pairs
