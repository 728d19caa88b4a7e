"""``nnunet_ext instances`` on made-up prediction folders in nnU-Net's formats."""

import json
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
import typer
from skimage import io
from typer.testing import CliRunner

from nnunet_ext.cli.instances import instances
from nnunet_ext.errors import UserError
from nnunet_ext.images.instance_files import read_instances
from nnunet_ext.instances import from_probabilities, from_semantic

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(instances)
CLASSES = {"background": 0, "cell": 1, "touching": 2, "gap": 3}
SPACING = (3.0, 1.0, 0.5)


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def made(folder):
    return sorted(path.name for path in folder.iterdir())


def probabilities(shape, seed, classes=4):
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    logits = gaussian_filter(rng.standard_normal((classes, *shape)), (0,) + (1.2,) * len(shape)) * 15
    p = np.exp(logits)
    return (p / p.sum(0)).astype(np.float32)


def write_dataset_json(folder, file_ending, labels=None, **more):
    content = {"labels": labels or CLASSES, "file_ending": file_ending, **more}
    (folder / "dataset.json").write_text(json.dumps(content))


def write_labels(folder, case, labels, file_ending):
    """Write as nnU-Net's own writers do: spacing in a .json beside a 3D tif, in the header of NIfTI."""
    path = folder / f"{case}{file_ending}"
    if file_ending == ".nii.gz":
        image = sitk.GetImageFromArray(labels)
        image.SetSpacing(SPACING[::-1])
        sitk.WriteImage(image, str(path))
    elif labels.ndim == 3:
        tifffile.imwrite(path, labels, compression="zlib")
        (folder / f"{case}.json").write_text(json.dumps({"spacing": SPACING}))
    else:
        io.imsave(path, labels, check_contrast=False)


@pytest.fixture
def folders(tmp_path):
    """Two 2D cases in png with their probabilities, and where the instances go."""
    folder = tmp_path / "pred"
    folder.mkdir()
    write_dataset_json(folder, ".png", {**CLASSES, "ignore": 4})
    for seed, case in enumerate(("a", "b.1")):
        p = probabilities((30, 40), seed)
        write_labels(folder, case, p.argmax(0).astype(np.uint8), ".png")
        np.savez_compressed(folder / f"{case}.npz", probabilities=p[:, None])
    return folder, tmp_path / "out"


@pytest.mark.parametrize("file_ending", [".tif", ".nii.gz"])
def test_3d_with_the_spacing_of_the_file(tmp_path, file_ending):
    folder, out = tmp_path / "pred", tmp_path / "out"
    folder.mkdir()
    write_dataset_json(folder, file_ending)
    p = probabilities((9, 20, 24), 1)
    labels = p.argmax(0).astype(np.uint8)
    write_labels(folder, "case", labels, file_ending)
    np.savez_compressed(folder / "case.npz", probabilities=p)

    expected = from_semantic(labels, spacing=SPACING)
    assert not np.array_equal(expected, from_semantic(labels))
    outcome = run("-i", folder, "-o", out)
    assert outcome.exit_code == 0
    assert "WARNING" not in outcome.output  # of nnU-Net's reader, about a spacing that is there
    result, spacing = read_instances(out / "case.tif")
    np.testing.assert_array_equal(result, expected)
    assert spacing == SPACING

    named = tmp_path / "named"
    assert run("-i", folder, "-o", named, "--spacing", 1, 1, 1, "--method", "threshold").exit_code == 0
    result, spacing = read_instances(named / "case.tif")
    np.testing.assert_array_equal(result, from_probabilities(p, "threshold"))
    assert spacing == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"min_size": 5, "connectivity": 1},
        {"gap": "second"},
        {"method": "threshold", "gap": "uniform", "gamma_touching": 0.2, "gamma_cell": 0.4},
        {"method": "watershed", "gamma_cell": 0.3},
    ],
)
def test_2d_png_equals_the_function(folders, options):
    folder, out = folders
    flags = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", value)]
    result = run("-i", folder, "-o", out, *flags)
    assert result.exit_code == 0, result.output
    assert made(out) == ["a.tif", "b.1.tif", "instances.json"]
    for seed, case in enumerate(("a", "b.1")):
        ids, spacing = read_instances(out / f"{case}.tif")
        expected = from_probabilities(probabilities((30, 40), seed), **options)
        assert expected.max() > 1
        np.testing.assert_array_equal(ids, expected)
        assert spacing is None  # a png states none
        (row,) = (line for line in result.output.splitlines() if f" {case} " in line)
        sizes = np.bincount(ids.ravel())[1:]
        assert f" {ids.max()} " in row
        assert f" {np.median(sizes):g} " in row


