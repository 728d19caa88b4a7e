"""The contact sheet: contours where the labels end, ignored parts in grey, written whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from skimage.io import imread

from nnunet_ext.errors import UserError
from nnunet_ext.figures.contact_sheet import Panel, Row, class_colours, draw
from nnunet_ext.figures.style import (
    CLASSES,
    IGNORED,
    check_picture,
    grey_range,
)

NAMES = {0: "background", 1: "cell", 2: "touching", 3: "ignore"}


def has_colour(picture: np.ndarray, colour: str) -> int:
    """Pixels of about this colour."""
    wanted = np.array(to_rgb(colour)) * 255
    return int((np.abs(picture[..., :3] - wanted).max(-1) < 12).sum())


def sheet(path: Path, masks: dict[int, np.ndarray]) -> np.ndarray:
    panel = Panel("case", np.zeros((40, 40)), masks)
    draw([Row((panel,), "numbers")], NAMES, 3, path, "title")
    return imread(path)


def test_contours_have_the_colour_of_their_class(tmp_path: Path) -> None:
    square = np.zeros((40, 40), bool)
    square[10:30, 10:30] = True
    nothing = sheet(tmp_path / "a.png", {})
    drawn = sheet(tmp_path / "new/b.png", {1: square, 2: ~square & False})
    assert drawn.shape == nothing.shape
    assert has_colour(drawn, CLASSES[1]) > has_colour(nothing, CLASSES[1]) + 100  # the legend has it too
    assert has_colour(drawn, CLASSES[2]) == has_colour(nothing, CLASSES[2])


def test_an_object_at_the_border_has_its_contour_there(tmp_path: Path) -> None:
    everything = np.ones((40, 40), bool)
    nothing = sheet(tmp_path / "a.png", {})
    assert has_colour(sheet(tmp_path / "b.png", {1: everything}), CLASSES[1]) > has_colour(
        nothing, CLASSES[1]
    )


def test_what_is_ignored_is_filled(tmp_path: Path) -> None:
    half = np.zeros((40, 40), bool)
    half[:20] = True
    nothing, drawn = sheet(tmp_path / "a.png", {}), sheet(tmp_path / "b.png", {3: half})
    shaded = np.array(to_rgb(IGNORED)) * 0.6  # over black
    grey = "#" + "".join(f"{round(255 * part):02x}" for part in shaded)
    assert has_colour(drawn, grey) - has_colour(nothing, grey) > 0.4 * 250**2


def test_rows_of_colour_and_grey(tmp_path: Path) -> None:
    colour = np.zeros((20, 30, 3), np.uint8)
    colour[..., 0] = 200
    panels = (Panel("a", colour, {}), Panel("b", np.eye(20), {1: np.eye(20) > 0}, aspect=2.0))
    draw([Row(panels, "x"), Row(panels, "y")], NAMES, None, tmp_path / "a.png", "t")
    picture = imread(tmp_path / "a.png")
    assert has_colour(picture, "#c80000") > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_colours_skip_background_and_ignore() -> None:
    assert class_colours(NAMES, 3) == {1: CLASSES[1], 2: CLASSES[2], 3: IGNORED}
    assert len(class_colours({i: str(i) for i in range(20)}, None)) == 19


def test_grey_range_of_a_constant_image() -> None:
    low, high = grey_range(np.full((4, 4), 7))
    assert low == 7
    assert high > low
    assert grey_range(np.arange(1001)) == (10, 995)


def test_the_ending_is_checked() -> None:
    with pytest.raises(UserError, match=r"-o a.txt: a picture ends in one of"):
        check_picture(Path("a.txt"))
    check_picture(Path("a.PNG"))
