"""Exact selection of the worst same-class neighbour in a window, with its position.

The usual way pools a masked copy of the logits over the dense w^d window and stores two int64 index
maps. Here a window maximum runs along one axis after the other, in O(log w) steps each, and the winner's
position travels inside the number that is compared: a float32 fits into a float64 with 29 bits to spare,
so the position goes into the lowest bits of its mantissa. They are too small to change which of two
different float32 is larger, and converting back to float32 rounds them away. Equal logits are told apart
by position; any of them is a valid winner. A zero has no mantissa to hold a position: it is lifted to
2^-250, far below the smallest float32, so that this works where subnormal numbers are flushed to zero, too.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

POSITION_BITS = 15  # of an int16, sign bit unused
# Stands for an infinite logit, whose mantissa has no room for a position; becomes infinite again in float32.
INFINITE = 2.0**129
TINY = 2.0**-250
# Logits worked on at once: what fits the caches of a CPU, and bounds the extra memory of a GPU.
BLOCK_VOXELS = {"cpu": 2**18, "cuda": 2**22}


def position_bits(neighborhood: int, ndim: int) -> int:
    """Bits per axis that tell the positions inside one window apart.

    Raises
    ------
    ValueError
        If they do not fit two bytes (w > 127 in 2D, w > 31 in 3D).
    """
    bits = (neighborhood - 1).bit_length()
    if bits * ndim > POSITION_BITS:
        largest = 2 ** (POSITION_BITS // ndim) - 1
        raise ValueError(f"neighborhood {neighborhood} is too large in {ndim}D; the largest is {largest}")
    return bits


def _blocks(logits: Tensor) -> Iterator[tuple[slice, slice]]:
    """Slices over batch and channel, each block about as large as the device works on at once."""
    batch, channels = logits.shape[:2]
    budget = BLOCK_VOXELS.get(logits.device.type, BLOCK_VOXELS["cuda"])
    planes = max(1, budget // max(1, logits.shape[2:].numel()))
    samples = max(1, planes // channels)
    step = min(planes, channels)
    for b in range(0, batch, samples):
        for c in range(0, channels, step):
            yield slice(b, b + samples), slice(c, c + step)


def _block_positives(target: Tensor, logits: Tensor, block: tuple[slice, slice]) -> Tensor:
    """Where a block's voxels belong to the channel's class: bool, shaped like the block of logits."""
    samples, channels = block
    if target.shape == logits.shape:
        return target[samples, channels] > 0.5
    index = torch.arange(channels.start, min(channels.stop, logits.shape[1]), device=target.device)
    return target[samples] == index.view(1, -1, *[1] * (target.dim() - 2))


def _axis_view(vector: Tensor, axis: int, ndim: int) -> Tensor:
    """A 1D tensor laid along one of `ndim` trailing axes."""
    return vector.view(-1, *[1] * (ndim - 1 - axis))


def _own_positions(shape: torch.Size, bits: int, device: torch.device) -> Tensor:
    """int64 map over `shape`: each axis' coordinate modulo 2^bits, packed side by side."""
    packed = torch.zeros(shape, dtype=torch.int64, device=device)
    for axis, size in enumerate(shape):
        digit = torch.arange(size, device=device) % 2**bits
        packed |= _axis_view(digit << (axis * bits), axis, len(shape))
    return packed


def _window_max(x: Tensor, axis: int, width: int) -> Tensor:
    """Maximum over `width` consecutive entries along an axis, by doubling the span; shortens the axis."""
    length = x.shape[axis] - width + 1
    span = 1
    while 2 * span <= width:
        kept = x.shape[axis] - span
        x = torch.maximum(x.narrow(axis, 0, kept), x.narrow(axis, span, kept))
        span *= 2
    if span < width:
        x = torch.maximum(x.narrow(axis, 0, length), x.narrow(axis, width - span, length))
    return x


def _worst_in_window(keys: Tensor, member: Tensor, sign: int, radius: int) -> Tensor:
    """Largest (sign 1) or smallest (sign -1) member key in each window; non-members take no part."""
    # A window need not reach further than the image does.
    radii = [min(radius, size - 1) for size in keys.shape[2:]]
    padding = [reach for r in reversed(radii) for reach in (r, r)]
    pooled = F.pad(torch.where(member, sign * keys, -torch.inf), padding, value=-torch.inf)
    for axis, r in enumerate(radii, start=2):
        pooled = _window_max(pooled, axis, 2 * r + 1)
    return sign * pooled


