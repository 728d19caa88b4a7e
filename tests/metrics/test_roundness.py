"""Local thickness against balls tried one by one, and shapes whose roundness is known."""

import itertools
import json
import math

import numpy as np
import pytest
import tifffile
from scipy.ndimage import distance_transform_edt
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.metrics import (
    compare_summaries,
    evaluate_instance_folders,
    local_thickness,
    median_thickness,
    roundness,
    roundness_of_instances,
)

SPACINGS = {
    "2d": (1.0, 1.0),
    "2d anisotropic": (2.0, 0.7),
    "3d": (1.0, 1.0, 1.0),
    "3d anisotropic": (2.5, 1, 1),
}


def by_balls(mask, spacing):
    """For every voxel the largest of all balls around voxels of the mask that cover it."""
    radius = distance_transform_edt(np.pad(mask, 1), spacing)[(slice(1, -1),) * mask.ndim]
    result = np.zeros(mask.shape)
    voxels = np.argwhere(mask) * np.array(spacing)
    radii = radius[mask]
    for place, at in zip(np.argwhere(mask), voxels, strict=True):
        result[tuple(place)] = radii[np.sqrt(((voxels - at) ** 2).sum(1)) < radii - 1e-6].max()
    return result


def grid(*edges, spacing):
    """Coordinates around the middle, in the unit of the spacing."""
    axes = [np.arange(edge) - (edge - 1) / 2 for edge in edges]
    return [
        axis * step
        for axis, step in zip(np.meshgrid(*axes, indexing="ij"), spacing or [1] * len(edges), strict=True)
    ]


def ellipsoid(*half_axes, spacing=None):
    steps = spacing or [1.0] * len(half_axes)
    edges = [2 * math.ceil(half / step) + 3 for half, step in zip(half_axes, steps, strict=True)]
    coordinates = grid(*edges, spacing=steps)
    return sum((c / half) ** 2 for c, half in zip(coordinates, half_axes, strict=True)) < 1


@pytest.mark.parametrize("spacing", SPACINGS.values(), ids=SPACINGS)
def test_local_thickness_is_the_largest_ball(spacing):
    shape = (15, 17) if len(spacing) == 2 else (7, 9, 8)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        mask = rng.random(shape) < (0.9 if seed % 2 else 0.6)
        found = local_thickness(mask, spacing)
        np.testing.assert_allclose(found, by_balls(mask, spacing))
        assert (found[mask] > 0).all()
        assert not found[~mask].any()


def test_beyond_the_border_is_outside():
    assert local_thickness(np.ones((3, 9), bool)).max() == 2
    assert not local_thickness(np.zeros((3, 4), bool)).any()
    assert local_thickness(np.ones((1, 1), bool)) == 1


@pytest.mark.parametrize("radius", [4.0, 9.0, 15.5])
def test_discs_and_balls_are_round(radius):
    disc = roundness(ellipsoid(radius, radius))
    assert disc.sphericity > 0.98
    assert disc.roundness > 0.97
    if radius < 10:
        ball = roundness(ellipsoid(radius, radius, radius))
        assert ball.sphericity > 0.98
        assert ball.roundness > 0.97


def test_ellipses_have_the_sphericity_of_their_formula():
    """Where the mean local thickness is the short half axis, as of a long bar."""
    for a, b in ((6, 60), (10, 120)):
        bar = np.ones((2 * a, 2 * b), bool)
        found = roundness(bar)
        thickness = local_thickness(bar).mean()
        half = bar.size / (math.pi * thickness)
        perimeter = math.pi * (
            3 * (thickness + half) - math.sqrt((3 * thickness + half) * (thickness + 3 * half))
        )
        assert found.sphericity == pytest.approx(2 * math.sqrt(math.pi * bar.size) / perimeter)
        assert found.sphericity < 0.6
    assert roundness(ellipsoid(6, 30)).roundness < roundness(ellipsoid(12, 15)).roundness < 1


@pytest.mark.parametrize(("half_axes", "low", "high"), [((5, 5, 15), 0.75, 0.93), ((3, 9, 9), 0.55, 0.9)])
def test_spheroids(half_axes, low, high):
    """Prolate and oblate ones are less round than a ball, by the surface of the spheroid."""
    assert low < roundness(ellipsoid(*half_axes)).sphericity < high


@pytest.mark.parametrize("scale", [0.1, 1.0, 40.0])
def test_neither_unit_nor_anisotropic_voxels_matter(scale):
    plain = roundness(ellipsoid(8, 8, 8))
    scaled = roundness(ellipsoid(8, 8, 8), [scale] * 3)
    assert (scaled.sphericity, scaled.roundness) == pytest.approx((plain.sphericity, plain.roundness))
    spacing = [2 * scale, scale, scale]
    flat = ellipsoid(8 * scale, 8 * scale, 8 * scale, spacing=spacing)
    assert roundness(flat, spacing).sphericity == pytest.approx(plain.sphericity, abs=0.03)
    assert roundness(flat).sphericity < 0.97


