"""Resampling onto other voxels, against SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from nnunet_ext.dataset_conversion.base.volumes import resample
from nnunet_ext.images.image import Grid, Image

LPS = tuple(np.eye(3).ravel())


def by_simpleitk(image: Image, grid: Grid, shape: tuple[int, ...]) -> np.ndarray:
    moving = sitk.GetImageFromArray(image.pixels[0])
    reference = sitk.Image([int(edge) for edge in shape[::-1]], sitk.sitkUInt8)
    for target, where in ((reference, grid), (moving, image.grid)):
        target.SetSpacing(where.spacing[::-1])
        target.SetOrigin(where.origin)
        target.SetDirection(where.direction)
    smallest = float(image.pixels.min())
    return sitk.GetArrayFromImage(
        sitk.Resample(moving, reference, sitk.Transform(), sitk.sitkLinear, smallest)
    )


def random_grid(rng: np.random.Generator, upright: bool) -> Grid:
    """Steps and origins are round numbers or not: of the round ones, voxels fall onto the image's border."""
    axes = np.eye(3) if upright else Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    round_ones = rng.random() < 0.5
    spacing = rng.choice([0.5, 1, 2], 3) if round_ones else rng.uniform(0.3, 3, 3)
    origin = rng.integers(-8, 8, 3) / 4 if round_ones else rng.normal(0, 3, 3)
    return Grid(tuple(spacing), tuple(origin), tuple((axes * rng.choice([-1, 1], 3)).ravel()))


@pytest.mark.parametrize("upright", [True, False])
def test_as_simpleitk(upright: bool) -> None:
    reached = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        here, there = random_grid(rng, upright), random_grid(rng, upright)
        shape = tuple(int(edge) for edge in rng.integers(2, 20, 3))
        pixels = rng.normal(0, 100, (1, *rng.integers(2, 20, 3))).astype(np.float32)
        moved = resample(Image(pixels, here), there, shape)
        assert moved.grid == there
        assert moved.pixels.dtype == np.float32
        np.testing.assert_allclose(
            moved.pixels[0], by_simpleitk(Image(pixels, here), there, shape), atol=1e-3, rtol=1e-5
        )
        reached += bool((moved.pixels > pixels.min()).any())
    assert reached > 20


def test_onto_the_same_voxels_in_another_order() -> None:
    pixels = np.random.default_rng(0).normal(50, 2, (1, 12, 24, 20)).astype(np.float32)
    there = Grid((2.0, 0.5, 0.4), (0.0, 0.0, 0.0), LPS)
    turned = Grid((2.0, 0.5, 0.4), (19 * 0.4, 0.0, 0.0), (-1.0, *LPS[1:]))
    moved = resample(Image(pixels, turned), there, pixels.shape[1:])
    np.testing.assert_allclose(moved.pixels, pixels[..., ::-1], rtol=1e-5)
    with pytest.raises(ValueError, match="We expect a grid with spacing, origin and direction"):
        resample(Image(pixels, Grid()), there, pixels.shape[1:])
