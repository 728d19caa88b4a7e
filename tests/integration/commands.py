"""Running nnU-Net's own commands as a user would."""

import subprocess
import sys
from pathlib import Path


def run(command, *arguments, fails=False):
    """Run a command of this environment; return its output. It must succeed, or with `fails` not."""
    executable = Path(sys.executable).parent / command
    done = subprocess.run(
        [executable, *map(str, arguments)],
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
