"""Region-wise loss: every probability is multiplied with how deep in its class, or how wrong, it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nnunet_ext.losses.arguments import check_tensors, known_labels, split_target
from nnunet_ext.losses.reduction import mean_over_counted


def region_wise_loss(logits: Tensor, target: Tensor, distances: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Region-wise loss with rectified maps, the mean over the counted voxels and all channels.

    .. math::
        L = \frac{1}{|v| C} \sum_{v, c} p_c(v) Z_c(v), \quad
        Z_c(v) = -d_c(v) \text{ inside of class } c, \quad 1 \text{ outside}

    with d the distance to the nearest voxel outside of the class, divided by its largest in the patch.
    Background is a class like any other. Of classes, all that is needed of Z is d of each voxel's own class:
    the sum over c is 1 - p (1 + d), p the probability of the right class.

    Parameters
    ----------
    logits : Tensor
        Floating (B, C, *spatial). Half precision is computed in float32.
    target : Tensor
        Integer labels (B, 1, *spatial), background included among the C classes; or binary channels shaped
        like `logits` (regions; also what a single channel is taken for).
    distances : Tensor
        Floating, shaped like `target`: d, from 0 to 1, as `nnunet_ext.targets.region_distance` makes it; of
        regions each one's own, which outside of it may be anything.
    mask : Tensor, optional
        bool (B, 1, *spatial), True where a voxel counts. Others may carry any label and distance.

    Returns
    -------
    Tensor
        Scalar from -1 to 1, float32 or the dtype of float64 logits; 0 where nothing counts. The mean is that
        of all processes in a distributed training.

    Raises
    ------
    ValueError
        If the shapes or dtypes do not fit.
    IndexError
        If a counted voxel has a label that is no class (on the CPU; on a GPU PyTorch stops).

    References
    ----------
    Valverde, Tohka. Region-wise loss for biomedical image segmentation. Pattern Recognition 2023,
    arXiv:2108.01405, rectified region-wise maps.

    Examples
    --------
    Everything right: at depth 1 and .5, half a point each, with two channels.

    >>> logits = torch.tensor([[[-50.0, 50.0], [50.0, -50.0]]])
    >>> region_wise_loss(logits, torch.tensor([[[1, 0]]]), torch.tensor([[[1.0, 0.5]]]))
    tensor(-0.3750)
    """
    check_tensors(logits, target, mask)
    if distances.shape != target.shape or not distances.is_floating_point():
        raise ValueError(
            f"distances are floating {tuple(target.shape)} like this target; "
            f"got {tuple(distances.shape)} of {distances.dtype}"
        )
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    depth = 1 + distances.to(logits.dtype)
    if target.shape == logits.shape:
        products = logits.sigmoid() * torch.where(target > 0.5, 1 - depth, 1)
        counted = None if mask is None else mask.expand_as(products)
        return mean_over_counted(products, counted)
    labels = known_labels(target, logits.shape[1], mask)
    products = (1 - logits.softmax(1).gather(1, labels) * depth) / logits.shape[1]
    return mean_over_counted(products, mask)


class RegionWiseLoss(nn.Module):
    """`region_wise_loss` as a loss of nnU-Net: ``loss(logits, target, distances)``.

    Parameters
    ----------
    regions : bool
        Whether targets are binary region channels.
    ignore_label : int, optional
        Label of voxels without annotation (with `regions`: their mask is the target's last channel).
    """

    def __init__(self, *, regions: bool = False, ignore_label: int | None = None) -> None:
        super().__init__()
        self.regions = regions
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor, distances: Tensor) -> Tensor:
        """Scalar loss of `logits` (B, C, *spatial), nnU-Net's `target`, and distances shaped like it."""
        labels, mask = split_target(target, regions=self.regions, ignore_label=self.ignore_label)
        return region_wise_loss(logits, labels, distances, mask)

    def extra_repr(self) -> str:
        """What is shown in nnU-Net's debug.json."""
        return f"regions={self.regions}, ignore_label={self.ignore_label}"
