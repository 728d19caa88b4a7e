"""Local thickness against all balls tried one by one, and shapes whose thickness is known."""

from fractions import Fraction

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.morphology import skeletonize

from nnunet_ext.metrics import local_thickness, median_thickness
from nnunet_ext.metrics.thickness import _PATIENCE

SPACINGS = {
    "2d": (1.0, 1.0),
    "2d anisotropic": (2.0, 0.7),
    "2d many digits": (0.2196471, 0.5),
    "3d": (1.0, 1.0, 1.0),
    "3d anisotropic": (2.5, 0.7, 0.7),
}
NOISE = {"sparse": 0.6, "dense": 0.9, "holes": 0.98}


def by_balls(mask, spacing):
    """By the definition, every voxel against every ball, in fractions brought to whole numbers."""
    squares = [Fraction(repr(float(step))) ** 2 for step in spacing]
    unit = np.lcm.reduce([square.denominator for square in squares])
    steps = np.array([int(square * unit) for square in squares])
    padded = np.pad(mask, 1)
    inside, outside = np.argwhere(padded), np.argwhere(~padded)
    radii = np.array([(((outside - voxel) ** 2) @ steps).min() for voxel in inside])
    best = [np.where(((inside - voxel) ** 2) @ steps < radii, radii, 0).max() for voxel in inside]
    result = np.zeros(padded.shape)
    result[tuple(inside.T)] = np.sqrt(np.array(best, float) / float(unit))
    return result[(slice(1, -1),) * mask.ndim]


def random_mask(kind, ndim, seed):
    rng = np.random.default_rng(seed)
    if kind in NOISE:
        return rng.random((15, 17) if ndim == 2 else (7, 9, 8)) < NOISE[kind]
    return gaussian_filter(rng.standard_normal((48, 40) if ndim == 2 else (14, 15, 13)), 3) > -0.05


@pytest.mark.parametrize("kind", [*NOISE, "blobs"])
@pytest.mark.parametrize("spacing", SPACINGS.values(), ids=SPACINGS)
def test_local_thickness_is_the_largest_ball(spacing, kind):
    for seed in range(3):
        mask = random_mask(kind, len(spacing), seed)
        assert mask.any()
        found = local_thickness(mask, spacing)
        np.testing.assert_allclose(found, by_balls(mask, spacing), rtol=1e-5)
        assert not found[~mask].any()


def ball(radius, spacing, shift=0.3):
    """A ball whose middle is not that of a voxel."""
    axes = [np.arange(-int(radius / step) - 2, int(radius / step) + 3) * step + shift for step in spacing]
    return sum(axis**2 for axis in np.ix_(*axes)) < radius**2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("radius", "spacing"), [(25, (1, 1)), (25, (2.5, 1)), (9, (1, 1, 1)), (9, (2.5, 1, 1))]
)
def test_large_balls(radius, spacing):
    """Here most balls are left out since larger ones cover theirs, time after time."""
    mask = ball(radius, spacing)
    found = local_thickness(mask, spacing)
    np.testing.assert_allclose(found, by_balls(mask, spacing))
    assert radius - max(spacing) < found.max() < radius + max(spacing)
    assert _PATIENCE * mask.size < mask.sum() ** 2 / 20  # too much for one round, if none were left out


def test_a_voxel_at_the_radius_is_not_covered():
    """√2 · √2 is above 2 in floating point; the corners of a cross are not in it."""
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
    np.testing.assert_array_equal(local_thickness(cross), cross * np.sqrt(2))


@pytest.mark.parametrize("spacing", [(2.0, 1.0, 1.0), (1.0, 0.5, 0.5)])
def test_a_plate_has_one_thickness(spacing):
    """Three layers: two steps from the middle one to outside. Its rim is thinner."""
    plate = np.zeros((7, 25, 27), bool)
    plate[2:5] = True
    found = local_thickness(plate, spacing)
    np.testing.assert_array_equal(found[2:5, 10:15, 10:17], 2 * spacing[0])
    assert found[2, 0, 0] < 2 * spacing[0]


@pytest.mark.parametrize("spacing", [(1, 1, 1), (2, 1, 1), (0.5, 0.5, 2)])
@pytest.mark.parametrize("radius", [3, 4, 6])
def test_a_tube_is_as_thick_as_it_is(radius, spacing):
    """Along x, whatever the voxels, and whether or not scikit-image's thinning deletes it."""
    tube = np.repeat(ball(radius, spacing[:2])[:, :, None], 60, axis=2)
    assert median_thickness(tube, spacing) == pytest.approx(2 * radius, abs=1)
    middle = local_thickness(tube, spacing)[:, :, 25:35]
    assert np.median(middle[middle > 0]) == pytest.approx(radius, abs=0.5)


def test_some_of_these_tubes_are_deleted():
    tube = np.repeat(ball(6, (1, 1))[:, :, None], 60, axis=2)
    assert not skeletonize(tube).any()


def test_median_thickness_of_lines():
    mask = np.zeros((30, 80), bool)
    for start, width in ((3, 3), (12, 7), (24, 3)):
        mask[start : start + width, 2:78] = True
    assert median_thickness(mask) == 4  # of one that is w voxels thick w + 1, from outside to outside
    assert median_thickness(mask, (0.5, 0.5)) == 2
    even = np.zeros((10, 40), bool)
    even[3:7] = True
    assert median_thickness(even) == 4


def test_beyond_the_border_is_outside():
    """A disc that the border cuts in half is as thick as that half."""
    assert local_thickness(np.ones((3, 9), bool)).max() == 2
    disc = ball(9, (1, 1), shift=0)
    half = disc[disc.shape[0] // 2 :]
    room = np.pad(half, ((1, 1), (1, 1)))
    np.testing.assert_array_equal(local_thickness(half), local_thickness(room)[1:-1, 1:-1])
    assert local_thickness(half).max() < local_thickness(disc).max()


def test_small_and_empty_masks():
    for shape in ((1, 1), (1, 1, 1)):
        assert local_thickness(np.ones(shape, bool)).item() == 1
        assert median_thickness(np.ones(shape, bool), (0.5,) * len(shape)) == 1
    for shape in ((3, 4), (2, 3, 4)):
        assert not local_thickness(np.zeros(shape, bool)).any()
        assert np.isnan(median_thickness(np.zeros(shape, bool)))


def test_any_kind_of_mask():
    mask = random_mask("blobs", 3, 0)
    expected = local_thickness(mask)
    for other in (
        mask.astype(np.uint8),
        mask.astype(np.int16) * 7,
        np.asfortranarray(mask),
        mask[::-1][::-1],
    ):
        before = other.copy()
        np.testing.assert_array_equal(local_thickness(other), expected)
        np.testing.assert_array_equal(other, before)
    np.testing.assert_array_equal(local_thickness(mask.T), expected.T)


@pytest.mark.parametrize(
    ("mask", "spacing", "message"),
    [
        (np.ones(5, bool), None, "two or three axes"),
        (np.array([[1, 2]]), None, "one foreground value"),
        (np.ones((2, 2), bool), (1, 1, 1), "expected 2 positive numbers"),
        (np.ones((2, 2), bool), (1, 0), "expected 2 positive numbers"),
    ],
)
def test_wrong_arguments(mask, spacing, message):
    for measure in (local_thickness, median_thickness):
        with pytest.raises(ValueError, match=message):
            measure(mask, spacing)
