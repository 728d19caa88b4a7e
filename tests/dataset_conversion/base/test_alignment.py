"""How bright a mask is inside, against around it."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_ext.dataset_conversion.base.alignment import CLEAR, contrast


def test_literal() -> None:
    image = np.array([[4, 4, 1, 4, 4, 4]], np.uint8)
    # minus the mean of three: 0 1 -2 1 0 0, whose standard deviation is 1
    assert contrast(image, image == 1, (1, 3)) == pytest.approx(-2 - 2 / 5)
    assert contrast(255 - image, image == 1, (1, 3)) == pytest.approx(2 + 2 / 5)


@pytest.mark.parametrize("shape", [(60, 80), (8, 40, 50)])
def test_a_line_in_noise_and_shadow(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    line = np.zeros(shape, bool)
    line[..., 7:10, :] = True
    shadow = np.linspace(0, 200, shape[-1])
    image = rng.normal(100, 3, shape) + shadow - 10 * line
    before = image.copy()
    assert contrast(image, line, 15) < -1
    assert abs(contrast(image, np.flip(line, -2), 15)) < CLEAR
    np.testing.assert_array_equal(image, before)


def test_nothing_to_compare() -> None:
    image = np.arange(12.0).reshape(3, 4)
    assert contrast(image, np.zeros((3, 4)), 3) == 0
    assert contrast(image, np.ones((3, 4)), 3) == 0
