"""What every test relies on."""

import os
import sys
from pathlib import Path

import matplotlib
import pytest

collect_ignore = ["seeds/sitecustomize.py"]  # some systems have a module of this name, imported before
SEEDS = str(Path(__file__).parent / "seeds")
sys.path.insert(0, SEEDS)

import seeds  # noqa: E402

# No test rests on an unseeded training: processes that tests start find seeds/sitecustomize.py on this path.
seeds.install()
os.environ["PYTHONPATH"] = os.pathsep.join([SEEDS, *filter(None, [os.environ.get("PYTHONPATH")])])

# One worker and one thread each: the tests share a small machine, and speed is not what they measure.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# nnU-Net's commands take a thread per core all the same; threads that spin would keep each other waiting.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["nnUNet_def_n_proc"] = "1"
os.environ["nnUNet_n_proc_DA"] = "1"
os.environ["COLUMNS"] = "200"  # tables of the command line, unwrapped


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Whatever ran before, a test draws the same."""
    seeds.seed_all()


@pytest.fixture(autouse=True)
def matplotlib_style():
    """nnU-Net's progress plot changes matplotlib's defaults for the whole process."""
    with matplotlib.rc_context():
        yield


@pytest.fixture
def nnunet_folders(tmp_path, monkeypatch):
    """Empty nnUNet_raw, nnUNet_preprocessed and nnUNet_results, set in the environment."""
    folders = {name: tmp_path / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    for name, path in folders.items():
        path.mkdir()
        monkeypatch.setenv(name, str(path))
    return folders
