"""TopoLoss: a wrong number of components or holes in a patch is paid for at the voxels that decide it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nnunet_ext.arrays.blocks import Box, on_threads, split, whole
from nnunet_ext.arrays.patch_topology import patch_betti_numbers
from nnunet_ext.arrays.persistence import check_holes, persistence_pairs
from nnunet_ext.losses.arguments import check_tensors, split_target
from nnunet_ext.losses.foreground import foreground
from nnunet_ext.losses.reduction import pooled_mean

IntArray = NDArray[np.int64]
PatchSize = int | Sequence[int] | None

PATCH_EDGE = {2: 100, 3: 48}  # voxels, by number of axes: where nobody asked for another size
PORTION_VOXELS = 2**16  # patches are worked on so many voxels at a time, whose arrays fit the caches
THREADS = min(8, os.cpu_count() or 1)  # the array arithmetic releases the interpreter's lock
IGNORED = 2.0  # stands in for the probability of a voxel that does not count


@torch.compiler.disable  # the pairs are found on the CPU
def topological_loss(
    logits: Tensor,
    target: Tensor,
    patch_size: PatchSize = None,
    holes: bool = False,
    threshold: float = 0.03,
    mask: Tensor | None = None,
) -> Tensor:
    r"""TopoLoss: bring the number of components, and of holes, of every patch to that of the truth.

    Every foreground class is looked at by itself, against all the rest, and every patch by itself. Let p be
    the probability of the class, and let the set of voxels with p above some level grow while that level
    falls from 1 to 0. Each component of it is born at some voxel b, and dies at a voxel d by merging into an
    older one; its persistence is p(b) - p(d). The oldest never dies, as if at p(d) = 0. With n the number of
    components in the truth, the n most persistent ones are to stay, and those of the others whose
    persistence is above `threshold` are to go:

    .. math::
        L_{patch} = \sum_{stay} (p(b) - 1)^2 + p(d)^2
                  + \sum_{go} (p(b) - m)^2 + (p(d) - m)^2, \qquad m = \frac{p(b) + p(d)}{2}

    where m is a constant, without a gradient. A component that never dies has a birth only, which is to
    become 1, or, if the component is to go, 0. The loss is the mean of L_patch over classes (or regions),
    samples and patches. A patch whose voxels with p > 0.5 have the right number of components costs nothing.
    Holes are added in the same way and by themselves: a patch may be right in the one and wrong in the other.

    Parameters
    ----------
    logits : Tensor
        Floating (B, C, *spatial), two or three spatial axes. Half precision is computed in float32.
    target : Tensor
        Integer labels (B, 1, *spatial), background 0 included among the C classes, p is the softmax; or
        binary channels shaped like `logits` (regions; also what a single channel is taken for), p is the
        sigmoid.
    patch_size : int or sequence of int, optional
        Edge of a patch in voxels, one for all axes or one for each. Patches lie side by side from the first
        voxel on; the last ones of an axis may be smaller. Default: 100 in 2D, 48 in 3D.
    holes : bool
        Whether holes count, too. In 2D: background enclosed by foreground within the patch. In 3D: tunnels,
        which need the package gudhi, and enclosed cavities.
    threshold : float
        Persistence up to which what should not be there is left alone.
    mask : Tensor, optional
        bool (B, 1, *spatial), True where a voxel counts. Others may carry any label and any logit: they are
        background, in the prediction as in the truth, as in `nnunet_ext.metrics`, and nothing there is to
        change: what would die at such a voxel never dies. A patch without voxels that count is left out.

    Returns
    -------
    Tensor
        Scalar, float32 or the dtype of float64 logits; 0 if no patch counts.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit, or if `patch_size` or `threshold` is out of range.
    IndexError
        If a counted voxel has a label that is no class (on the CPU).
    UserError
        For holes in 3D, if gudhi is not installed; `check_holes` says so beforehand.

    Notes
    -----
    The foreground has full connectivity (8 or 26 neighbours), the background the dual one. Of equal
    probabilities the first voxel counts as the higher one. Where fewer components have any persistence than
    there should be, nothing can be done for the others; where p is 0 or 1 to the last digit, the gradient
    of the logits vanishes. So add the loss to cross-entropy, after that has done its work.

    A GPU waits: the probabilities are copied to the CPU, which finds the births and deaths on several
    threads, and their indices are copied back. In a distributed training every process gets the loss of the
    whole batch, and the gradient that DistributedDataParallel averages to that of the whole batch.

    References
    ----------
    Hu, Li, Samaras, Chen. Topology-Preserving Deep Image Segmentation. NeurIPS 2019, arXiv:1906.05404. The
    published code computes something else, see docs/topological_loss.md.

    Examples
    --------
    A line that is broken where p is 0.2. One component is to stay, so the left part should reach 1. The right
    one is to go: it should fall from 0.8, and the gap rise, to 0.5, where they are no longer apart.

    >>> p = torch.tensor([[[[0.9, 0.9, 0.2, 0.8, 0.8]]]])
    >>> topological_loss(p.logit(), torch.ones(1, 1, 1, 5))  # 0.1² + 0.3² + 0.3²
    tensor(0.1900)
    """
    check_tensors(logits, target, mask)
    axes = logits.dim() - 2
    edges = _patch_edges(patch_size, axes)
    if not 0 <= threshold < math.inf:
        raise ValueError(f"threshold is a persistence, 0 or more; got {threshold}")
    if holes:
        check_holes(axes)
    probability, truth = foreground(logits, target, mask)
    maps = _on_cpu(probability, truth > 0, mask, edges)
    pairs = torch.from_numpy(_costly_pairs(maps, holes, threshold)).to(logits.device)
    total = _squares(probability.reshape(-1), pairs)
    total = total + 0 * probability.detach().sum()  # a NaN is not hidden
    return pooled_mean(total, probability.new_full((), maps.counted_patches()))


def _patch_edges(patch_size: PatchSize, axes: int) -> tuple[int, ...]:
    if axes not in PATCH_EDGE:
        raise ValueError(f"the topological loss takes 2D or 3D logits (B, C, [z,] y, x); got {axes} axes")
    if patch_size is None:
        return (PATCH_EDGE[axes],) * axes
    edges = tuple(patch_size) if isinstance(patch_size, Sequence) else (patch_size,) * axes
    if len(edges) != axes or not all(isinstance(edge, int | np.integer) and edge > 0 for edge in edges):
        raise ValueError(f"patch_size is a positive whole number, or one per axis ({axes}); got {patch_size}")
    return tuple(int(edge) for edge in edges)


@dataclass(frozen=True)
class _Maps:
    """Probability (or `IGNORED`) and truth on the CPU, a map for each class of each sample: (M, *spatial)."""

    probability: NDArray[np.floating]
    truth: NDArray[np.bool_]
    edges: tuple[int, ...]
    boxes: list[Box]

    def counted_patches(self) -> int:
        """Number of patches, of all maps, in which a voxel counts."""
        maps = self.probability != IGNORED
        return sum(bool(counted[box].any()) for counted in maps for box in self.boxes)


def _on_cpu(probability: Tensor, truth: Tensor, mask: Tensor | None, edges: tuple[int, ...]) -> _Maps:
    """Bring all that is needed over in one transfer: the truth travels in the sign of the probability."""
    signed = torch.where(truth, -probability.detach(), probability.detach())
    if mask is not None:
        signed = signed.masked_fill(~mask, IGNORED)
    both = signed.flatten(0, 1).cpu().numpy()
    return _Maps(np.abs(both), np.signbit(both), edges, split(whole(both.shape[1:]), edges))


def _costly_pairs(maps: _Maps, holes: bool, threshold: float) -> IntArray:
    """Columns (birth, death, stays) of all that costs something, ends of life as indices of the flat maps."""
    if not maps.probability.size:
        return np.zeros((3, 0), np.int64)
    predicted = (maps.probability > 0.5) & (maps.probability != IGNORED)
    betti = patch_betti_numbers(np.concatenate([predicted, maps.truth]), maps.edges, holes)
    found, wanted = np.split(betti, 2, axis=1)
    index = np.arange(maps.probability.size).reshape(maps.probability.shape)
    probability = np.append(maps.probability, maps.probability.dtype.type(IGNORED))  # at index -1

    def pairs(part: tuple[int, IntArray]) -> IntArray:
        dimension, patches = part
        mosaic, rows = _mosaic([index[image][maps.boxes[box]] for image, box in patches])
        numbers = wanted[dimension][tuple(patches.T)]
        return _pairs_in(mosaic, rows, probability, numbers, dimension, threshold)

    parts = [
        (dimension, portion)
        for dimension in range(len(wanted))
        for portion in _portions(np.argwhere(found[dimension] != wanted[dimension]), maps)
    ]
    return np.concatenate([np.zeros((3, 0), np.int64), *on_threads(pairs, parts, THREADS)], 1)


def _portions(patches: IntArray, maps: _Maps) -> list[IntArray]:
    """Patches, rows (map, box), to be worked on at a time; of one width as far as possible."""
    widths = np.array([[side.stop - side.start for side in box[1:]] for box in maps.boxes])
    patches = patches[np.lexsort(widths[patches[:, 1]].T)]
    at_once = max(1, PORTION_VOXELS // math.prod(maps.edges))
    return [patches[start : start + at_once] for start in range(0, len(patches), at_once)]


def _mosaic(patches: Sequence[IntArray]) -> tuple[IntArray, IntArray]:
    """Patches one below the other, -1 between them and beside narrow ones, and the first row of each."""
    rows = np.cumsum([0, *(len(patch) + 1 for patch in patches)])
    mosaic = np.full((rows[-1], *np.max([patch.shape[1:] for patch in patches], axis=0)), -1)
    for row, patch in zip(rows[:-1], patches, strict=True):
        place = (slice(row, row + len(patch)), *map(slice, patch.shape[1:]))
        mosaic[place] = patch
    return mosaic, rows[:-1]


def _pairs_in(
    mosaic: IntArray,
    rows: IntArray,
    probability: NDArray[np.floating],
    wanted: IntArray,
    dimension: int,
    threshold: float,
) -> IntArray:
    """`_costly_pairs` of the patches of a mosaic, which should have so many features each."""
    values = probability[mosaic]
    birth, death = persistence_pairs(values, dimension, values <= 1)  # a NaN does not count either
    patch = np.searchsorted(rows, birth // values[0].size, side="right") - 1
    at = mosaic.reshape(-1)
    birth, death = at[birth], np.where(death < 0, -1, at[death])
    persistence = probability[birth] - np.where(death < 0, 0, probability[death])
    order = np.lexsort((birth, -persistence, patch))
    patch = patch[order]
    place = np.arange(order.size) - np.searchsorted(patch, patch)  # among those of its patch
    stays = place < wanted[patch]
    return np.stack([birth[order], death[order], stays])[:, stays | (persistence[order] > threshold)]


def _squares(probability: Tensor, pairs: Tensor) -> Tensor:
    """Sum of squared differences of the probabilities at births and deaths from what they should be."""
    ends, stays = pairs[:2], pairs[2] == 1
    at_voxel = ends >= 0
    values = torch.where(at_voxel, probability[ends.clamp_min(0)], 0)
    middle = torch.where(at_voxel.all(0), values.detach().mean(0), 0)
    aims = torch.stack([torch.where(stays, 1, middle), torch.where(stays, 0, middle)])
    return ((values - aims) ** 2).sum()


class TopologicalLoss(nn.Module):
    """`topological_loss` as a loss of nnU-Net: ``loss(logits, target)``, to be added to another one.

    Parameters
    ----------
    patch_size, holes, threshold
        As in `topological_loss`.
    regions : bool
        Whether targets are binary region channels.
    ignore_label : int, optional
        Label of voxels without annotation (with `regions`: their mask is the target's last channel).

    Examples
    --------
    A false component, p = 0.6, 0.5 above its surroundings, costs half of 0.5²; the true one, p = 0.9, 0.1²:

    >>> p = torch.tensor([[[[0.9, 0.9, 0.1, 0.1, 0.1, 0.6]]]])
    >>> target = torch.tensor([[[[1, 1, 0, 0, 0, 0]]]])
    >>> TopologicalLoss()(torch.cat([(1 - p).log(), p.log()], 1), target)
    tensor(0.1350)
    """

    def __init__(
        self,
        patch_size: PatchSize = None,
        holes: bool = False,
        threshold: float = 0.03,
        *,
        regions: bool = False,
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.holes = holes
        self.threshold = threshold
        self.regions = regions
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of `logits` (B, C, *spatial) and nnU-Net's `target` for them."""
        labels, mask = split_target(target, regions=self.regions, ignore_label=self.ignore_label)
        return topological_loss(logits, labels, self.patch_size, self.holes, self.threshold, mask)

    def extra_repr(self) -> str:
        """What is shown in nnU-Net's debug.json."""
        return (
            f"patch_size={self.patch_size}, holes={self.holes}, threshold={self.threshold}, "
            f"regions={self.regions}, ignore_label={self.ignore_label}"
        )
