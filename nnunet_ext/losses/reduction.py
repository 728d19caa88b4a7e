"""Sums over the processes of a distributed training, with the gradient that DistributedDataParallel needs."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _AllReduceSum(torch.autograd.Function):
    """Sum over processes, forward and backward."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _AllReduceSum.apply(gradient)


@torch.compiler.disable
def _all_reduce(tensor: Tensor) -> Tensor:
    return _AllReduceSum.apply(tensor)


def sum_over_processes(tensor: Tensor) -> Tensor:
    """Add up a tensor over all processes; the tensor itself where there is only one.

    Every process then has the same loss of the pooled numbers, and its gradient comes back summed over the
    processes. DistributedDataParallel averages parameter gradients afterwards, which together is the gradient
    of one process with the whole batch; nnU-Net's batch Dice follows the same convention.

    Parameters
    ----------
    tensor : Tensor
        Of the same shape and dtype in every process; all of them must call.

    Returns
    -------
    Tensor
        The sum, shape and dtype of `tensor`.

    Examples
    --------
    >>> sum_over_processes(torch.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        return _all_reduce(tensor)
    return tensor


def pooled_mean(total: Tensor, count: Tensor) -> Tensor:
    """Total by count, each summed over all processes first; 0 where nothing counts.

    Parameters
    ----------
    total : Tensor
        Floating scalar.
    count : Tensor
        Scalar, 0 or more: a number of voxels, or the sum of their weights.

    Examples
    --------
    >>> pooled_mean(torch.tensor(6.0), torch.tensor(4))
    tensor(1.5000)
    """
    total, count = sum_over_processes(torch.stack([total, count.to(total.dtype)])).unbind()
    return total / torch.where(count == 0, 1, count)


def mean_over_counted(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of the values that count, over all processes; 0 if none does.

    Parameters
    ----------
    values : Tensor
        Floating, any shape.
    mask : Tensor, optional
        bool, the shape of `values`, True where a value counts. Others may be infinite or NaN.

    Returns
    -------
    Tensor
        Scalar.

    Examples
    --------
    >>> mean_over_counted(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([True, True, False]))
    tensor(2.)
    """
    if mask is None:
        count = values.new_full((), values.numel())  # new_tensor would make a GPU wait
    else:
        values, count = torch.where(mask, values, 0), mask.sum().to(values.dtype)
    return pooled_mean(values.sum(), count)
