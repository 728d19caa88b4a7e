"""Which axis is space and which holds the channels."""

import numpy as np
import pytest

from nnunet_ext.images.axes import channels_first, name_axes, spatial


@pytest.mark.parametrize(
    ("axes", "shape", "dimension", "expected"),
    [
        ("YX", (8, 9), None, "YX"),
        ("ZYX", (5, 8, 9), None, "ZYX"),
        ("YXS", (8, 9, 3), None, "YXC"),
        ("CZYX", (2, 5, 8, 9), None, "CZYX"),
        ("ZCYX", (5, 2, 8, 9), None, "ZCYX"),
        ("QYX", (5, 8, 9), None, "ZYX"),
        ("QYX", (5, 8, 9), 2, "CYX"),
        ("SYX", (3, 8, 9), 3, "ZYX"),
        ("SYX", (3, 8, 9), 2, "CYX"),
        ("QQYX", (2, 5, 8, 9), None, "CZYX"),
        ("QQYX", (1, 5, 8, 9), None, "-ZYX"),
        ("IYX", (1, 8, 9), None, "-YX"),
        ("TYX", (1, 8, 9), None, "-YX"),
        ("QZYX", (2, 5, 8, 9), None, "CZYX"),
        ("QYXS", (5, 8, 9, 3), None, "ZYXC"),
        ("YX", (1, 1), None, "YX"),
    ],
)
def test_axes_are_named(axes, shape, dimension, expected):
    assert name_axes(axes, shape, dimension) == expected


@pytest.mark.parametrize(
    ("axes", "shape", "dimension", "said"),
    [
        ("TYX", (5, 8, 9), None, "time axis of length 5"),
        ("TZCYX", (2, 5, 1, 8, 9), None, "time axis of length 2"),
        ("HYX", (5, 8, 9), None, "axis H of length 5"),
        ("QQQYX", (2, 3, 5, 8, 9), None, "not those of one 2D or 3D image"),
        ("QQYX", (2, 5, 8, 9), 2, "not those of one 2D or 3D image"),
        ("CYXS", (2, 8, 9, 3), None, "not those of one 2D or 3D image"),
        ("XQ", (8, 9), None, "not those of one 2D or 3D image"),
    ],
)
def test_what_is_no_image_is_refused(axes, shape, dimension, said):
    with pytest.raises(ValueError, match=said):
        name_axes(axes, shape, dimension)


@pytest.mark.parametrize(
    ("names", "shape", "expected"),
    [
        ("YX", (8, 9), (1, 8, 9)),
        ("YXC", (8, 9, 3), (3, 8, 9)),
        ("ZCYX", (5, 2, 8, 9), (2, 5, 8, 9)),
        ("-ZYX", (1, 5, 8, 9), (1, 5, 8, 9)),
        ("Z-YXC", (5, 1, 8, 9, 3), (3, 5, 8, 9)),
    ],
)
def test_channels_come_first(names, shape, expected):
    pixels = np.arange(np.prod(shape)).reshape(shape)
    result = channels_first(pixels, names)
    assert result.shape == expected
    last = tuple(length - 1 for length in expected)
    assert result[last] == pixels.max()
    assert result[(0,) * len(expected)] == 0
    # one step in x is the smallest step in memory, or that of the channels where those come last
    assert result[..., 1].flat[0] == (shape[-1] if names.endswith("C") else 1)


def test_positions_of_the_spatial_axes():
    assert spatial("ZCYX") == (0, 2, 3)
    assert spatial("-YXC") == (1, 2)
