"""Grids: positions of voxels, and whether two grids are the same; and the error for an unreadable file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnunet_ext.images.image import Grid, grid_difference, unreadable

TURNED = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
GRID = Grid((2.0, 0.5, 0.4), (3.0, -4.0, 7.5), TURNED)
SHAPE = (6, 16, 14)


def changed(**parts: tuple[float, ...]) -> Grid:
    return Grid(**{**vars(GRID), **parts})


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (GRID, ""),
        (changed(origin=(3.02, -4.0, 7.5)), ""),
        (changed(origin=(3.05, -4.0, 7.5)), "origin 3 x -4 x 7.5 against 3.05 x -4 x 7.5"),
        (changed(spacing=(2.0, 0.5, 0.401)), ""),
        (changed(spacing=(2.0, 0.5, 0.41)), "spacing 2 x 0.5 x 0.4 against 2 x 0.5 x 0.41"),
        (changed(spacing=(0.4, 0.5, 2.0)), "spacing 2 x 0.5 x 0.4 against 0.4 x 0.5 x 2"),
        (
            changed(direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)),
            "direction 0.8 x -0.6 x 0 x 0.6 x 0.8 x 0 x 0 x 0 x 1 against 1 x 0 x 0 x 0 x 1 x 0 x 0 x 0 x 1",
        ),
        (Grid(), ""),
        (Grid((2.0, 0.5, 0.4)), ""),
    ],
)
def test_what_differs(other: Grid, said: str) -> None:
    assert grid_difference(GRID, other, SHAPE, SHAPE) == said


def test_shapes_and_tolerance() -> None:
    assert grid_difference(GRID, GRID, SHAPE, (6, 16, 15)) == "6 x 16 x 14 voxels against 6 x 16 x 15"
    assert grid_difference(GRID, changed(origin=(3.3, -4.0, 7.5)), SHAPE, SHAPE, tolerance=1) == ""


def test_a_flip_about_the_middle_is_found() -> None:
    """Mirrored and moved so that both images fill the same box: only the direction tells."""
    plain = Grid((1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    mirrored = Grid((1.0, 1.0), (9.0, 0.0), (-1.0, 0.0, 0.0, 1.0))
    assert grid_difference(plain, mirrored, (10, 10), (10, 10)).startswith("direction")


def test_positions_against_simpleitk() -> None:
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.Image(*SHAPE[::-1], sitk.sitkUInt8)
    image.SetSpacing(GRID.spacing[::-1])
    image.SetOrigin(GRID.origin)
    image.SetDirection(GRID.direction)
    for z, y, x in np.ndindex(3, 4, 5):
        expected = image.TransformIndexToPhysicalPoint((x, y, z))
        np.testing.assert_allclose((GRID.affine() @ (z, y, x, 1))[:3], expected)
    with pytest.raises(ValueError, match="We expect a grid with spacing, origin and direction"):
        Grid((1.0, 1.0)).affine()


def test_words_for_an_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    (tmp_path / "b").write_bytes(b"")
    words = [str(unreadable(tmp_path / name, "a tif", ValueError("no tif"))) for name in "ab"]
    assert words[0].endswith("a: cannot be read as a tif (damaged, or another format: no tif)")
    assert words[1].endswith("b: cannot be read as a tif (empty file)")
