"""Volumes: values that are not finite, and resampling onto other voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nifti_files import noise

from nnunet_ext.dataset_conversion import Grid, Image, Note, fill, resample

FILE = Path("a.png")
LPS = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def test_fill() -> None:
    pixels = np.array([1, np.nan, -np.inf], np.float32)
    filled, notes = fill(pixels, FILE, -5)
    assert filled.tolist() == [1, -5, -5]
    assert filled.dtype == np.float32
    assert notes == (Note("filled", "a.png: 2 voxels that are not finite, set to -5"),)
    assert np.isnan(pixels[1])
    assert fill(np.array([1, 2]), FILE)[1] == ()


def test_resampling_onto_the_same_voxels_in_another_order() -> None:
    pixels = noise(50)[None]
    there = Grid((2.0, 0.5, 0.4), (0.0, 0.0, 0.0), LPS)
    turned = Grid((2.0, 0.5, 0.4), (19 * 0.4, 0.0, 0.0), (-1.0, *LPS[1:]))
    moved = resample(Image(pixels, turned), there, pixels.shape[1:])
    np.testing.assert_allclose(moved.pixels, pixels[..., ::-1], rtol=1e-5)
    with pytest.raises(ValueError, match="We expect a grid with spacing, origin and direction"):
        resample(Image(pixels, Grid()), there, pixels.shape[1:])
