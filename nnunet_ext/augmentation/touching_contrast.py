"""Contrast of the touching zone between cells, from vanished to doubled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from batchgeneratorsv2.transforms.base.basic_transform import ImageOnlyTransform
from torch import Tensor

WINDOW = 32  # voxels along each axis: about a cell and its neighbours
_INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


def modulate_touching_contrast(
    image: Tensor,
    labels: Tensor,
    factor: float,
    *,
    cell: int = 1,
    touching: int = 2,
    background: int = 0,
    window: int = WINDOW,
) -> Tensor:
    """Blend the touching zones of an image towards the cells around them, or away from them.

    .. math:: I'(v) = I(v) + a \\, (M(v) - I(v)) \\quad \\text{where } v \\text{ is touching}

    with M the local median of the cells and a the factor; I' is not darker than the background's median
    (or than I, where that was darker already).

    Parameters
    ----------
    image : Tensor
        Floating (C, *spatial), one to three spatial axes.
    labels : Tensor
        Integer (*spatial).
    factor : float
        In [-1, 1]: 1 gives touching voxels the cells' intensity, so that nothing sets the cells apart; 0
        changes nothing; -1 doubles the contrast.
    cell, touching, background : int
        Labels of the classes.
    window : int
        Width in voxels of the blocks whose medians are taken, and interpolated in between. A block without
        cells has the median of all cells.

    Returns
    -------
    Tensor
        A new image; `image` itself where there is no touching or no cell voxel.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    References
    ----------
    Touching contrast modulation of Guerrero-Peña et al. (ICIP 2018) as used in "J regularization improves
    imbalanced multiclass segmentation" (ISBI 2020). The papers leave open what the local median runs over.
    """
    if image.shape[1:] != labels.shape:
        raise ValueError(
            f"we expect labels of the image's spatial shape; got {tuple(labels.shape)} "
            f"for {tuple(image.shape)}"
        )
    zone, cells = labels == touching, labels == cell
    if factor == 0 or not bool(zone.any()) or not bool(cells.any()):
        return image
    outside = labels == background
    result = image.clone()
    for old, new in zip(image, result, strict=True):
        values = old[zone]
        blended = values + factor * (_local_median(old, cells, window)[zone] - values)
        if bool(outside.any()):
            blended = torch.maximum(blended, values.clamp(max=old[outside].median()))
        new[zone] = blended
    return result


def _local_median(channel: Tensor, cells: Tensor, window: int) -> Tensor:
    """Median of the cell voxels in blocks, interpolated linearly to every voxel."""
    sizes = [min(window, size) for size in channel.shape]
    values = channel.where(cells, torch.nan)
    padding = [pad for size, w in zip(channel.shape, sizes, strict=True) for pad in (-size % w, 0)]
    blocks = F.pad(values, padding[::-1], value=torch.nan)
    padded = blocks.shape
    for axis, width in enumerate(sizes):
        blocks = blocks.unfold(axis, width, width)
    medians = blocks.flatten(channel.dim()).nanmedian(dim=-1).values
    medians = medians.where(~medians.isnan(), channel[cells].median())
    fine = F.interpolate(medians[None, None], size=padded, mode=_INTERPOLATION[channel.dim()])[0, 0]
    return fine[tuple(slice(size) for size in channel.shape)]


class TouchingContrastTransform(ImageOnlyTransform):
    """`modulate_touching_contrast` by a random factor, the same for all channels.

    Drawn from NumPy's global state, which batchgenerators seeds anew in every loader worker. PyTorch's is the
    one that all of them were forked with: their draws would be the same.

    Parameters
    ----------
    cell, touching, background : int
        Labels of the classes in the first channel of the segmentation.
    factors : (float, float)
        Range of the factor, drawn uniformly.
    window : int
        Width in voxels of the blocks whose medians are taken.
    probability : float
        How often a sample is changed at all.
    """

    def __init__(
        self,
        cell: int = 1,
        touching: int = 2,
        background: int = 0,
        factors: tuple[float, float] = (-1.0, 1.0),
        window: int = WINDOW,
        probability: float = 1.0,
    ) -> None:
        super().__init__()
        self.labels = {"cell": cell, "touching": touching, "background": background}
        self.factors = factors
        self.window = window
        self.probability = probability

    def get_parameters(self, **data_dict: Any) -> dict[str, Any]:
        """Draw the factor; batchgeneratorsv2 hands it to `apply` with the labels of this sample."""
        chosen = np.random.uniform() < self.probability
        factor = np.random.uniform(*self.factors) if chosen else 0.0
        return {"factor": factor, "segmentation": data_dict["segmentation"]}

    def _apply_to_image(self, img: Tensor, *, factor: float, segmentation: Tensor, **params: Any) -> Tensor:
        return modulate_touching_contrast(img, segmentation[0], factor, **self.labels, window=self.window)