def _select_block(
    logits: Tensor, positive: Tensor, mask: Tensor | None, radius: int, own: Tensor
) -> tuple[Tensor, Tensor]:
    """Penalised logits and the packed winner positions (int16) of one block."""
    if logits.dtype == torch.float64:  # no bits to spare: compare ranks instead
        levels, ranks = torch.unique(logits, return_inverse=True)
        keys = ranks.double().add_(1).masked_fill_(logits.isnan(), torch.nan)  # a NaN has a rank, too
    else:
        keys = logits.double().clamp_(-INFINITE, INFINITE).add_(TINY)
    bits = keys.view(torch.int64)
    bits |= own
    negative = ~positive
    lowest = _worst_in_window(keys, positive if mask is None else positive & mask, -1, radius)
    highest = _worst_in_window(keys, negative if mask is None else negative & mask, 1, radius)
    winners = torch.where(positive, lowest, highest)
    if mask is not None:
        winners = torch.where(mask, winners, keys)
    positions = (winners.view(torch.int64) & (2**POSITION_BITS - 1)).to(torch.int16)
    if logits.dtype != torch.float64:
        return winners.to(logits.dtype), positions
    unknown = winners.isnan()
    values = levels[winners.masked_fill(unknown, 1).long() - 1].masked_fill_(unknown, torch.nan)
    return values, positions


def select(logits: Tensor, target: Tensor, mask: Tensor | None, neighborhood: int) -> tuple[Tensor, Tensor]:
    """Replace every logit by its worst same-class neighbour.

    Parameters
    ----------
    logits : Tensor
        Floating (B, C, *spatial), d spatial axes.
    target : Tensor
        Integer labels (B, 1, *spatial) or binary channels shaped like the logits.
    mask : Tensor or None
        bool (B, 1, *spatial); voxels that are False keep their logit and are nobody's neighbour.
    neighborhood : int
        Odd window width in voxels; windows are clipped at the image border.

    Returns
    -------
    values : Tensor
        Penalised logits, dtype and shape of `logits`.
    positions : Tensor
        int16, shaped like `logits`: where each value came from, for `scatter`.
    """
    shape = logits.shape[2:]
    bits = position_bits(neighborhood, len(shape))
    own = _own_positions(shape, bits, logits.device)
    values = torch.empty_like(logits, memory_format=torch.contiguous_format)
    positions = torch.empty(logits.shape, dtype=torch.int16, device=logits.device)
    for block in _blocks(logits):
        counted = None if mask is None else mask[block[0]]
        positive = _block_positives(target, logits, block)
        values[block], positions[block] = _select_block(
            logits[block], positive, counted, neighborhood // 2, own
        )
    return values, positions


def _winner_index(positions: Tensor, neighborhood: int) -> Tensor:
    """Flat spatial index (int64) of each voxel's winner, from its position modulo 2^bits along each axis."""
    shape = positions.shape[2:]
    bits = position_bits(neighborhood, len(shape))
    radius = neighborhood // 2
    index = torch.arange(shape.numel(), device=positions.device).view(shape).expand(positions.shape)
    index = index - radius * sum(shape[axis + 1 :].numel() for axis in range(len(shape)))
    for axis, size in enumerate(shape):
        first = _axis_view(torch.arange(size, device=positions.device) - radius, axis, len(shape))
        steps = ((positions >> (axis * bits)) - first.to(torch.int16)) & (2**bits - 1)
        index.add_(steps, alpha=shape[axis + 1 :].numel())  # in int64: the products outgrow int16
    # A NaN logit loses its position on the way; wherever its gradient goes, it must land inside the image.
    return index.clamp_(0, shape.numel() - 1)


def scatter(gradient: Tensor, positions: Tensor, neighborhood: int) -> Tensor:
    """Send the gradient of every penalised logit to the logit that won; the transpose of `select`."""
    result = torch.empty_like(gradient, memory_format=torch.contiguous_format)
    for block in _blocks(gradient):
        source = gradient[block]
        index = _winner_index(positions[block], neighborhood).flatten(2)
        # Many voxels may share a winner: add up half precision in float32.
        dtype = torch.float32 if source.dtype in (torch.float16, torch.bfloat16) else source.dtype
        total = torch.zeros(index.shape, dtype=dtype, device=source.device)
        total.scatter_add_(2, index, source.flatten(2).to(dtype))
        result[block] = total.view(source.shape)
    return result
