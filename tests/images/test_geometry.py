"""Two grids: the same voxels or not."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_ext.images.geometry import difference
from nnunet_ext.images.image import Grid

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
    assert difference(GRID, other, SHAPE, SHAPE) == said


def test_shapes_and_tolerance() -> None:
    assert difference(GRID, GRID, SHAPE, (6, 16, 15)) == "6 x 16 x 14 voxels against 6 x 16 x 15"
    assert difference(GRID, changed(origin=(3.3, -4.0, 7.5)), SHAPE, SHAPE, tolerance=1) == ""


def test_a_flip_about_the_middle_is_found() -> None:
    """Mirrored and moved so that both images fill the same box: only the direction tells."""
    plain = Grid((1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    mirrored = Grid((1.0, 1.0), (9.0, 0.0), (-1.0, 0.0, 0.0, 1.0))
    assert difference(plain, mirrored, (10, 10), (10, 10)).startswith("direction")


def test_corners_against_simpleitk() -> None:
    sitk = pytest.importorskip("SimpleITK")
    from nnunet_ext.images.geometry import _corners

    image = sitk.Image(*SHAPE[::-1], sitk.sitkUInt8)
    image.SetSpacing(GRID.spacing[::-1])
    image.SetOrigin(GRID.origin)
    image.SetDirection(GRID.direction)
    expected = [
        image.TransformIndexToPhysicalPoint((x, y, z)) for x in (0, 13) for y in (0, 15) for z in (0, 5)
    ]
    np.testing.assert_allclose(_corners(GRID, SHAPE), expected)
