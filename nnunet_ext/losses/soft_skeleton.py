"""The soft skeleton of clDice, and its gradient in little memory.

With I the probabilities, erosion the minimum of a voxel and its neighbours along the axes, dilation the
maximum of its 3^d neighbourhood, and opening an erosion before a dilation, the definition is
S = relu(I - open(I)), then k times I ← erode(I), δ = relu(I - open(I)), S ← S + relu(δ - S δ). Used here is
that

* the erosion within the opening is the next I, so it is done once;
* all δ of a voxel add up to at most 1, since each I is at most the opening before it: nothing leaves
  [0, 1], and 1 - S is the product of all 1 - δ;
* every value of every step is one of the probabilities. Together with where it comes from it is one whole
  number, of which minima and maxima are taken. So the gradient of a δ goes to two voxels at once, not back
  through the steps. Autograd would keep several hundred bytes for a probability at k = 10; here nothing but
  the probabilities and their skeleton is kept, and each step is forgotten once it was done.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Place = tuple[slice, ...]
# Voxels worked on at once, but at least one map: on a CPU as many as its caches hold; on a GPU a bounded
# extra, in the backward pass about 50 bytes for each.
VOXELS_AT_ONCE = {"cpu": 1, "cuda": 2**21}
LOW, HIGH = (0, 1) if sys.byteorder == "little" else (1, 0)  # the halves of a whole number of 64 bits


def _sides(axis: int) -> Iterator[tuple[Place, Place]]:
    """Where the voxels are that have a neighbour along an axis, and these neighbours; before, then behind."""
    before = (slice(None),) * axis
    first, last = (*before, slice(None, -1)), (*before, slice(1, None))
    yield last, first
    yield first, last


def _erode(x: Tensor) -> Tensor:
    """Minimum of every voxel of (N, *spatial) and its neighbours along the axes."""
    result = x.clone()
    for axis in range(1, x.dim()):
        for here, beside in _sides(axis):
            torch.minimum(result[here], x[beside], out=result[here])
    return result


def _widen(x: Tensor, axis: int) -> Tensor:
    """Maximum of every voxel and its two neighbours along an axis."""
    result = x.clone()
    for here, beside in _sides(axis):
        torch.maximum(result[here], x[beside], out=result[here])
    return result


def _dilate(x: Tensor) -> Tensor:
    """Maximum of the 3^d neighbourhood, one axis after the other."""
    for axis in range(1, x.dim()):
        x = _widen(x, axis)
    return x


class _Origins:
    """Whole numbers in the order of probabilities, each of which also says where its probability is.

    Of float32 the upper half is the probability itself, whose bits, as those of a whole number, have the same
    order from 0 on, and the lower half its flat index. Of float64, it is the rank.
    """

    def __init__(self, x: Tensor) -> None:
        flat = x.flatten()
        self._ranked = None if x.dtype == torch.float32 else flat.sort(stable=True)
        places = torch.arange(x.numel(), device=x.device)
        if self._ranked is None:
            keys = flat.view(torch.int32).long() << 32 | places
        else:
            keys = torch.empty_like(places)
            keys[self._ranked.indices] = places
        self.keys = keys.view(x.shape)

    def values(self, keys: Tensor) -> Tensor:
        """The probabilities, flat."""
        if self._ranked is None:
            return keys.flatten().view(torch.float32)[HIGH::2]
        return self._ranked.values[keys.flatten()]

    def places(self, keys: Tensor) -> Tensor:
        """Flat indices of the probabilities."""
        if self._ranked is None:
            return keys.flatten().view(torch.int32)[LOW::2]
        return self._ranked.indices[keys.flatten()]


def _forward(x: Tensor, steps: int) -> Tensor:
    """The skeleton of (N, *spatial) probabilities, or of a mask of 0 and 1 in an integer type."""
    rest = torch.ones_like(x)
    for _ in range(steps + 1):
        eroded = _erode(x)
        rest *= 1 - (x - torch.minimum(x, _dilate(eroded)))
        x = eroded
    return 1 - rest


def _backward(x: Tensor, skeleton: Tensor, steps: int, gradient: Tensor) -> Tensor:
    """The gradient of the probabilities `x` from that of their skeleton."""
    origins, result, gradient = _Origins(x), torch.zeros_like(x).flatten(), gradient.flatten()
    current, rest = origins.keys, 1 - skeleton.flatten()
    for _ in range(steps + 1):
        eroded = _erode(current)
        opened = _dilate(eroded)
        thin = (origins.values(current) - origins.values(opened)).relu_()
        others = torch.where(thin < 1, rest / (1 - thin), 1)  # product of the other 1 - δ
        share = others.mul_(gradient).mul_(thin > 0)
        result.index_add_(0, origins.places(current), share)
        result.index_add_(0, origins.places(opened), share, alpha=-1)
        current = eroded
    return result.view(x.shape)


def _parts(x: Tensor) -> Iterator[slice]:
    """The maps of (N, *spatial) in groups, one of which is worked on at a time."""
    at_once = VOXELS_AT_ONCE.get(x.device.type, VOXELS_AT_ONCE["cuda"])
    maps = max(1, at_once // max(1, x[:1].numel()))
    yield from (slice(n, n + maps) for n in range(0, len(x), maps))


class _SoftSkeleton(torch.autograd.Function):
    """`soft_skeleton` of (N, *spatial); its input and output are all that is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: int) -> Tensor:
        result = torch.empty_like(x, memory_format=torch.contiguous_format)
        for part in _parts(x):
            result[part] = _forward(x[part], steps)
        ctx.save_for_backward(x, result)
        ctx.steps = steps
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, skeleton = ctx.saved_tensors
        result = torch.empty_like(x, memory_format=torch.contiguous_format)
        for part in _parts(x):
            result[part] = _backward(x[part], skeleton[part], ctx.steps, gradient[part])
        return result, None


