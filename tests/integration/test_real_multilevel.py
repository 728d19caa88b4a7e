"""Nested classes on one channel with the commands a user types: train, resume, predict, ensemble, tune."""

import json

import numpy as np
import pytest
import torch
from commands import run, training_logs
from skimage.io import imread

from nnunet_ext.data import write_nested_dataset
from nnunet_ext.losses.multilevel import preset_thresholds
from nnunet_ext.networks.multilevel import SCORE_SCALE

DATASET = "Dataset994_Nested"
# without the head's gain, first weights fill the range of the activation
TRAINER = "nnUNetTrainerMultiLevelMCE_2epochs_2iters_gain1"
COMMON = ("-p", "nnUNetPlansSmall", "-device", "cpu")

pytestmark = pytest.mark.slow


def interrupt_after_one_epoch(folder):
    """Let fold 1 look as if it had been stopped there, with the weights of fold 0."""
    checkpoint = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=False)
    assert checkpoint["trainer_name"] == TRAINER
    checkpoint["current_epoch"] = 1
    (folder / "fold_1").mkdir()
    torch.save(checkpoint, folder / "fold_1" / "checkpoint_latest.pth")


@pytest.fixture(scope="module")
def nnunet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nested")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            (folder / name).mkdir()
            patch.setenv(name, str(folder / name))
        write_nested_dataset(folder / "nnUNet_raw" / DATASET, 5, 1, shape=(96, 96), cells=4)
        run("nnUNetv2_plan_and_preprocess", "-d", 994, "-c", "2d", "-npfp", 1, "-np", 1)
        run("nnunet_ext", "small-plans", "-d", 994, "-c", "2d", "--patch", 32, "--features", 4)
        run("nnUNetv2_train", 994, "2d", 0, "-tr", TRAINER, *COMMON, "--npz")
        interrupt_after_one_epoch(model(folder))
        run("nnUNetv2_train", 994, "2d", 1, "-tr", TRAINER, *COMMON, "--c", "--npz")
        yield folder


def model(nnunet):
    return nnunet / "nnUNet_results" / DATASET / f"{TRAINER}__nnUNetPlansSmall__2d"


def predict(nnunet, output, *arguments):
    run(
        "nnUNetv2_predict", "-d", 994, "-c", "2d", "-tr", TRAINER, *COMMON, "-npp", 1, "-nps", 1,
        "-i", nnunet / "nnUNet_raw" / DATASET / "imagesTs", "-o", output, *arguments,
    )  # fmt: skip
    return imread(output / "nested_005.png")


def set_thresholds(nnunet, activation):
    """Put θ of both folds where voxels are of all three classes, far from it: the networks learned nothing.

    Their first weights spread the activation over its range, and fold 1 has gone two iterations further.
    """
    low, high = np.quantile(activation, [0.02, 0.98])
    assert high - low > 0.3  # many times the rounding error
    thresholds = torch.tensor([low + (high - low) / 3, high - (high - low) / 3], dtype=torch.float32)
    for fold in (0, 1):
        path = model(nnunet) / f"fold_{fold}" / "checkpoint_final.pth"
        checkpoint = torch.load(path, weights_only=False)
        checkpoint["network_weights"]["head.thresholds"] = thresholds
        torch.save(checkpoint, path)
    return float(thresholds[1] - thresholds[0])


def activation_above_first_threshold(output):
    """a - θ_1 (y, x) of a prediction with probabilities; see `nnunet_ext.networks.multilevel`."""
    scores = np.log(np.load(output / "nested_005.npz")["probabilities"][:, 0].astype(np.float64))
    return (scores[1] - scores[0]) / SCORE_SCALE


def rounding(output, step):
    """How far (y, x) nnU-Net's half precision took the scores from being affine in a, as a distance of a.

    Exact ones differ by 8 (a - θ_1) and by 8 (a - θ_2).
    """
    scores = np.log(np.load(output / "nested_005.npz")["probabilities"][:, 0].astype(np.float64))
    first, second = np.diff(scores, axis=0) / SCORE_SCALE
    return abs(first - step - second)


def assert_largest(labels, probabilities):
    """Labels (y, x) are those with the largest probabilities (C, 1, y, x), but where two are as large."""
    second, first = np.sort(probabilities[:, 0], axis=0)[-2:]
    decided = first - second > 1e-6
    assert {0, 1, 2} == set(labels[decided].tolist())
    np.testing.assert_array_equal(labels[decided], probabilities.argmax(0)[0][decided])


def test_predict_with_two_folds_and_ensemble(nnunet):
    predict(nnunet, nnunet / "untuned", "-f", 0, 1, "--save_probabilities")
    first, _ = preset_thresholds("mce", 2)
    step = set_thresholds(nnunet, activation_above_first_threshold(nnunet / "untuned") + first)
    members = [nnunet / "both", nnunet / "first"]
    for output, folds in zip(members, ((0, 1), (0,)), strict=True):
        labels = predict(nnunet, output, "-f", *folds, "--save_probabilities")
        assert_largest(labels, np.load(output / "nested_005.npz")["probabilities"])
        a, error = activation_above_first_threshold(output), rounding(output, step)
        assert error.max() < 0.06  # two of eight additions of scores up to 16 are off by half of 1/64
        decided = np.minimum(abs(a), abs(a - step)) > error
        assert {0, 1, 2} == set(labels[decided].tolist())
        np.testing.assert_array_equal(labels[decided], ((a > 0) * 1 + (a > step))[decided])
    run("nnUNetv2_ensemble", "-i", *members, "-o", nnunet / "ensemble", "-np", 1)
    mean = np.mean([np.load(member / "nested_005.npz")["probabilities"] for member in members], axis=0)
    assert_largest(imread(nnunet / "ensemble" / "nested_005.png"), mean)


def test_find_best_configuration(nnunet):
    arguments = ("-c", "2d", "-tr", TRAINER, "-p", "nnUNetPlansSmall", "-f", 0, 1, "-np", 1)
    run("nnUNetv2_find_best_configuration", 994, *arguments)
    assert (nnunet / "nnUNet_results" / DATASET / "inference_instructions.txt").exists()


def test_the_interrupted_training_was_resumed(nnunet):
    (log,) = training_logs(model(nnunet), fold=1)
    assert "Epoch 1" in log
    assert "Epoch 0" not in log
    assert (model(nnunet) / "fold_1" / "checkpoint_final.pth").exists()


def test_a_nesting_that_forgets_a_label_is_one_message(nnunet):
    path = nnunet / "nnUNet_preprocessed" / DATASET / "dataset.json"
    kept = path.read_text()
    path.write_text(json.dumps(json.loads(kept) | {"nesting": ["cell"]}))
    try:
        output = run("nnUNetv2_train", 994, "2d", 2, "-tr", TRAINER, *COMMON, fails=True)
    finally:
        path.write_text(kept)
    assert "\"nesting\" does not say where 'nucleus' lies" in output
    assert "Traceback" not in output
    assert not (model(nnunet) / "fold_2").exists()
