"""The multi-level activation: one channel for a chain of nested classes, and three losses on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor

from nnunet_ext.losses.arguments import check_tensors, known_labels
from nnunet_ext.losses.reduction import mean_over_counted

SHARPNESS = 10.0  # t of NCE's softplus


def multi_level_activation(x: Tensor, levels: int, steepness: float = 10.0, spacing: float = 1.0) -> Tensor:
    r"""Stack `levels` sigmoids into stairs from 0 to `levels`.

    .. math::
        a(x) = \sum_{n=1}^{m} \sigma\left(\kappa \left[x + h \left(n - \tfrac{m+1}{2}\right)\right]\right)

    Parameters
    ----------
    x : Tensor
        Floating, any shape: a network's output.
    levels : int
        m, number of nested classes without the background, 1 or more. With 1 it is a sigmoid of κx.
    steepness : float
        κ, slope of the steps.
    spacing : float
        h, distance of the steps.

    Returns
    -------
    Tensor
        float32 (float64 of float64), the shape of `x`, from 0 to m.

    References
    ----------
    Piraud, Sekuboyina, Menze. Multi-level Activation for Segmentation of Hierarchically-nested Classes. ECCV
    Workshops 2018, Eq. 1.

    Examples
    --------
    >>> multi_level_activation(torch.tensor([-2.0, 0.0, 2.0]), 2).round(decimals=3)
    tensor([0., 1., 2.])
    """
    return torch.sigmoid(_steps(x, levels, steepness, spacing)).sum(0)


def inverse_activation(a: Tensor, levels: int, steepness: float = 10.0, spacing: float = 1.0) -> Tensor:
    """What `multi_level_activation` made `a` from, read off a table.

    Parameters
    ----------
    a : Tensor
        Floating, any shape, from 0 to `levels`; what is outside is taken for the nearest there is.
    levels, steepness, spacing
        As in `multi_level_activation`.

    Returns
    -------
    Tensor
        float32 (float64 of float64), the shape of `a`. Near 0 and `levels`, where sigmoids are saturated, as
        far out as a float32 tells.
    """
    end = spacing * (levels - 1) / 2 + 16 / steepness
    x = torch.linspace(-end, end, 4096, dtype=torch.float64)
    table = multi_level_activation(x, levels, steepness, spacing)
    x, table = x.to(a), table.to(a)
    right = torch.bucketize(a.contiguous(), table).clamp(1, len(x) - 1)
    part = (a - table[right - 1]) / (table[right] - table[right - 1]).clamp(min=1e-30)
    return torch.lerp(x[right - 1], x[right], part.clamp(0, 1))


def _steps(x: Tensor, levels: int, steepness: float, spacing: float) -> Tensor:
    """(levels, *x.shape) arguments of the sigmoids."""
    if levels < 1 or steepness <= 0 or spacing <= 0:
        raise ValueError(
            f"levels is 1 or more, steepness and spacing above 0; got {levels}, {steepness}, {spacing}"
        )
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    shifts = [spacing * (n - (levels + 1) / 2) for n in range(1, levels + 1)]
    return torch.stack([steepness * (x + shift) for shift in shifts])


class Activation:
    """The activation a, and the logarithms of a and of levels - a, exact where a float has no room for a.

    Parameters
    ----------
    x : Tensor
        A network's output.
    levels, steepness, spacing
        As in `multi_level_activation`.
    """

    def __init__(self, x: Tensor, levels: int, steepness: float, spacing: float) -> None:
        self.levels = levels
        self._steps = _steps(x, levels, steepness, spacing)

    @cached_property
    def value(self) -> Tensor:
        """What it is."""
        return torch.sigmoid(self._steps).sum(0)

    @cached_property
    def log(self) -> Tensor:
        """Its logarithm."""
        return F.logsigmoid(self._steps).logsumexp(0)

    @cached_property
    def log_rest(self) -> Tensor:
        """The logarithm of what it is short of the number of levels."""
        return F.logsigmoid(-self._steps).logsumexp(0)


Loss = Callable[[Activation, Tensor], Tensor]


def squared_error(activation: Activation, target: Tensor) -> Tensor:
    """(a - y)² of every voxel."""
    return (activation.value - target) ** 2


def modified_entropy(activation: Activation, target: Tensor) -> Tensor:
    """-log P^y(a) of every voxel, P^c = 1 - |a - c| / max(c, m - c)."""
    m = activation.levels
    largest = torch.arange(m + 1, dtype=activation.log.dtype, device=target.device)
    largest = torch.maximum(largest, m - largest)
    top = largest[target]
    below = torch.logaddexp(activation.log, (top - target).log())  # log(a + max - c), a ≤ c
    above = torch.logaddexp(activation.log_rest, (top + target - m).log())
    return top.log() - torch.minimum(below, above)


def normalized_entropy(activation: Activation, target: Tensor) -> Tensor:
    """-log Q^y(a) of every voxel; see `nce`."""
    m, a = activation.levels, activation.value
    below, above = _log_softplus(1 + a - target), _log_softplus(1 + target - a)
    below = torch.where((target == 1) & (m > 1), activation.log, below)
    above = torch.where((target == m - 1) & (m > 1), activation.log_rest, above)
    below = torch.where(target == 0, above, below)
    above = torch.where(target == m, below, above)
    return -torch.minimum(below, above)


def _log_softplus(u: Tensor) -> Tensor:
    """log(log(1 + exp(t u)) / t), where the inner part underflows too."""
    scaled = SHARPNESS * u
    near = F.softplus(scaled.clamp(min=-15.0)).log()
    return torch.where(scaled < -15.0, scaled, near) - log(SHARPNESS)


LOSSES: dict[str, Loss] = {"sse": squared_error, "mce": modified_entropy, "nce": normalized_entropy}


def _mean(
    name: str,
    x: Tensor,
    target: Tensor,
    levels: int,
    steepness: float,
    spacing: float,
    mask: Tensor | None,
    class_weights: Tensor | None = None,
) -> Tensor:
    check_tensors(x, target, mask)
    if x.shape[1] != 1:
        raise ValueError(f"a chain of nested classes has one channel, (B, 1, *spatial); got {tuple(x.shape)}")
    labels = known_labels(target, levels + 1, mask)
    losses = LOSSES[name](Activation(x, levels, steepness, spacing), labels)
    if class_weights is not None:
        losses = losses * class_weights.to(losses)[labels]
    return mean_over_counted(losses, mask)


def sse(
    x: Tensor,
    target: Tensor,
    levels: int,
    steepness: float = 10.0,
    spacing: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """Mean squared error between the multi-level activation and the level.

    Parameters
    ----------
    x : Tensor
        Floating (B, 1, *spatial), the network's output. Half precision is computed in float32.
    target : Tensor
        Integer (B, 1, *spatial), levels from 0, the background, to `levels`, the innermost class.
    levels, steepness, spacing
        As in `multi_level_activation`.
    mask : Tensor, optional
        bool (B, 1, *spatial), True where a voxel counts. Others may carry any target.

    Returns
    -------
    Tensor
        Scalar; the mean over the counted voxels of all processes, 0 if there are none.

    Raises
    ------
    ValueError
        If the shapes or dtypes do not fit.
    IndexError
        If a counted voxel has a level that is none (on the CPU; on a GPU PyTorch stops).

    References
    ----------
    Eq. 2 of the paper, without the minus sign printed there.
    """
    return _mean("sse", x, target, levels, steepness, spacing, mask)


def mce(
    x: Tensor,
    target: Tensor,
    levels: int,
    steepness: float = 10.0,
    spacing: float = 1.0,
    mask: Tensor | None = None,
    class_weights: Tensor | None = None,
) -> Tensor:
    r"""Modified cross-entropy of the multi-level activation.

    .. math::
        L = -\frac{1}{N} \sum_v \omega_{y} \log P^{y}(a), \qquad P^c(a) = 1 - \frac{|a - c|}{\max(c, m - c)}

    Parameters
    ----------
    x, target, levels, steepness, spacing, mask
        As in `sse`.
    class_weights : Tensor, optional
        (levels + 1,), ω of each level; the paper takes all voxels of the training set over those of the
        level. Without them the innermost class comes out too small.

    Returns
    -------
    Tensor
        Scalar, as in `sse`. One level is the binary cross-entropy of a sigmoid.

    Notes
    -----
    Computed from log a and log(m - a): a voxel that is wrong by far keeps its gradient.

    References
    ----------
    Eq. 3 and 4 of the paper, Eq. 3 for any number of levels.
    """
    return _mean("mce", x, target, levels, steepness, spacing, mask, class_weights)


def nce(
    x: Tensor,
    target: Tensor,
    levels: int,
    steepness: float = 10.0,
    spacing: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Normalised cross-entropy of the multi-level activation: −mean log Q^y(a).

    With the softplus :math:`s(u) = \log(1 + e^{tu}) / t`, t = 10,

    .. math::
        Q^0 = s(1 - a), \qquad Q^m = s(a - m + 1), \qquad Q^c = 1 - |a - c|

    for inner classes.

    Parameters
    ----------
    x, target, levels, steepness, spacing, mask
        As in `sse`.

    Returns
    -------
    Tensor
        Scalar, as in `sse`.

    Notes
    -----
    With more than two levels 1 - |a - c| would be 0 on other levels and negative beyond. On a side where that
    can happen it is s(1 - |a - c|) here; next to the outermost and innermost class it is the paper's.

    References
    ----------
    Eq. 5 and 6 of the paper.
    """
    return _mean("nce", x, target, levels, steepness, spacing, mask)


def preset_thresholds(name: str, levels: int) -> list[float]:
    """Where the pseudo-probabilities of a level and of the next one are equal.

    Parameters
    ----------
    name : str
        ``"sse"``, ``"mce"`` or ``"nce"``.
    levels : int
        Number of levels.

    Returns
    -------
    list of float
        θ_1 < … < θ_m: a voxel is of level j or deeper where its activation is θ_j or more.

    Examples
    --------
    >>> preset_thresholds("mce", 2)
    [0.6666666666666666, 1.3333333333333333]
    """
    if name != "mce":
        return [level - 0.5 for level in range(1, levels + 1)]
    largest = [max(c, levels - c) for c in range(levels + 1)]
    return [
        ((c - 1) * largest[c] + c * largest[c - 1]) / (largest[c - 1] + largest[c])
        for c in range(1, levels + 1)
    ]
