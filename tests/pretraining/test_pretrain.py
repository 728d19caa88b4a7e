"""Pre-training: what is refused before, what is run again, and the whole chain with nnU-Net's commands."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.io import imsave
from typer.testing import CliRunner

from nnunet_ext import pretraining as module
from nnunet_ext.cli.app import app
from nnunet_ext.data import vessels
from nnunet_ext.errors import UserError
from nnunet_ext.pretraining import plan_pretraining, run_pretraining

TRAINER = "nnUNetTrainerSCNP_1epochs_2iters"
NAMES = {530: "Dataset530_Many", 520: "Dataset520_Few"}


def write_json(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def describe(folders, number, channels=("grey",), labels=("vessel",), **more):
    content = {
        "channel_names": {str(n): name for n, name in enumerate(channels)},
        "labels": {"background": 0, **{name: n for n, name in enumerate(labels, 1)}},
        "numTraining": 5, "file_ending": ".png", **more,
    }  # fmt: skip
    write_json(folders["nnUNet_raw"] / NAMES[number] / "dataset.json", content)


@pytest.fixture
def datasets(nnunet_folders):
    """Two datasets as far as the checks look at them, and the plans of the second."""
    for number in NAMES:
        describe(nnunet_folders, number)
    configurations = {
        "2d": {"data_identifier": "nnUNetPlans_2d"},
        "3d_cascade_fullres": {"inherits_from": "2d", "previous_stage": "3d_lowres"},
    }
    file = nnunet_folders["nnUNet_preprocessed"] / NAMES[520] / "nnUNetPlans.json"
    write_json(file, {"plans_name": "nnUNetPlans", "configurations": configurations})
    return nnunet_folders


def plan(source="530", target="520", configuration="2d", trainer=TRAINER, plans="nnUNetPlans"):
    return plan_pretraining(source, target, configuration, trainer, plans, "cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "520"}, "trained on itself"),
        ({"source": "531"}, "Convert it first"),
        ({"plans": "nnUNetPlansSmall"}, "nnUNetPlansSmall.json"),
        ({"configuration": "3d_fullres"}, r"no configuration 3d_fullres\. They have: 2d, 3d_cascade"),
        ({"configuration": "3d_cascade_fullres"}, "continues another stage"),
        ({"trainer": "nnUNetTrainerSNCP"}, "Did you mean nnUNetTrainerSCNP"),
    ],
)
def test_refused(changes, message, datasets):
    with pytest.raises(UserError, match=message):
        plan(**changes)


def test_without_plans_the_command_that_makes_them(datasets):
    (datasets["nnUNet_preprocessed"] / NAMES[520] / "nnUNetPlans.json").unlink()
    (datasets["nnUNet_preprocessed"] / NAMES[520]).rmdir()
    with pytest.raises(UserError, match="nnUNetv2_plan_and_preprocess -d 520"):
        plan()


def test_channels_that_differ_are_refused_and_names_and_classes_said(datasets):
    assert plan().notes == ()
    describe(datasets, 530, channels=("red", "green", "blue"))
    with pytest.raises(UserError, match=r"has 3 channels \(red, green, blue\), Dataset520_Few 1 \(grey\)"):
        plan()
    describe(datasets, 530, channels=("green",), labels=("cell", "nucleus"))
    channels, classes = plan().notes
    assert "called green in Dataset530_Many and grey in Dataset520_Few" in channels
    assert "background, cell, nucleus in Dataset530_Many, background, vessel in" in classes


def test_chains_of_nested_classes_have_to_be_alike(datasets):
    describe(datasets, 530, labels=("cell", "nucleus"))
    with pytest.raises(UserError, match="chains of 2 levels in Dataset530_Many, of 1 in Dataset520_Few"):
        plan(trainer="nnUNetTrainerMultiLevelMCE")
    describe(datasets, 520, labels=("organ", "tumour"))
    assert plan(trainer="nnUNetTrainerMultiLevelMCE").notes


def test_commands(datasets):
    found = plan()
    assert found.moved_plans == "nnUNetPlansOfDataset520"
    commands = [words for _, words in found.steps()]
    assert [words[0] for words in commands] == [
        "nnUNetv2_extract_fingerprint", "nnUNetv2_move_plans_between_datasets", "nnUNetv2_preprocess",
        "nnUNetv2_train",
    ]  # fmt: skip
    assert commands[3][1:4] == ["530", "2d", "all"]
    second = found.next_command()
    assert second[:4] == ["nnUNetv2_train", "520", "2d", "0"]
    assert second[-4:] == ["-pretrained_weights", str(found.weights), "-device", "cpu"]


@pytest.fixture
def ran(datasets, monkeypatch):
    """The commands, which here only leave what others look at."""
    calls = []

    def run_logged(words, log, environment, on_epoch):
        calls.append(list(words))
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(module.command(*words) and f"$ {module.command(*words)}\n")
        base = datasets["nnUNet_preprocessed"] / NAMES[530]
        if "move_plans" in words[0]:
            write_json(base / "nnUNetPlansOfDataset520.json", {})
        if words[0] == "nnUNetv2_train":
            folder = plan().folder
            folder.mkdir(parents=True, exist_ok=True)
            torch.save({"network_weights": {"a": torch.ones(2)}}, folder / "checkpoint_final.pth")

    monkeypatch.setattr(module, "run_logged", run_logged)
    return calls


def test_what_is_done_is_not_done_again(ran, datasets):
    weights = run_pretraining(plan())
    assert len(ran) == 4
    assert torch.load(weights)["network_weights"]["a"].device.type == "cpu"
    before = weights.stat().st_mtime_ns
    assert run_pretraining(plan()) == weights
    assert len(ran) == 4
    assert weights.stat().st_mtime_ns == before


def test_an_interrupted_training_goes_on(ran):
    run_pretraining(plan())
    final = plan().folder / "checkpoint_final.pth"
    final.rename(final.with_name("checkpoint_latest.pth"))
    run_pretraining(plan())
    assert len(ran) == 5
    assert ran[-1][-1] == "--c"


def test_plans_that_changed_since_are_not_passed_over(ran, datasets):
    run_pretraining(plan())
    file = datasets["nnUNet_preprocessed"] / NAMES[520] / "nnUNetPlans.json"
    os.utime(file, (4e9, 4e9))
    with pytest.raises(UserError, match="was trained before its data were prepared as they are now"):
        run_pretraining(plan())
    assert [words[0] for words in ran[4:]] == ["nnUNetv2_move_plans_between_datasets", "nnUNetv2_preprocess"]


def test_a_dry_run_prints_commands_that_can_be_copied(ran):
    words = ["-d", "530", "--for", "520", "-c", "2d", "-tr", TRAINER, "-device", "cpu", "--dry-run"]
    result = CliRunner().invoke(app, ["pretrain", *words])
    assert result.exit_code == 0, result.output
    lines = [shlex.split(line) for line in result.output.splitlines() if line.startswith("nnUNetv2")]
    assert lines == [*(words for _, words in plan().steps()), plan().next_command()]
    assert ran == []


# the real chain


def run(*words):
    name, *rest = map(str, words)
    program = str(Path(sys.executable).parent / name)
    done = subprocess.run([program, *rest], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_the_chain_and_the_second_training(nnunet_folders):
    for number, name in NAMES.items():
        raw = nnunet_folders["nnUNet_raw"] / name
        for case in range(5):
            image, label = vessels((64, 64), seed=number + case)
            for kind, suffix, pixels in (("imagesTr", "_0000", image), ("labelsTr", "", label)):
                (raw / kind).mkdir(parents=True, exist_ok=True)
                imsave(raw / kind / f"c{case}{suffix}.png", pixels.astype(np.uint8), check_contrast=False)
        describe(nnunet_folders, number)
    run("nnUNetv2_plan_and_preprocess", "-d", 520, "-c", "2d", "-npfp", 1, "-np", 1)
    run("nnunet_ext", "small-plans", "-d", 520, "-c", "2d", "--patch", 32, "--features", 4)
    words = ("-d", 530, "--for", 520, "-c", "2d", "-tr", TRAINER, "-p", "nnUNetPlansSmall", "-device", "cpu")
    printed = run("nnunet_ext", "pretrain", *words)
    following = next(
        line.removeprefix("Next: ") for line in printed.splitlines() if line.startswith("Next: ")
    )
    weights = Path(shlex.split(following)[-3])
    assert weights.is_file()
    output = run(*shlex.split(following))
    assert "Loading pretrained weights from file" in output
    assert str(weights) in output
