"""The commands of the demo, each a step that a rerun skips once it is done."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nnunet_ext.errors import UserError

DATASET = "Dataset999_Vessels"
CONFIGURATION = "2d"
PLANS = "nnUNetPlansSmall"
EPOCHS = 6
LENGTH = f"_{EPOCHS}epochs_120iters"
BASELINE = f"nnUNetTrainerExt{LENGTH}"
SCNP = f"nnUNetTrainerSCNP_joint{LENGTH}"
TRAINING_CASES, TEST_CASES = 24, 12
# Each worker process of nnU-Net imports torch first: more of them would cost more than they bring. Prediction
# does without any.
WORKERS = "1"
_EPOCH_DONE = re.compile(r"Epoch time: [\d.]+ s")  # nnU-Net's last line of an epoch
_LOOK_EVERY, _GRACE = 0.5, 10.0  # seconds


@dataclass(frozen=True)
class Step:
    """One command line and what the person sees while it runs; `paths` are arguments that may hold spaces.

    `epochs` is how many of them its log will report; `cost` and `start` are how long it takes, and how long
    until the first epoch begins, in epochs.
    """

    name: str
    title: str
    command: str
    paths: tuple[str, ...] = ()
    epochs: int = 0
    cost: float = 1.2
    start: float = 0.7


@dataclass(frozen=True)
class Demo:
    """The demo in one folder; nothing is read or written outside it.

    Parameters
    ----------
    folder : Path
        Everything goes here: nnU-Net's three folders, logs, predictions, figure.
    device : str
        cpu, cuda or mps, passed on to nnU-Net.
    """

    folder: Path
    device: str

    @property
    def dataset(self) -> Path:
        """The raw dataset."""
        return self.folder / "nnUNet_raw" / DATASET

    def prediction(self, trainer: str) -> Path:
        """Where a trainer's predictions of the test images go."""
        return self.folder / "predictions" / trainer

    def environment(self) -> dict[str, str]:
        """The environment of nnU-Net's commands: its three folders, few workers, threads that wait quietly.

        nnU-Net takes a thread per core. Where another program needs a core, its threads would spin while they
        wait for each other, and an epoch takes four times as long.
        """
        folders = {
            name: str(self.folder / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
        }
        for path in folders.values():
            Path(path).mkdir(parents=True, exist_ok=True)
        few = {"nnUNet_n_proc_DA": WORKERS, "nnUNet_def_n_proc": WORKERS}
        return {"OMP_WAIT_POLICY": "passive", **os.environ, **few, **folders}

    def steps(self) -> Iterator[Step]:
        """Plan, shrink the plans, train both, predict with both."""
        number, chosen = int(DATASET[7:10]), f"-p {PLANS} -device {self.device}"
        plan = f"nnUNetv2_plan_and_preprocess -d {number} -c {CONFIGURATION} -npfp {WORKERS} -np {WORKERS}"
        yield Step("plan", "plan and preprocess", plan)
        small = f"nnunet_ext small-plans -d {number} -c {CONFIGURATION}"
        yield Step("small_plans", "small plans", small, cost=0.3)
        for trainer in (BASELINE, SCNP):
            train = f"nnUNetv2_train {number} {CONFIGURATION} 0 -tr {trainer} {chosen}"
            # after the last epoch nnU-Net predicts the validation cases
            yield Step(f"train_{trainer}", f"train {trainer}", train, epochs=EPOCHS, cost=EPOCHS + 2)
            predict = (
                f"nnUNetv2_predict -d {number} -c {CONFIGURATION} -f 0 -tr {trainer} {chosen} -npp 0 -nps 0"
            )
            folders = ("-i", str(self.dataset / "imagesTs"), "-o", str(self.prediction(trainer)))
            yield Step(f"predict_{trainer}", f"predict with {trainer}", predict, folders)

    def is_done(self, step: Step) -> bool:
        """Whether a step's log says that this very command was completed before."""
        log = self._log(step)
        return log.exists() and log.read_text().startswith(_headline(step))

    def run(self, step: Step, on_epoch: Callable[[int], None] = lambda done: None) -> None:
        """Run a step, unless it is done.

        Parameters
        ----------
        step : Step
            What to run; its output goes to its log.
        on_epoch : callable
            Called with the number of finished epochs whenever there is one more.

        Raises
        ------
        UserError
            If the command fails; the text ends with the last lines of its log.
        """
        if self.is_done(step):
            return
        log = self._log(step)
        log.parent.mkdir(parents=True, exist_ok=True)
        unfinished = log.with_suffix(".unfinished")
        program, *arguments = step.command.split()
        command = (_executable(program), *arguments, *step.paths)
        with unfinished.open("w") as stream:
            stream.write(_headline(step))
            stream.flush()
            code = _watched(command, self.environment(), unfinished, stream, on_epoch)
        if code:
            tail = "\n".join(unfinished.read_text().splitlines()[-8:])
            raise UserError(f"'{step.title}' failed with exit code {code}. The end of {unfinished}:\n{tail}")
        unfinished.replace(log)

    def _log(self, step: Step) -> Path:
        return self.folder / "logs" / f"{step.name}.txt"


def _headline(step: Step) -> str:
    return f"$ {step.command}\n"


def _watched(
    command: tuple[str, ...],
    environment: dict[str, str],
    log: Path,
    stream: IO[str],
    on_epoch: Callable[[int], None],
) -> int:
    """Run a command that writes to `log`, telling of the epochs it reports there; return its exit code."""
    seen = 0
    with subprocess.Popen(command, env=environment, stdout=stream, stderr=stream) as process:
        try:
            code = None
            while code is None:
                with suppress(subprocess.TimeoutExpired):
                    code = process.wait(_LOOK_EVERY)
                done = len(_EPOCH_DONE.findall(log.read_text(errors="replace")))
                if done > seen:
                    seen = done
                    on_epoch(done)
        except BaseException:  # an interruption as well: no training goes on without its demo
            _end(process)
            raise
    return code


def _end(process: subprocess.Popen) -> None:
    """Interrupt a command, upon which nnU-Net ends its workers, too; where that does nothing, kill it."""
    process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGINT)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()


def _executable(name: str) -> str:
    """A command of this Python's environment, even where that is not activated."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise UserError(f"{name} was not found. Install nnunet-ext again in this environment.")
    return found