def test_formula_of_spheroids_has_no_hole_where_it_is_a_ball():
    from nnunet_ext.metrics.roundness import _of_spheroid

    volumes = 4 / 3 * math.pi * np.array([0.5, 0.999, 0.9999999, 1.0, 1.0000001, 1.001, 2.0])
    found = [_of_spheroid(volume, 1.0) for volume in volumes]
    assert found[3] == pytest.approx(1)
    assert found[2] == pytest.approx(1)
    assert found[4] == pytest.approx(1)
    assert all(a < b for a, b in itertools.pairwise(found[:3]))
    assert all(a > b for a, b in itertools.pairwise(found[4:]))
    # a needle: the surface of a spheroid of half axes 1, 1, 2 is 21.48
    assert found[6] == pytest.approx(math.pi ** (1 / 3) * (6 * volumes[6]) ** (2 / 3) / 21.4784, rel=1e-4)


def test_small_and_empty_objects():
    dot = np.zeros((5, 5), bool)
    dot[2, 2] = True
    assert roundness(dot).roundness == 1
    assert 0 < roundness(dot).sphericity <= 1
    nothing = roundness(np.zeros((5, 5), bool))
    assert math.isnan(nothing.sphericity)
    assert math.isnan(nothing.roundness)


def test_instances_are_measured_one_by_one():
    instances = np.zeros((40, 60), np.int32)
    disc, bar = ellipsoid(8, 8), np.ones((6, 30), bool)
    instances[1 : 1 + disc.shape[0], 1 : 1 + disc.shape[1]][disc] = 7
    instances[30:36, 20:50][bar] = 2
    instances[25:30, 20:22] = 9  # touches the bar
    found = roundness_of_instances(instances)
    assert set(found) == {2, 7, 9}
    assert found[7] == roundness(disc)
    assert found[2] == roundness(bar)


def test_median_thickness_of_lines():
    mask = np.zeros((30, 80), bool)
    mask[3:6, 2:78] = True
    mask[12:19, 2:78] = True
    mask[24:27, 2:78] = True
    assert median_thickness(mask) == 4  # of one that is w voxels thick w + 1, from outside to outside
    assert median_thickness(mask, (0.5, 0.5)) == 2
    assert math.isnan(median_thickness(np.zeros((3, 3), bool)))


# in an evaluation


@pytest.fixture
def folders(tmp_path):
    """Two cases: discs in the truth, of which the prediction makes bars."""
    for number in range(2):
        truth, prediction = np.zeros((40, 90), np.uint16), np.zeros((40, 90), np.uint16)
        for cell in range(3):
            disc = ellipsoid(9, 9)
            truth[5 : 5 + disc.shape[0], 30 * cell : 30 * cell + disc.shape[1]][disc] = cell + 1
            prediction[8 : 12 + number, 30 * cell : 30 * cell + 20] = cell + 1
        for name, maps in (("instancesTs", truth), ("cells", prediction)):
            (tmp_path / name).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / name / f"c{number}.tif", maps)
    return tmp_path


def test_evaluate_roundness(folders):
    words = ["-ref", folders / "instancesTs", "-pred", folders / "cells"]
    result = CliRunner().invoke(app, ["evaluate", *map(str, words), "--instances", "--roundness"])
    assert result.exit_code == 0, result.output
    assert "Shape, all instances" in result.output
    summary = json.loads((folders / "cells" / "evaluation.json").read_text())
    disc = roundness(ellipsoid(9, 9))
    bars = [roundness(np.ones((4 + number, 20), bool)) for number in range(2)]
    for entry, bar in zip(summary["metric_per_case"], bars, strict=True):
        metrics = entry["metrics"]["instances"]
        assert metrics["Roundness_ref"] == pytest.approx(disc.roundness)
        assert metrics["Sphericity"] == pytest.approx(bar.sphericity)
    mean = np.mean([bar.roundness for bar in bars])
    assert summary["mean"]["instances"]["Roundness"] == pytest.approx(mean)
    assert summary["pooled"]["Roundness"] == pytest.approx(mean)  # as many instances in each case
    assert summary["pooled"]["Sphericity_ref"] == pytest.approx(disc.sphericity)


def test_it_is_measured_only_where_asked_and_compared(folders):
    plain = evaluate_instance_folders(folders / "instancesTs", folders / "cells")
    assert "Roundness" not in plain["pooled"]
    (folders / "copies").mkdir()
    for file in (folders / "instancesTs").iterdir():
        (folders / "copies" / file.name).write_bytes(file.read_bytes())
    a, b = (
        evaluate_instance_folders(folders / "instancesTs", folders / name, roundness=True)
        for name in ("cells", "copies")
    )
    rows = {row.metric: row for row in compare_summaries(a, b)}
    assert rows["Sphericity"].difference > 0.1
    assert rows["Sphericity"].higher_is_better
    assert rows["Roundness"].mean_a == 1  # a bar is equally thick along its edge


def test_it_is_about_instances(folders):
    words = ["-ref", folders / "instancesTs", "-pred", folders / "cells", "--roundness"]
    result = CliRunner().invoke(app, ["evaluate", *map(str, words)])
    assert "--roundness is about instances: give --instances too" in str(result.exception)
