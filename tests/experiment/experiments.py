"""A dataset, and nnU-Net's commands replaced by a stub, in this process and in those it starts."""

import json
import os
import sys
from pathlib import Path

import numpy as np
from skimage.io import imsave

from nnunet_ext import commands

HERE = Path(__file__).parent
#: the command line, with the stub in place of nnU-Net's commands
MAIN = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from experiments import use_stub
use_stub()
from nnunet_ext.cli.app import main
main()
"""


def use_stub():
    """Let every command be the stub."""
    stub = Path(os.environ["STUB_CALLS"]).parent / "bin"
    commands._executable = lambda name: str(stub / name)


def make_dataset(tmp_path, monkeypatch):
    """Write Dataset501_Lines and empty folders of nnU-Net, and set its variables; return the folder above."""
    for name in ("raw", "preprocessed", "results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    monkeypatch.setenv("STUB_CALLS", str(tmp_path / "calls"))
    monkeypatch.setattr(commands, "_executable", lambda name: str(tmp_path / "bin" / name))
    monkeypatch.setattr(commands, "_LOOK_EVERY", 0.02)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calls").touch()
    write_dataset(tmp_path / "raw" / "Dataset501_Lines")
    (tmp_path / "bin").mkdir()
    for name in ("nnUNetv2_plan_and_preprocess", "nnUNetv2_train", "nnUNetv2_predict", "nnunet_ext"):
        file = tmp_path / "bin" / name
        file.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "nnunet_stub.py"} {name} "$@"\n')
        file.chmod(0o755)
    return tmp_path


def write_dataset(folder):
    """Images of a line, four to train with and eight to test."""
    random = np.random.default_rng(0)
    for part, cases in (("Tr", 4), ("Ts", 8)):
        for kind in ("images", "labels"):
            (folder / f"{kind}{part}").mkdir(parents=True)
        for number in range(cases):
            label = np.zeros((32, 32), np.uint8)
            label[8 + number, 4:28] = 1
            image = (100 * label + random.integers(0, 50, label.shape)).astype(np.uint8)
            name = f"{'even' if number % 2 == 0 else 'odd'}_{part}{number}"
            imsave(folder / f"images{part}" / f"{name}_0000.png", image, check_contrast=False)
            imsave(folder / f"labels{part}" / f"{name}.png", label, check_contrast=False)
    content = {
        "channel_names": {"0": "grey"},
        "labels": {"background": 0, "line": 1},
        "numTraining": 4,
        "file_ending": ".png",
    }
    (folder / "dataset.json").write_text(json.dumps(content))
