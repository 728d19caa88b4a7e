"""The demo, shortened, and what comes after it: stock nnU-Net commands on 2D images."""

import json

import pytest
import torch
from commands import run, training_logs
from nnunetv2.run.run_training import get_trainer_from_args
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from skimage.io import imread
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.demo import pipeline
from nnunet_ext.losses import SCNPLoss
from nnunet_ext.trainers import get_trainer

BASELINE = "nnUNetTrainerExt_1epochs_2iters"
SCNP = "nnUNetTrainerSCNP_joint_1epochs_2iters"
CPU = ("-p", "nnUNetPlansSmall", "-device", "cpu")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the demo with few cases and iterations; return its folder and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        short = {"BASELINE": BASELINE, "SCNP": SCNP, "EPOCHS": 1, "TRAINING_CASES": 5, "TEST_CASES": 3}
        for name, value in short.items():
            patch.setattr(pipeline, name, value)
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            patch.setenv(name, str(folder / name))
        result = CliRunner().invoke(app, ["demo", "-o", str(folder)])
        assert result.exit_code == 0, (result.output, result.exception)
        yield folder, result.output


def model_folder(folder, trainer):
    return folder / "nnUNet_results" / pipeline.DATASET / f"{trainer}__nnUNetPlansSmall__2d"


def test_demo_prints_the_comparison_and_draws(demo):
    folder, output = demo
    for text in ("Dice", "Beta0Error", "clDice", "permutation", f"Figure: {folder / 'demo.png'}", "\nHere "):
        assert text in output
    assert output.count("epoch 1 of 1 done") == 2
    assert "train nnUNetTrainerExt_1epochs_2iters (step 3 of 6)" in output
    assert imread(folder / "demo.png").shape[1] > 1000
    summary = json.loads((folder / "predictions" / SCNP / "evaluation.json").read_text())
    assert len(summary["metric_per_case"]) == 3


def test_demo_again_repeats_nothing(demo):
    folder, output = demo
    checkpoint = model_folder(folder, SCNP) / "fold_0" / "checkpoint_final.pth"
    before = checkpoint.stat().st_mtime_ns
    again = CliRunner().invoke(app, ["demo", "-o", str(folder)])
    assert again.exit_code == 0
    assert checkpoint.stat().st_mtime_ns == before
    assert again.output.splitlines()[-3:] == output.splitlines()[-3:]


def test_checkpoint_and_log_carry_name_and_options(demo):
    folder, _ = demo
    checkpoint = torch.load(
        model_folder(folder, SCNP) / "fold_0" / "checkpoint_final.pth", map_location="cpu", weights_only=False
    )
    assert checkpoint["trainer_name"] == SCNP
    (log,) = training_logs(model_folder(folder, SCNP))
    assert "neighborhood=3, joint=True, 1 epochs of 2 iterations" in log
    assert "\rEpoch" not in log


def test_find_best_configuration_compares_both(demo):
    output = run(
        "nnUNetv2_find_best_configuration", "999", "-c", "2d", "-p", "nnUNetPlansSmall", "-f", "0",
        "-tr", BASELINE, SCNP, "--disable_ensembling", "-np", "1",
    )  # fmt: skip
    assert f"{SCNP}__nnUNetPlansSmall__2d" in output


def test_interrupted_training_resumes(demo, monkeypatch):
    folder, _ = demo
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")  # no worker is left behind by the interruption
    name = "nnUNetTrainerSCNP_w5_2epochs_2iters_nomirroring_nodeepsupervision"
    trainer = get_trainer_from_args("999", "2d", 0, name, "nnUNetPlansSmall", device=torch.device("cpu"))
    assert not trainer.enable_deep_supervision
    start_epoch = trainer.on_epoch_start

    def die_in_second_epoch():
        if trainer.current_epoch == 1:
            raise InterruptedError
        start_epoch()

    monkeypatch.setattr(trainer, "on_epoch_start", die_in_second_epoch)
    with pytest.raises(InterruptedError):
        trainer.run_training()
    run("nnUNetv2_train", "999", "2d", "0", "-tr", name, *CPU, "--c", "--npz")
    first, second = training_logs(model_folder(folder, name))
    assert "Epoch 0" in first
    assert "Epoch 0" not in second
    assert "Epoch 1" in second
    assert "neighborhood=5, joint=False, 2 epochs of 2 iterations, mirroring off" in second
    assert "deep supervision off" in second
    checkpoint = torch.load(
        model_folder(folder, name) / "fold_0" / "checkpoint_final.pth", map_location="cpu", weights_only=False
    )
    assert checkpoint["inference_allowed_mirroring_axes"] is None
    assert list(model_folder(folder, name).glob("fold_0/validation/*.npz"))


@pytest.mark.parametrize(
    ("name", "text"),
    [("nnUNetTrainerSCNP_w4_2epochs", "odd, 3 to 31"), ("nnUNetTrainerSCNP_jiont", "Known options")],
)
def test_a_wrong_option_is_refused_before_anything_is_written(demo, name, text):
    folder, _ = demo
    output = run("nnUNetv2_train", "999", "2d", "0", "-tr", name, *CPU, fails=True)
    assert f"Error: {name}: " in output
    assert text in output
    assert "Traceback" not in output
    assert not model_folder(folder, name).exists()


@pytest.mark.parametrize("deep_supervision", [True, False])
@pytest.mark.parametrize("family", ["nnUNetTrainerExt", "nnUNetTrainerSCNP"])
def test_loss_sits_inside_nnunets_deep_supervision(demo, family, deep_supervision):
    def loss_of(trainer_name):
        trainer = get_trainer_from_args(
            "999", "2d", 0, trainer_name, "nnUNetPlansSmall", device=torch.device("cpu")
        )
        trainer.initialize()
        return trainer.loss

    suffix = "" if deep_supervision else "_nodeepsupervision"
    stock = loss_of("nnUNetTrainer" if deep_supervision else "nnUNetTrainerNoDeepSupervision")
    ours = loss_of(get_trainer(family + suffix).__name__)
    assert isinstance(ours, DeepSupervisionWrapper) == deep_supervision
    if deep_supervision:
        assert ours.weight_factors == stock.weight_factors
        ours, stock = ours.loss, stock.loss
    if family == "nnUNetTrainerSCNP":
        assert isinstance(ours, SCNPLoss)
        ours = ours.base_loss
    assert type(ours) is type(stock)