@pytest.mark.parametrize("flags", [["--tile"], ["--tile-size", 7], ["--tile", "--method", "threshold"]])
def test_tiles_change_nothing_and_leave_nothing(folders, flags):
    folder, out = folders
    whole = [flag for flag in flags if str(flag).lstrip("-") in ("method", "threshold")]
    assert run("-i", folder, "-o", out, *whole).exit_code == 0
    tiled = out.with_name("tiled")
    (tiled / ".a.work").mkdir(parents=True)  # a killed run left this
    assert run("-i", folder, "-o", tiled, *flags).exit_code == 0
    assert made(tiled) == ["a.tif", "b.1.tif", "instances.json"]
    for name in ("a.tif", "b.1.tif"):
        np.testing.assert_array_equal(read_instances(tiled / name)[0], read_instances(out / name)[0])


def test_classes_are_found_by_name_in_any_order(folders):
    folder, out = folders
    order = [0, 3, 1, 2]  # gap is 1, cell 2, touching 3
    p = probabilities((30, 40), 0)[order]
    labels = p.argmax(0).astype(np.uint8)
    io.imsave(folder / "a.png", labels, check_contrast=False)
    np.savez_compressed(folder / "a.npz", probabilities=p[:, None])
    write_dataset_json(folder, ".png", {"background": 0, "gap": 1, "Zelle": 2, "Rand": 3})

    refused = run("-i", folder, "-o", out)
    assert isinstance(refused.exception, UserError)
    assert "gap, Zelle, Rand" in str(refused.exception)
    assert "--cell" in str(refused.exception)
    names = ("--cell", "Zelle", "--touching", "Rand")
    expected = from_probabilities(probabilities((30, 40), 0))
    assert run("-i", folder, "-o", out, *names).exit_code == 0
    np.testing.assert_array_equal(read_instances(out / "a.tif")[0], expected)
    more = ("--method", "threshold", "-o", out.with_name("more"))
    assert run("-i", folder, *names, *more).exit_code == 0
    expected = from_probabilities(probabilities((30, 40), 0), "threshold")
    np.testing.assert_array_equal(read_instances(out.with_name("more") / "a.tif")[0], expected)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--cell", "nucleus"], "no class 'nucleus' for cell. Its classes: cell, touching, gap."),
        (["--touching", "cell"], "different classes; got cell, cell"),
        (["--gap-class", "hole"], "no class 'hole' for gap"),
        (["--gamma-cell", "0.4"], "'map' has no parameters"),
        (["--method", "threshold", "--gamma-cell", "4"], "--gamma-cell: expected 0 to 1"),
        (["--method", "watershed", "--tile"], "cannot be computed by tiles"),
        (["--tile-size", "0"], "--tile-size 0"),
        (["--spacing", "1", "0", "1"], "expected positive numbers"),
        (["--connectivity", "3"], "--connectivity is 1 to 2 in 2D, got 3"),
        (["-djfile", "nowhere.json"], "no file nowhere.json"),
    ],
)
def test_what_is_refused(folders, flags, text):
    result = run("-i", folders[0], "-o", folders[1], *flags)
    assert result.exit_code == 1
    assert isinstance(result.exception, UserError)
    assert text in str(result.exception)
    assert not list(folders[1].glob("*.tif"))


