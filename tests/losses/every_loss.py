"""Every loss with what it is called with, for tests of what all of them promise."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from nnunet_ext.losses import (
    CenterlineCrossEntropyLoss,
    ClDiceLoss,
    CrossEntropyLoss,
    FocalLoss,
    RegionWiseLoss,
    SkeletonRecallLoss,
    TopologicalLoss,
    TverskyLoss,
)
from nnunet_ext.training.extra_targets.shapes import Depths, Tubes
from nnunet_ext.training.extra_targets.target import plain_labels

IGNORE = 3
STRUCTURES = {False: ((1,), (2,)), True: ((1, 2), (2,))}  # of labels 0, 1, 2; as regions: whole, core
SHAPES = {"2d": (12, 14), "3d": (6, 8, 7)}


@dataclass(frozen=True)
class Case:
    """A loss, `make(**target_format)`, and the extra target it needs, `maps(regions)`."""

    make: Callable
    maps: Callable | None = None
    pools: bool = True  # in a distributed training: over the processes

    def maps_of(self, labels, regions, ignored):
        """What the loader would hand over for (B, 1, *spatial) labels."""
        if self.maps is None:
            return ()
        target = self.maps(regions)
        ones = [plain_labels(each[0].numpy(), IGNORE if ignored else None) for each in labels]
        counts = np.ones(4, np.int64)
        maps = [target.finish(target.compute(each, (1.0,) * each.ndim), each, counts) for each in ones]
        return (torch.from_numpy(np.stack(maps)),)


def _depths(regions):
    return Depths(STRUCTURES[True] if regions else None)


LOSSES = {
    "CE": Case(CrossEntropyLoss),
    "Focal": Case(FocalLoss),
    "Focal .5": Case(lambda **form: FocalLoss(0.5, **form)),
    "Tversky": Case(lambda **form: TverskyLoss(0.3, 0.7, batch_dice=True, **form)),
    "Tversky per sample": Case(lambda **form: TverskyLoss(0.3, 0.7, **form), pools=False),
    "clDice": Case(lambda **form: ClDiceLoss(3, batch_dice=True, **form)),
    "clDice per sample": Case(lambda **form: ClDiceLoss(3, **form), pools=False),
    "CenterlineCE": Case(CenterlineCrossEntropyLoss),
    "Topo": Case(lambda **form: TopologicalLoss(8, holes=True, threshold=0.0, **form)),
    "RegionWise": Case(RegionWiseLoss, _depths),
    "SkelRecall": Case(
        lambda **form: SkeletonRecallLoss(batch_dice=True, **form), lambda regions: Tubes(((1, 2),))
    ),
    "SkelRecall per class": Case(
        lambda **form: SkeletonRecallLoss(batch_dice=True, **form), lambda regions: Tubes(STRUCTURES[regions])
    ),
    "SkelRecall per sample": Case(SkeletonRecallLoss, lambda regions: Tubes(((1, 2),)), pools=False),
}


def draw(shape, samples=2, seed=0, ignored=False):
    """int64 (B, 1, *shape) labels 0, 1, 2: bars of 1 with some of 2 inside; 3 where they are ignored."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((samples, 1, *shape), np.int64)
    for sample in labels[:, 0]:
        for _ in range(2):
            corner = [rng.integers(0, edge - 3) for edge in shape]
            bar = tuple(
                slice(start, start + (3 if axis else edge - 3))
                for axis, (start, edge) in enumerate(zip(corner, shape, strict=True))
            )
            sample[bar] = 1
            sample[tuple(slice(s.start, s.start + 2) for s in bar)] = 2
        if ignored:
            sample[rng.random(shape) < 0.2] = IGNORE
    return torch.from_numpy(labels)


def as_nnunet_loads(labels, regions, ignored):
    """The target of a batch of labels."""
    if not regions:
        return labels.to(torch.int16)
    channels = [torch.isin(labels, torch.tensor(each)) for each in STRUCTURES[True]]
    return torch.cat([*channels, *([labels == IGNORE] if ignored else [])], 1)


def channels_of(regions):
    """Of the network."""
    return 2 if regions else 3


def random_logits(labels, regions, dtype=torch.float64, seed=0):
    """Logits of an untrained network for labels."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(labels), channels_of(regions), *labels.shape[2:])
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


def perfect_logits(labels, regions):
    """Those of a network that is right and sure; where labels are ignored it says 0."""
    wanted = STRUCTURES[True] if regions else ((0,), (1,), (2,))
    return 60.0 * torch.cat([torch.isin(labels, torch.tensor(each)) for each in wanted], 1).double() - 30


def form(regions, ignored):
    """How targets are to be read."""
    return {"regions": regions, "ignore_label": IGNORE if ignored else None}
