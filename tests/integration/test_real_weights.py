"""Weighted cross-entropy with the commands a user types: maps made for every patch, and once per case."""

import json

import numpy as np
import pytest
from commands import run, training_logs
from skimage.io import imread, imsave

from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.targets import semantic_from_instances

DATASET = "Dataset995_Cells"
PER_PATCH = "nnUNetTrainerSCNP_DWM_w5_beta20_dice_1epochs_2iters"
PER_CASE = "nnUNetTrainerSAW_tau6_1epochs_2iters"
COMMON = ("-p", "nnUNetPlansSmall", "-device", "cpu")

pytestmark = pytest.mark.slow


def write_dataset(folder):
    """Five training cases and a test case in nnU-Net's raw format."""
    for number in range(6):
        part = "Tr" if number < 5 else "Ts"
        image, instances = crowded_cells((96, 96), n_cells=20, seed=number)
        files = {f"images{part}": (f"c{number}_0000.png", image)}
        if part == "Tr":
            files["labelsTr"] = (f"c{number}.png", semantic_from_instances(instances))
        for kind, (name, pixels) in files.items():
            (folder / kind).mkdir(parents=True, exist_ok=True)
            imsave(folder / kind / name, pixels, check_contrast=False)
    labels = {"background": 0, "cell": 1, "touching": 2, "gap": 3}
    content = {"channel_names": {"0": "grey"}, "labels": labels, "numTraining": 5, "file_ending": ".png"}
    (folder / "dataset.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def nnunet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            (folder / name).mkdir()
            patch.setenv(name, str(folder / name))
        write_dataset(folder / "nnUNet_raw" / DATASET)
        run("nnUNetv2_plan_and_preprocess", "-d", 995, "-c", "2d", "-npfp", 1, "-np", 1)
        run("nnunet_ext", "small-plans", "-d", 995, "-c", "2d", "--patch", 32, "--features", 4)
        yield folder


def train(nnunet, trainer):
    """Train two iterations; return the log, and the names of what lies beside the preprocessed cases."""
    run("nnUNetv2_train", 995, "2d", 0, "-tr", trainer, *COMMON)
    (log,) = training_logs(nnunet / "nnUNet_results" / DATASET / f"{trainer}__nnUNetPlansSmall__2d")
    assert "train_loss" in log
    assert "train_loss nan" not in log
    made = {path.name for path in (nnunet / "nnUNet_preprocessed" / DATASET).glob("nnUNetPlans_2d?*")}
    return log, made - {".nnUNetPlans_2d_class_counts.lock"}


def test_maps_made_for_every_patch_on_scnp(nnunet):
    log, made = train(nnunet, PER_PATCH)
    assert "beta=20.0, dice=True" in log
    assert "map distance_beta=20 made for every patch" in log
    assert "nnUNetPlans_2d_class_counts.json" in made
    assert not [name for name in made if "distance" in name]


def test_maps_made_once_per_case_and_prediction(nnunet):
    log, made = train(nnunet, PER_CASE)
    assert "map shape_sigma=2_tau=6_cells=1 made once per case" in log
    assert "Computing the maps shape_sigma=2_tau=6_cells=1 of 5 cases" in log
    assert "nnUNetPlans_2d_shape_sigma=2_tau=6_cells=1" in made
    predicted = nnunet / "predicted"
    run(
        "nnUNetv2_predict", "-d", 995, "-c", "2d", "-f", 0, "-tr", PER_CASE, *COMMON, "-npp", 1, "-nps", 1,
        "-i", nnunet / "nnUNet_raw" / DATASET / "imagesTs", "-o", predicted,
    )  # fmt: skip
    assert set(np.unique(imread(predicted / "c5.png"))) <= {0, 1, 2, 3}


def test_what_is_wrong_with_the_users_weights_is_one_message(nnunet):
    output = run(
        "nnUNetv2_train", 995, "2d", 0, "-tr", "nnUNetTrainerWeighted_1epochs_2iters", *COMMON, fails=True
    )
    assert f"There is no folder {nnunet / 'nnUNet_raw' / DATASET / 'weightsTr'}" in output
    assert "Traceback" not in output
