"""Same-class neighbour penalisation (SCNP): every logit answers for its worst same-class neighbour."""

from __future__ import annotations

import math
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nnunet_ext.losses.arguments import check_labels, check_tensors, split_target
from nnunet_ext.losses.worst_neighbor import position_bits, scatter, select

_NARROWEST, _WIDEST = 3, 31  # of windows that trainers take


class _WorstNeighbor(torch.autograd.Function):
    """`select` forward, `scatter` backward; two bytes per logit are kept in between."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, mask: Tensor | None, neighborhood: int) -> Tensor:
        values, positions = select(logits, target, mask, neighborhood)
        ctx.save_for_backward(positions)
        ctx.neighborhood = neighborhood
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (positions,) = ctx.saved_tensors
        return scatter(gradient, positions, ctx.neighborhood), None, None, None


def recommended_neighborhood(thickness: float) -> int:
    """Return the window for structures of a thickness: the largest odd width within it, from 3 to 31.

    Parameters
    ----------
    thickness : float
        In voxels of the images that are trained with, which nnU-Net resamples; as `median_thickness` of
        `nnunet_ext.metrics` measures it.

    Returns
    -------
    int
        For `SCNPLoss`, or for ``_w<n>`` in the name of a trainer.

    Raises
    ------
    ValueError
        If the thickness is not a number above 0.

    References
    ----------
    Valverde et al. CVPR 2026, arXiv:2603.18671, Table 1, of one dataset in three sizes: for vessels 9.69,
    7.23 and 4.70 pixels thick the best of the widths 3 to 11 were 9, 7 and 5 to 7. The rule is ours and errs
    on the narrow side: of the last it makes 3 (β0 error 8.57; 5: 7.79), while too wide is worse (11: 18.65).

    Examples
    --------
    >>> [recommended_neighborhood(thickness) for thickness in (9.69, 7.23, 4.70, 1.88)]
    [9, 7, 3, 3]
    """
    if not 0 < thickness < math.inf:
        raise ValueError(f"thickness is a number of voxels above 0; got {thickness!r}")
    whole = int(thickness)
    return min(max(whole - 1 + whole % 2, _NARROWEST), _WIDEST)


def _check_width(neighborhood: SupportsIndex, ndim: int) -> int:
    if isinstance(neighborhood, bool) or not hasattr(neighborhood, "__index__"):
        raise TypeError(f"neighborhood is an odd whole number of voxels; got {neighborhood!r}")
    width = int(neighborhood)
    if width < 1 or width % 2 == 0:
        raise ValueError(f"neighborhood is an odd number of voxels, 1 or more; got {width}")
    position_bits(width, ndim)
    return width


@torch.compiler.disable  # hand-written forward and backward: nothing for the compiler to fuse
def same_class_neighbor_penalization(
    logits: Tensor, target: Tensor, neighborhood: SupportsIndex = 3, mask: Tensor | None = None
) -> Tensor:
    r"""Replace each logit by the worst one among its neighbours of the same class.

    In channel c, with Y_c the voxels of class c and N(v) the window centred on v:

    .. math::
        \tilde z_c(v) = \min_{u \in N(v),\, Y_c(u)=1} z_c(u) \text{ where } Y_c(v)=1, \quad
        \tilde z_c(v) = \max_{u \in N(v),\, Y_c(u)=0} z_c(u) \text{ where } Y_c(v)=0

    Its gradient goes to the one voxel that won; among equal logits any may win.

    Parameters
    ----------
    logits : Tensor
        Floating (B, C, *spatial), one to three spatial axes.
    target : Tensor
        Integer labels (B, 1, *spatial), background included among the C classes, or binary channels
        shaped like `logits` (regions; also what a single channel is taken for).
    neighborhood : int
        Odd window width in voxels along every axis. 1 returns the logits; a window that reaches over the
        border, or is larger than the image, is clipped.
    mask : Tensor, optional
        bool (B, 1, *spatial), True where a voxel counts. Others keep their logit and take no part.

    Returns
    -------
    Tensor
        Penalised logits, shape and dtype of `logits`. A class that is absent from the patch is all
        background in its channel: each logit becomes the largest of its window. NaN and infinities pass on
        like any logit: a NaN to every window of its class that it is in.

    Raises
    ------
    TypeError, ValueError
        If `neighborhood` is not a positive odd integer or is beyond 127 (2D) or 31 (3D), or if the shapes
        or dtypes do not fit.
    IndexError
        If a counted voxel has a label that is no class (on the CPU).

    References
    ----------
    Valverde, Papadopoulos, Larsen, Dahl. Towards High-Quality Image Segmentation: Improving Topology
    Accuracy by Penalizing Neighbor Pixels. CVPR 2026, arXiv:2603.18671, Eq. 1.

    Examples
    --------
    One weak pixel (0.) inside a line of foreground pulls both its neighbours down:

    >>> logits = torch.tensor([[[4.0, 5.0, 0.0, 5.0, 4.0]]])
    >>> same_class_neighbor_penalization(logits, torch.ones(1, 1, 5))
    tensor([[[4., 0., 0., 0., 4.]]])
    """
    check_tensors(logits, target, mask)
    if target.shape != logits.shape:
        check_labels(target, logits.shape[1], mask)
    width = _check_width(neighborhood, logits.dim() - 2)
    if width == 1 or logits.numel() == 0:
        return logits
    if logits.device.type == "mps":  # has no float64
        on_cpu = (None if t is None else t.cpu() for t in (logits, target, mask))
        return _WorstNeighbor.apply(*on_cpu, width).to(logits.device)
    return _WorstNeighbor.apply(logits, target, mask, width)


class SCNP(nn.Module):
    """`same_class_neighbor_penalization` as a module: ``scnp(logits, target, mask=None)``."""

    def __init__(self, neighborhood: int = 3) -> None:
        super().__init__()
        self.neighborhood = neighborhood

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Penalise `logits`; shapes as in `same_class_neighbor_penalization`."""
        return same_class_neighbor_penalization(logits, target, self.neighborhood, mask)

    def extra_repr(self) -> str:
        """What is shown in nnU-Net's debug.json."""
        return f"neighborhood={self.neighborhood}"


class SCNPLoss(nn.Module):
    """Any loss on SCNP logits: L(z̃), or with `joint` L(z) + L(z̃).

    Parameters
    ----------
    base_loss : nn.Module
        Called as ``base_loss(logits, target)``, as nnU-Net calls its losses; with whatever else this loss is
        called with, such as a weight map, behind that.
    neighborhood : int
        Window width in voxels; the same at every scale of deep supervision.
    joint : bool
        Add the loss on the plain logits.
    regions : bool
        Whether targets are binary region channels.
    ignore_label : int, optional
        Label of voxels without annotation (with `regions`: their mask is the target's last channel).
    """

    def __init__(
        self,
        base_loss: nn.Module,
        neighborhood: int = 3,
        joint: bool = False,
        *,
        regions: bool = False,
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        self.base_loss = base_loss
        self.scnp = SCNP(neighborhood)
        self.joint = joint
        self.regions = regions
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor, *maps: Tensor) -> Tensor:
        """Scalar loss of `logits` (B, C, *spatial), nnU-Net's `target` for them, and what the base takes."""
        labels, mask = split_target(target, regions=self.regions, ignore_label=self.ignore_label)
        loss = self.base_loss(self.scnp(logits, labels, mask), target, *maps)
        return loss + self.base_loss(logits, target, *maps) if self.joint else loss
