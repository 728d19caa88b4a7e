"""Local thickness against balls tried one by one, and shapes whose roundness is known."""

import itertools
import json
import math

import numpy as np
import pytest
import tifffile
from skimage import io as imageio
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.errors import UserError
from nnunet_ext.metrics import (
    compare_summaries,
    evaluate_instance_folders,
    local_thickness,
    roundness,
    roundness_of_instances,
)


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


def test_against_true_ellipses():
    """Sphericity of a true ellipse from its integral, which local thickness misses by a little."""
    angle = (np.arange(100_000) + 0.5) * 2 * np.pi / 100_000
    for ratio, off in ((1, 0.01), (1.5, 0.02), (2, 0.03), (4, 0.06)):
        perimeter = np.hypot(np.sin(angle), ratio * np.cos(angle)).mean() * 2 * np.pi
        true = 2 * np.pi * np.sqrt(ratio) / perimeter
        assert roundness(ellipsoid(12, 12 * ratio)).sphericity == pytest.approx(true, abs=off)


def test_what_each_of_the_two_sees():
    disc = ellipsoid(10, 10)
    gap = np.zeros((len(disc), 18), bool)
    merged = np.hstack([disc, gap]) | np.hstack([gap, disc])
    square, bar = np.ones((40, 40), bool), np.ones((5, 60), bool)
    round_one, two, corners, long = map(roundness, (disc, merged, square, bar))
    assert two.roundness == pytest.approx(round_one.roundness, abs=0.02)  # no new corner
    assert two.sphericity < round_one.sphericity - 0.05
    assert corners.roundness < 0.8
    assert corners.sphericity > 0.95
    assert long.roundness > 0.95
    assert long.sphericity < 0.6


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


def test_ids_may_be_of_any_size():
    """Not as many boxes as the largest id, which would be terabytes."""
    small = np.zeros((12, 30), np.uint8)
    small[2:7, 2:7], small[8:11, 4:28] = 1, 2
    expected = roundness_of_instances(small)
    for dtype, ids in ((np.int32, (5, 2**30)), (np.uint32, (7, 2**32 - 1)), (np.uint64, (2**40, 2**63))):
        large = np.array([0, *ids], dtype)[small]
        assert roundness_of_instances(large) == {ids[0]: expected[1], ids[1]: expected[2]}
    assert roundness_of_instances(np.full((3, 4), 2**40)) == {2**40: roundness(np.ones((3, 4), bool))}
    assert roundness_of_instances(np.zeros((3, 4), int)) == {}


def test_instances_mostly_ignored_are_left_out():
    instances = np.zeros((10, 20), np.uint16)
    instances[1:9, 1:5], instances[1:9, 8:12], instances[1:9, 14:19] = 3, 8, 9
    mask = np.ones(instances.shape, bool)
    mask[:, 10:16] = False  # half of 8, two columns in five of 9
    whole = roundness_of_instances(instances)
    assert roundness_of_instances(instances, mask=mask) == whole
    mask[1, 9] = False  # more than half of 8
    assert roundness_of_instances(instances, mask=mask) == {3: whole[3], 9: whole[9]}


@pytest.mark.parametrize(
    ("instances", "mask"), [(np.ones(4, int), None), (np.ones((2, 2), int), np.ones((2, 3), bool))]
)
def test_wrong_instances(instances, mask):
    with pytest.raises(ValueError, match="shape"):
        roundness_of_instances(instances, mask=mask)


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
        assert metrics["SphericityError"] == pytest.approx(abs(bar.sphericity - disc.sphericity))
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
    (error,) = compare_summaries(a, b, ["SphericityError"])
    assert error.higher_is_better is False
    assert error.mean_b == 0 < error.mean_a  # rounder than the truth is no better


def test_shapes_of_other_voxels_are_not_compared(folders):
    a, b = (
        evaluate_instance_folders(folders / "instancesTs", folders / "cells", roundness=True, spacing=spacing)
        for spacing in (None, (2, 1))
    )
    with pytest.raises(UserError, match=r"shapes .* spacing as in the files in A, 2 x 1 in B"):
        compare_summaries(a, b, ["Sphericity"])
    assert compare_summaries(a, b, ["PQ"])


def test_a_case_without_instances_has_no_shape(folders):
    tifffile.imwrite(folders / "cells" / "c1.tif", np.zeros((40, 90), np.uint16))
    summary = evaluate_instance_folders(folders / "instancesTs", folders / "cells", roundness=True)
    full, empty = (case["metrics"]["instances"] for case in summary["metric_per_case"])
    assert math.isnan(empty["Roundness"])
    assert math.isnan(empty["RoundnessError"])
    assert empty["Roundness_ref"] == full["Roundness_ref"]
    for metric in ("Roundness", "RoundnessError", "Sphericity"):
        assert summary["mean"]["instances"][metric] == full[metric]


def test_what_nobody_judged_has_no_shape(folders):
    """The label maps say that the second disc of three lies where nobody looked."""
    (folders / "labelsTs").mkdir()
    labels = np.zeros((40, 90), np.uint8)
    labels[:, 30:58] = 2
    for number in range(2):
        imageio.imsave(folders / "labelsTs" / f"c{number}.png", labels, check_contrast=False)
    content = {"labels": {"background": 0, "cell": 1, "ignore": 2}, "file_ending": ".png"}
    (folders / "dataset.json").write_text(json.dumps(content))
    instances = np.zeros((40, 90), np.uint16)
    disc = ellipsoid(9, 9)
    instances[2 : 2 + disc.shape[0], : disc.shape[1]][disc] = 1
    instances[1:39, 31:34] = 2  # a bar, in the ignored part
    for number in range(2):
        tifffile.imwrite(folders / "cells" / f"c{number}.tif", instances)
    summary = evaluate_instance_folders(folders / "instancesTs", folders / "cells", roundness=True)
    assert summary["ignored"]["left_out"] == [2, 2]
    assert summary["pooled"]["Sphericity"] == pytest.approx(roundness(disc).sphericity)
    assert summary["pooled"]["SphericityError"] == pytest.approx(0)


def test_it_is_about_instances(folders):
    words = ["-ref", folders / "instancesTs", "-pred", folders / "cells", "--roundness"]
    result = CliRunner().invoke(app, ["evaluate", *map(str, words)])
    assert "--roundness is about instances: give --instances too" in str(result.exception)