@torch.compiler.disable  # hand-written forward and backward
def soft_skeleton(probabilities: Tensor, steps: int = 10) -> Tensor:
    """Centre lines of probability maps, differentiable.

    Parameters
    ----------
    probabilities : Tensor
        Floating (B, C, *spatial), from 0 to 1; or a mask of 0 and 1, uint8, of which there is no gradient.
    steps : int
        k, 0 or more: erosions. What is thicker than 2k + 2 voxels has no skeleton in its middle.

    Returns
    -------
    Tensor
        Shape and dtype of `probabilities`, from 0 to 1. Half precision is computed in float32.

    Raises
    ------
    TypeError, ValueError
        If `probabilities` are of another type or have no spatial axes, or (on a CPU) are not from 0 to 1, or
        if `steps` is below 0.

    Notes
    -----
    Voxels beyond the border are left out of every minimum and maximum. Where several voxels share an
    extremum, the gradient goes to one of them.

    References
    ----------
    Shit, Paetzold et al. clDice: a novel topology-preserving loss function for tubular structure
    segmentation. CVPR 2021, arXiv:2003.07311, algorithm 1.

    Examples
    --------
    A bar of three rows, less sure at its right end:

    >>> row = [0.9, 0.9, 0.9, 0.6]
    >>> soft_skeleton(torch.tensor([[[[0.0] * 4, row, row, row, [0.0] * 4]]]), 1)
    tensor([[[[0.0000, 0.0000, 0.0000, 0.0000],
              [0.0000, 0.0000, 0.0000, 0.0000],
              [0.9000, 0.9000, 0.6000, 0.6000],
              [0.0000, 0.0000, 0.0000, 0.0000],
              [0.0000, 0.0000, 0.0000, 0.0000]]]])
    """
    if not probabilities.is_floating_point() and probabilities.dtype != torch.uint8:
        raise TypeError(f"probabilities are floating, or a mask in uint8; got {probabilities.dtype}")
    if probabilities.dim() < 3:
        raise ValueError(f"probabilities are (B, C, *spatial); got {tuple(probabilities.shape)}")
    if steps < 0:
        raise ValueError(f"steps is 0 or more; got {steps}")
    if probabilities.device.type == "cpu" and probabilities.numel():
        low, high = (each.item() for each in probabilities.detach().aminmax())
        if low < 0 or high > 1:
            raise ValueError(f"probabilities are from 0 to 1; got {low:.9g} to {high:.9g}. Are these logits?")
    flat = probabilities.flatten(0, 1)
    if probabilities.is_floating_point():
        single = flat.to(torch.promote_types(flat.dtype, torch.float32))
        return _SoftSkeleton.apply(single, steps).to(flat.dtype).view(probabilities.shape)
    result = torch.empty_like(flat, memory_format=torch.contiguous_format)
    for part in _parts(flat):
        result[part] = _forward(flat[part], steps)
    return result.view(probabilities.shape)
