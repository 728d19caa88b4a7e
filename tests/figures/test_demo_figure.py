import numpy as np
from skimage.io import imread

from nnunet_ext.figures.demo import breaks, draw, islands

TRUTH = np.zeros((20, 30), np.uint8)
TRUTH[9:12, 2:28] = 1
PREDICTION = TRUTH.copy()
PREDICTION[:, 10:13] = 0
PREDICTION[2:4, 20:23] = 1


def test_a_gap_is_one_break_and_a_blob_one_island():
    (gap,) = breaks(PREDICTION, TRUTH)
    assert np.abs(gap - (10, 11)).max() <= 1
    (blob,) = islands(PREDICTION, TRUTH)
    assert np.abs(blob - (2.5, 21)).max() < 0.1


def test_nothing_to_mark():
    assert len(breaks(TRUTH, TRUTH)) == len(islands(TRUTH, TRUTH)) == 0
    empty = np.zeros_like(TRUTH)
    assert len(islands(empty, TRUTH)) == 0
    assert len(breaks(empty, TRUTH)) == 0  # missing, not broken
    assert len(breaks(TRUTH, empty)) == 0
    assert len(islands(TRUTH, empty)) == 1


def test_a_hole_and_a_short_end_are_no_breaks():
    holed = TRUTH.copy()
    holed[10, 12:15] = 0
    assert len(breaks(holed, TRUTH)) == 0
    short = TRUTH.copy()
    short[:, 20:] = 0
    assert len(breaks(short, TRUTH)) == 0


def test_marks_are_drawn_in_colour(tmp_path):
    draw(TRUTH * 200, TRUTH, {"A": PREDICTION, "B": TRUTH}, tmp_path / "f.png", "caption")
    picture = imread(tmp_path / "f.png")[..., :3].astype(int)
    panels = np.array_split(picture[60:-60], 4, axis=1)
    coloured = [(np.ptp(panel, axis=2) > 60).any() for panel in panels]
    assert coloured == [False, False, True, False]
