"""Stock nnU-Net commands on 3D images with regions and an ignore label, and the cascade."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from commands import run, training_logs
from scipy.ndimage import binary_erosion
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.data import write_vessel_dataset

DATASET = "Dataset998_Regions"
REGIONS = {
    "labels": {"background": 0, "vessel": [1, 2], "core": 2, "ignore": 3},
    "regions_class_order": [1, 2],
}
CLASSES = {"labels": {"background": 0, "wall": 1, "core": 2, "ignore": 3}}
PLANS = ("-p", "nnUNetPlansSmall")
NAME = "nnUNetTrainerSCNP_joint_1epochs_2iters"

pytestmark = pytest.mark.slow


def add_core_and_ignored_slab(path):
    label = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    label[binary_erosion(label == 1)] = 2
    label[:, :6] = 3
    sitk.WriteImage(sitk.GetImageFromArray(label), str(path))


def set_labels(folder, labels):
    for path in (
        folder / "nnUNet_raw" / DATASET / "dataset.json",
        folder / "nnUNet_preprocessed" / DATASET / "dataset.json",
    ):
        content = json.loads(path.read_text())
        content.pop("regions_class_order", None)
        path.write_text(json.dumps(content | labels))


def add_cascade(folder):
    """Give the small plans a low-resolution configuration, which nnU-Net plans for large images only."""
    path = folder / "nnUNet_preprocessed" / DATASET / "nnUNetPlansSmall.json"
    plans = json.loads(path.read_text())
    full = plans["configurations"]["3d_fullres"]
    full["batch_dice"] = False
    plans["configurations"]["3d_lowres"] = full | {
        "data_identifier": "nnUNetPlansSmall_3d_lowres",
        "spacing": [2 * s for s in full["spacing"]],
        "next_stage": "3d_cascade_fullres",
    }
    plans["configurations"]["3d_cascade_fullres"] = {
        "inherits_from": "3d_fullres",
        "previous_stage": "3d_lowres",
    }
    path.write_text(json.dumps(plans))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A planned 3D dataset with small plans and a cascade."""
    folder = tmp_path_factory.mktemp("3d")
    raw = folder / "nnUNet_raw" / DATASET
    write_vessel_dataset(raw, training=5, test=1, shape=(32, 40, 48))
    for path in raw.glob("labels*/*"):
        add_core_and_ignored_slab(path)
    content = json.loads((raw / "dataset.json").read_text())
    (raw / "dataset.json").write_text(json.dumps(content | REGIONS))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            (folder / name).mkdir(exist_ok=True)
            patch.setenv(name, str(folder / name))
        run(
            "nnUNetv2_plan_and_preprocess", "-d", 998, "-c", "3d_fullres", "-npfp", 1, "-np", 1,
            "--verify_dataset_integrity",
        )  # fmt: skip
        run("nnunet_ext", "small-plans", "-d", 998, "-c", "3d_fullres", "--patch", 32, "--features", 4)
        add_cascade(folder)
        yield folder


def model_folder(folder, configuration):
    return folder / "nnUNet_results" / DATASET / f"{NAME}__nnUNetPlansSmall__{configuration}"


def test_regions_with_ignore_label(folder):
    """Train, predict and evaluate region-based; every value of the prediction is a declared label."""
    run("nnUNetv2_train", 998, "3d_fullres", 0, "-tr", NAME, *PLANS, "-device", "cpu")
    (log,) = training_logs(model_folder(folder, "3d_fullres"))
    assert "joint=True" in log
    assert "train_loss" in log
    assert "train_loss nan" not in log
    raw, predicted = folder / "nnUNet_raw" / DATASET, folder / "predicted"
    run(
        "nnUNetv2_predict", "-d", 998, "-c", "3d_fullres", "-f", 0, "-tr", NAME, *PLANS, "-device", "cpu",
        "-i", raw / "imagesTs", "-o", predicted, "--save_probabilities",
    )  # fmt: skip
    (image,) = predicted.glob("*.nii.gz")
    assert set(np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(image))))) <= {0, 1, 2}
    assert len(list(predicted.glob("*.npz"))) == 1
    result = CliRunner().invoke(app, ["evaluate", "-ref", str(raw / "labelsTs"), "-pred", str(predicted)])
    assert result.exit_code == 0, result.exception
    summary = json.loads((predicted / "evaluation.json").read_text())
    assert set(summary["mean"]) == {"(1, 2)", "2"}


def test_cascade_with_ignore_label(folder):
    """Low resolution on all cases, then the cascade that takes its predictions as input."""
    set_labels(folder, CLASSES)
    run("nnUNetv2_preprocess", "-d", 998, "-plans_name", "nnUNetPlansSmall", "-c", "3d_lowres", "-np", 1)
    for configuration in ("3d_lowres", "3d_cascade_fullres"):
        run("nnUNetv2_train", 998, configuration, "all", "-tr", NAME, *PLANS, "-device", "cpu")
        (log,) = model_folder(folder, configuration).glob("fold_all/training_log_*.txt")
        assert "Mean Validation Dice" in log.read_text()
        assert "train_loss nan" not in log.read_text()
