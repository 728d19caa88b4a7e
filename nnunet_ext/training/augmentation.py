"""Putting a transform into nnU-Net's augmentation without restating its list."""

from __future__ import annotations

from collections.abc import Sequence

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform

_SPATIAL = (SpatialTransform, Convert2DTo3DTransform)


def insert_after_spatial(pipeline: ComposeTransforms, extra: Sequence[BasicTransform]) -> ComposeTransforms:
    """Insert transforms where image and labels have their final geometry and no intensity has changed yet.

    Parameters
    ----------
    pipeline : ComposeTransforms
        nnU-Net's training transforms; changed in place.
    extra : sequence of BasicTransform
        See image (C, *spatial) and segmentation (1 or more, *spatial) as nnU-Net's own transforms do: labels
        as integers, -1 outside of the image, regions not yet made.

    Returns
    -------
    ComposeTransforms
        `pipeline`.

    Raises
    ------
    RuntimeError
        If there is no spatial transform to come after.
    """
    if not extra:
        return pipeline
    positions = [i for i, transform in enumerate(pipeline.transforms) if isinstance(transform, _SPATIAL)]
    if not positions:
        raise RuntimeError("nnU-Net's augmentation has no spatial transform; we expect one to come after.")
    place = positions[-1] + 1
    pipeline.transforms[place:place] = extra
    return pipeline
