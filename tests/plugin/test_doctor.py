import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.plugin import doctor as checks
from nnunet_ext.plugin.register import FOLDER


@pytest.mark.slow
def test_everything_in_place(nnunet_folders):
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "Ready to train" in result.output
    assert "nnUNetTrainerSCNP" in result.output
    assert "2.8" in result.output


def test_missing_and_unwritable_folders(nnunet_folders, monkeypatch, tmp_path):
    monkeypatch.delenv("nnUNet_raw")
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "nowhere"))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "export nnUNet_raw=" in result.output
    assert f"mkdir -p '{tmp_path / 'nowhere'}'" in result.output
    assert "Training cannot start yet: 2 to fix." in result.output


def test_folder_states(tmp_path, monkeypatch):
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    assert checks.check_folder("nnUNet_raw", "").state == "ok"
    monkeypatch.setattr(checks.os, "access", lambda *_: False)
    assert "not writable" in checks.check_folder("nnUNet_raw", "").found


def test_folder_not_announced(monkeypatch):
    monkeypatch.setenv("nnUNet_extTrainer", "/elsewhere")
    first, *trainers = checks.check_discovery()
    assert first.state == "bad"
    assert f"export nnUNet_extTrainer=/elsewhere{os.pathsep}{FOLDER}" in first.remedy
    assert [check.state for check in trainers] == ["bad"] * len(trainers)
    assert "not found by nnU-Net" in trainers[0].found


def test_another_class_of_the_same_name_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "copied.py").write_text(
        "from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer\n"
        "class nnUNetTrainerSCNP(nnUNetTrainer): pass\n"
    )
    monkeypatch.setenv("nnUNet_extTrainer", f"{tmp_path}{os.pathsep}{FOLDER}")
    assert "another class hides ours: copied" in checks.check_trainer("nnUNetTrainerSCNP").found


@pytest.mark.parametrize(
    ("version", "state"), [("2.8.1", "ok"), ("2.8.7", "ok"), ("2.7.0", "bad"), ("2.9.0", "bad")]
)
def test_nnunet_version_range(version, state, monkeypatch):
    real = checks.importlib.metadata.version
    monkeypatch.setattr(
        checks.importlib.metadata, "version", lambda name: version if name == "nnunetv2" else real(name)
    )
    nnunet = next(check for check in checks.check_versions() if check.subject == "nnU-Net")
    assert nnunet.state == state
    assert (nnunet.remedy == "") == (state == "ok")


@pytest.mark.parametrize(("device", "words"), [("cpu", "-device cpu"), ("mps", "-device mps")])
def test_without_a_gpu_the_remedy_comes_first(device, words, monkeypatch, nnunet_folders):
    monkeypatch.setattr(checks, "best_device", lambda: device)
    monkeypatch.setattr(checks, "check_discovery", lambda: iter(()))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    remedies = [line for line in result.output.splitlines() if line.startswith("GPU: ")]
    assert words in remedies[0]
    assert device == "mps" or "nnunet_ext small-plans -d DATASET -c 2d" in remedies[0]


def test_a_trainer_of_nnunet_with_the_name_of_ours_is_noticed(tmp_path, monkeypatch):
    folder = tmp_path / "training" / "nnUNetTrainer" / "variants"
    folder.mkdir(parents=True)
    (folder / "theirs.py").write_text("class nnUNetTrainerJC(object):\n    pass\n")
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda name: package)
    monkeypatch.setattr(checks, "check_trainer", lambda name: checks.Check(name, "ok", ""))
    _, *trainers = checks.check_discovery()
    assert [check.subject for check in trainers if check.state == "bad"] == ["nnUNetTrainerJC"]


@pytest.mark.slow
def test_nnunets_own_trainers_are_not_imported():
    """They take as long as all the rest: a network library is loaded for each of some kinds of them."""
    program = (
        "import sys; from nnunet_ext.plugin.doctor import check_discovery; found = list(check_discovery())\n"
        "assert all(check.state == 'ok' for check in found), found\n"
        "print([name for name in sys.modules if '.nnUNetTrainer.variants' in name], 'timm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-2] == "[] False"
