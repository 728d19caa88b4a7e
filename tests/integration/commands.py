"""Running nnU-Net's own commands as a user would."""

import os
import subprocess
import sys
from pathlib import Path

# nnU-Net draws the first weights and the patches from random numbers that it does not seed.
SEEDED = (
    "import random, runpy, sys, numpy, torch; random.seed(0); numpy.random.seed(0); torch.manual_seed(0); "
    "del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def run(command, *arguments, fails=False, seeded=False):
    """Run a command of this environment; return its output.

    Its exit code must be 0, or with `fails` another one. With `seeded`, for trainings whose result matters,
    it draws the same random numbers each time, all in one process: workers would draw their own.
    """
    before = [sys.executable, "-c", SEEDED] if seeded else []
    environment = {"nnUNet_n_proc_DA": "0"} if seeded else {}
    executable = Path(sys.executable).parent / command
    done = subprocess.run(
        [*before, executable, *map(str, arguments)],
        env=os.environ | environment,
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (done.returncode != 0) == fails, done.stdout[-4000:]
    return done.stdout


def training_logs(model_folder, fold=0):
    """The training logs of a fold, oldest first."""
    return [log.read_text() for log in sorted(Path(model_folder).glob(f"fold_{fold}/training_log_*.txt"))]
