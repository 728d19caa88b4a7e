"""A wheel and an editable install in a fresh environment: the trainers are announced, and leave no trace."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ["nnunet_ext", "trainers", "dataset_conversion"]
FILES = ["pyproject.toml", "setup.py", "nnunet_ext.pth", "README.md", "LICENSE"]

pytestmark = pytest.mark.slow


def call(*command, **environment):
    env = {key: value for key, value in os.environ.items() if key != "nnUNet_extTrainer"} | environment
    done = subprocess.run(list(map(str, command)), env=env, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("editable", [False, True], ids=["wheel", "editable"])
def test_install_announces_the_trainers_and_uninstall_removes_them(editable, tmp_path):
    source = tmp_path / "source"
    for name in PARTS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source / name)
    call(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    # No network: setuptools comes from the environment that runs the tests.
    call(
        python, "-m", "pip", "install", "--no-deps", "--no-index", "--no-build-isolation",
        *(["-e"] if editable else []), source,
        PYTHONPATH=sysconfig.get_paths()["purelib"],
    )  # fmt: skip

    folder = Path(call(python, "-c", "import os; print(os.environ['nnUNet_extTrainer'])"))
    assert [path.name for path in folder.glob("*.py")] == ["nnunet_ext_shim.py"]
    assert folder.is_relative_to(source if editable else tmp_path / "venv")
    code = (
        "import nnunet_ext.trainers as t, nnunet_ext.dataset_conversion as d; print(t.__file__, d.__file__)"
    )
    for path in call(python, "-c", code).split():
        assert Path(path).is_relative_to(source if editable else tmp_path / "venv")
    assert "Usage" in call(
        python.with_name("nnunet_ext"), "--help", PYTHONPATH=sysconfig.get_paths()["purelib"]
    )

    call(python, "-m", "pip", "uninstall", "-y", "nnunet-ext")
    assert call(python, "-c", "import os; print(os.environ.get('nnUNet_extTrainer'))") == "None"
    assert not list((tmp_path / "venv").rglob("*nnunet_ext*"))