def test_one_foreground_class_becomes_its_components(folders):
    folder, out = folders
    foreground = (probabilities((30, 40), 0).argmax(0) == 1).astype(np.uint8)
    for case in ("a", "b.1"):
        io.imsave(folder / f"{case}.png", foreground, check_contrast=False)
    write_dataset_json(folder, ".png", {"background": 0, "nuclei": 1})
    assert run("-i", folder, "-o", out, "--gap", "second").exit_code == 0  # no gap, so no .npz needed
    np.testing.assert_array_equal(read_instances(out / "a.tif")[0], from_semantic(foreground))


def test_regions_and_other_classes(folders):
    folder, out = folders
    write_dataset_json(
        folder, ".png", {"background": 0, "cell": [1, 2], "core": 1}, regions_class_order=[1, 2]
    )
    assert "regions" in str(run("-i", folder, "-o", out).exception)
    write_dataset_json(folder, ".png", {"background": 0, "cell": 1, "touching": 2, "debris": 3})
    assert run("-i", folder, "-o", out).exit_code == 0  # debris is background
    labels = io.imread(folder / "a.png")
    np.testing.assert_array_equal(read_instances(out / "a.tif")[0], from_semantic(labels))
    result = run("-i", folder, "-o", out, "--method", "threshold")
    assert "besides cell, touching and gap (debris)" in str(result.exception)


def test_missing_probabilities_are_said_before_anything_is_written(folders):
    folder, out = folders
    (folder / "b.1.npz").unlink()
    result = run("-i", folder, "-o", out, "--gap", "uniform")
    assert "No b.1.npz in" in str(result.exception)
    assert "--save_probabilities" in str(result.exception)
    assert not out.exists()


def test_damaged_files_are_named_and_the_others_kept(folders):
    folder, out = folders
    good = read_good(folder, out)
    (folder / "a.npz").write_bytes((folder / "a.npz").read_bytes()[:-200])
    np.savez_compressed(folder / "b.1.npz", probabilities=np.zeros((4, 1, 5, 5), np.float32))
    io.imsave(folder / "c.png", np.zeros((30, 40), np.uint8), check_contrast=False)
    np.savez_compressed(folder / "c.npz", probabilities=probabilities((30, 40), 0)[:, None])
    for flags in ([], ["--tile"]):
        target = out.with_name("damaged" + "".join(flags))
        result = run("-i", folder, "-o", target, "--method", "threshold", *flags)
        assert result.exit_code == 1
        text = str(result.exception)
        assert "2 of 3 cases cannot be made" in text
        assert "a.npz: cannot be read" in text
        assert "b.1.npz: expected probabilities of shape (4, 30, 40), got (4, 5, 5)" in text
        assert made(target) == ["c.tif", "instances.json"]
        np.testing.assert_array_equal(read_instances(target / "c.tif")[0], good)


def read_good(folder, out):
    assert run("-i", folder, "-o", out, "--method", "threshold").exit_code == 0
    return read_instances(out / "a.tif")[0]


def test_label_files_that_are_none(folders):
    folder, out = folders
    (folder / "a.png").write_text("no image")
    io.imsave(folder / "b.1.png", np.full((4, 4), 9, np.uint8), check_contrast=False)
    result = run("-i", folder, "-o", out)
    assert result.exit_code == 1
    assert "a.png: cannot be read" in str(result.exception)
    assert "b.1.png: contains 9, not in the labels of dataset.json" in str(result.exception)
    assert made(out) == ["instances.json"]


def test_the_ignore_label_is_none_that_is_predicted(folders):
    folder, out = folders
    io.imsave(folder / "a.png", np.full((4, 4), 4, np.uint8), check_contrast=False)
    result = run("-i", folder, "-o", out)
    assert result.exit_code == 1
    assert "a.png: 16 voxels are 4, the dataset's ignore label" in str(result.exception)


