"""From a folder of cells to instances again, with the commands a user types, in 2D and 3D."""

import json
import shutil

import numpy as np
import pytest
import tifffile
from commands import run, training_logs
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.images.instance_files import read_instances

JC = "nnUNetTrainerJC_lambda0.25_adam1e-3_1epochs_2iters"
SCNP_JC = "nnUNetTrainerSCNP_JC_w5_joint_notouchaug_1epochs_2iters"
PLANS = ("-p", "nnUNetPlansSmall")

pytestmark = pytest.mark.slow


def write_cells(folder, shape, spacing=None, training=5, test=1):
    """Images and labels of synthetic cells: ``train/images/a0.tif`` and so on."""
    for part, count in (("train", training), ("test", test)):
        for number in range(count):
            seed = number + 100 * (part == "test")
            image, instances = crowded_cells(shape, n_cells=20, seed=seed, spacing=spacing)
            for kind, pixels in (("images", image), ("labels", instances)):
                path = folder / part / kind / f"a{number}.tif"
                path.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(path, pixels, metadata={"axes": "ZYX"[-pixels.ndim :]})


def convert_and_plan(folder, dataset, configuration, *options):
    train, test = folder / "train", folder / "test"
    run(
        "nnunet_ext", "convert", "instances", "-i", train / "images", "-l", train / "labels",
        "--test", test / "images", test / "labels", "-d", dataset, "-n", "Cells", *options,
    )  # fmt: skip
    run(
        "nnUNetv2_plan_and_preprocess", "-d", dataset, "-c", configuration, "-npfp", 1, "-np", 1,
        "--verify_dataset_integrity",
    )  # fmt: skip
    run("nnunet_ext", "small-plans", "-d", dataset, "-c", configuration, "--patch", 32, "--features", 4)


@pytest.fixture(scope="module")
def nnunet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            (folder / name).mkdir()
            patch.setenv(name, str(folder / name))
        yield folder


def train_and_predict(nnunet, dataset, configuration, trainer):
    """Train two iterations; return the training log and the folder of test predictions."""
    common = ("-tr", trainer, *PLANS, "-device", "cpu")
    run("nnUNetv2_train", dataset, configuration, 0, *common)
    name = f"Dataset{dataset}_Cells"
    predicted = nnunet / f"predicted_{dataset}_{trainer}"
    run(
        "nnUNetv2_predict", "-d", dataset, "-c", configuration, "-f", 0, *common, "--save_probabilities",
        "-i", nnunet / "nnUNet_raw" / name / "imagesTs", "-o", predicted, "-npp", 1, "-nps", 1,
    )  # fmt: skip
    (log,) = training_logs(nnunet / "nnUNet_results" / name / f"{trainer}__nnUNetPlansSmall__{configuration}")
    assert "train_loss nan" not in log
    return log, predicted


def only_case(cells):
    (path,) = cells.glob("*.tif")
    return path


def evaluate(reference, cells):
    result = CliRunner().invoke(app, ["evaluate", "--instances", "-ref", str(reference), "-pred", str(cells)])
    assert result.exit_code == 0, (result.output, result.exception)
    assert "PQ" in result.output
    return json.loads((cells / "evaluation.json").read_text())["foreground_mean"]


def test_2d_every_method_makes_instances(nnunet):
    write_cells(nnunet / "2d", (96, 96))
    convert_and_plan(nnunet / "2d", 996, "2d")
    raw = nnunet / "nnUNet_raw" / "Dataset996_Cells"
    labels = json.loads((raw / "dataset.json").read_text())["labels"]
    assert labels == {"background": 0, "cell": 1, "touching": 2, "gap": 3}

    log, predicted = train_and_predict(nnunet, 996, "2d", JC)
    assert "youden_weight=0.25, touching_contrast=True" in log
    assert "Adam from learning rate 0.001" in log
    for method in ("map", "threshold", "watershed"):
        cells = nnunet / f"cells_{method}"
        run("nnunet_ext", "instances", "-i", predicted, "-o", cells, "--method", method)
        assert read_instances(only_case(cells))[0].shape == (96, 96)
        assert 0 <= evaluate(raw / "instancesTs", cells)["PQ"] <= 1

    # the reference labels in place of a prediction: what the route itself loses
    perfect = nnunet / "perfect"
    shutil.copytree(raw / "labelsTs", perfect)
    shutil.copy(raw / "dataset.json", perfect)
    run("nnunet_ext", "instances", "-i", perfect, "-o", nnunet / "perfect_cells")
    assert evaluate(raw / "instancesTs", nnunet / "perfect_cells")["PQ"] > 0.95


def test_3d_keeps_the_spacing_and_combines_with_scnp(nnunet):
    write_cells(nnunet / "3d", (16, 48, 48), spacing=(0.5, 0.25, 0.25))
    convert_and_plan(nnunet / "3d", 997, "3d_fullres", "--spacing", 0.5, 0.25, 0.25)
    raw = nnunet / "nnUNet_raw" / "Dataset997_Cells"
    plans = json.loads((nnunet / "nnUNet_preprocessed" / raw.name / "nnUNetPlansSmall.json").read_text())
    assert np.allclose(plans["configurations"]["3d_fullres"]["spacing"], [0.5, 0.25, 0.25])

    log, predicted = train_and_predict(nnunet, 997, "3d_fullres", SCNP_JC)
    assert "neighborhood=5, joint=True, youden_weight=0.5, touching_contrast=False" in log
    cells = nnunet / "cells_3d"
    run("nnunet_ext", "instances", "-i", predicted, "-o", cells, "--tile")
    assert read_instances(only_case(cells))[1] == (0.5, 0.25, 0.25)
    assert 0 <= evaluate(raw / "instancesTs", cells)["PQ"] <= 1