def test_wrong_folders(folders, tmp_path):
    folder, out = folders
    assert "no folder" in str(run("-i", tmp_path / "nowhere", "-o", out).exception)
    assert "is what this command reads" in str(run("-i", folder, "-o", folder).exception)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "No dataset.json" in str(run("-i", empty, "-o", out).exception)
    djfile = ("-djfile", folder / "dataset.json")
    assert "No file ending in .png" in str(run("-i", empty, "-o", out, *djfile).exception)
    assert not out.exists()


def test_a_rerun_goes_on_and_never_mixes(folders):
    folder, out = folders
    assert run("-i", folder, "-o", out).exit_code == 0
    (out / "a.tif").unlink()
    before = (out / "b.1.tif").stat().st_mtime_ns
    again = run("-i", folder, "-o", out)
    assert "1 made, 1 kept" in again.output
    assert (out / "b.1.tif").stat().st_mtime_ns == before

    mixed = run("-i", folder, "-o", out, "--min-size", 5)
    assert isinstance(mixed.exception, UserError)
    assert "min_size 0 → 5" in str(mixed.exception)
    assert run("-i", folder, "-o", out, "--min-size", 5, "--overwrite").exit_code == 0
    p = probabilities((30, 40), 1)
    np.testing.assert_array_equal(read_instances(out / "b.1.tif")[0], from_probabilities(p, min_size=5))

    io.imsave(folder / "a.png", np.zeros((30, 40), np.uint8), check_contrast=False)
    newer = run("-i", folder, "-o", out, "--min-size", 5)
    assert "1 made, 1 kept" in newer.output
    assert not read_instances(out / "a.tif")[0].any()


def test_files_of_others_are_not_replaced(folders):
    folder, out = folders
    out.mkdir()
    (out / "a.tif").write_text("mine")
    result = run("-i", folder, "-o", out)
    assert "did not make" in str(result.exception)
    assert (out / "a.tif").read_text() == "mine"
    (out / "instances.json").write_text("[]")
    assert "not a record" in str(run("-i", folder, "-o", out).exception)
    assert run("-i", folder, "-o", out, "--overwrite").exit_code == 0


def test_processes_change_nothing(folders):
    folder, out = folders
    assert run("-i", folder, "-o", out, "-np", 2).exit_code == 0
    labels = io.imread(folder / "a.png")
    np.testing.assert_array_equal(read_instances(out / "a.tif")[0], from_semantic(labels))
    assert made(out) == ["a.tif", "b.1.tif", "instances.json"]


def test_help_is_quick():
    code = (
        "import sys, nnunet_ext.cli.instances\n"
        "print([name for name in ('nnunetv2', 'torch', 'scipy', 'skimage', 'cc3d') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
    assert "Example: " in run("--help").output


def test_what_did_not_become_an_instance_is_said(tmp_path):
    labels = np.zeros((4, 60), np.uint8)
    labels[1, :3], labels[1, 10], labels[1, [3, 50]] = 1, 1, 2
    predictions = tmp_path / "predictions"
    predictions.mkdir()
    write_dataset_json(predictions, ".png", touching_radius={"radius": 1.0, "unit": "voxels"})
    write_labels(predictions, "a", labels, ".png")
    result = run("-i", predictions, "-o", tmp_path / "cells", "--min-size", 2)
    said = " ".join(result.output.split())
    assert "1 touching voxels are too far from every cell core (--max-distance)" in said
    assert "1 cores with fewer than 2 voxels (--min-size) are left out" in said
    assert read_instances(tmp_path / "cells" / "a.tif")[0][1, [0, 3, 10, 50]].tolist() == [1, 1, 0, 0]
    far = run("-i", predictions, "-o", tmp_path / "all", "--max-distance", "inf")
    assert "too far" not in far.output
    assert read_instances(tmp_path / "all" / "a.tif")[0][1, 50] == 2
