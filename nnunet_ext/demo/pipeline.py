"""The commands of the demo, each a step that a rerun skips once it is done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nnunet_ext.errors import UserError

DATASET = "Dataset999_Vessels"
CONFIGURATION = "2d"
PLANS = "nnUNetPlansSmall"
LENGTH = "_6epochs_150iters"
BASELINE = f"nnUNetTrainerExt{LENGTH}"
SCNP = f"nnUNetTrainerSCNP_joint{LENGTH}"
TRAINING_CASES, TEST_CASES = 24, 12
# Each worker process of nnU-Net imports torch first: more of them would cost more than they bring.
WORKERS = "1"


@dataclass(frozen=True)
class Step:
    """One command line and what the person sees while it runs; `paths` are arguments that may hold spaces."""

    name: str
    title: str
    command: str
    paths: tuple[str, ...] = ()


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
        """The environment of nnU-Net's commands: its three folders, few workers."""
        folders = {
            name: str(self.folder / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
        }
        for path in folders.values():
            Path(path).mkdir(parents=True, exist_ok=True)
        return {**os.environ, "nnUNet_n_proc_DA": WORKERS, "nnUNet_def_n_proc": WORKERS, **folders}

    def steps(self) -> Iterator[Step]:
        """Plan, shrink the plans, train both, predict with both."""
        number, chosen = int(DATASET[7:10]), f"-p {PLANS} -device {self.device}"
        plan = f"nnUNetv2_plan_and_preprocess -d {number} -c {CONFIGURATION} -npfp {WORKERS} -np {WORKERS}"
        yield Step("plan", "plan and preprocess", plan)
        yield Step("small_plans", "small plans", f"nnunet_ext small-plans -d {number} -c {CONFIGURATION}")
        for trainer in (BASELINE, SCNP):
            train = f"nnUNetv2_train {number} {CONFIGURATION} 0 -tr {trainer} {chosen}"
            yield Step(f"train_{trainer}", f"train {trainer}", train)
            predict = (
                f"nnUNetv2_predict -d {number} -c {CONFIGURATION} -f 0 -tr {trainer} {chosen} -npp 1 -nps 1"
            )
            folders = ("-i", str(self.dataset / "imagesTs"), "-o", str(self.prediction(trainer)))
            yield Step(f"predict_{trainer}", f"predict with {trainer}", predict, folders)

    def run(self, step: Step) -> None:
        """Run a step unless its log says that this very command was completed before.

        Raises
        ------
        UserError
            If the command fails; the text ends with the last lines of its log.
        """
        log = self.folder / "logs" / f"{step.name}.txt"
        headline = f"$ {step.command}\n"
        if log.exists() and log.read_text().startswith(headline):
            return
        log.parent.mkdir(parents=True, exist_ok=True)
        unfinished = log.with_suffix(".unfinished")
        with unfinished.open("w") as stream:
            stream.write(headline)
            stream.flush()
            program, *arguments = step.command.split()
            command = (_executable(program), *arguments, *step.paths)
            code = subprocess.run(command, env=self.environment(), stdout=stream, stderr=stream).returncode
        if code:
            tail = "\n".join(unfinished.read_text().splitlines()[-8:])
            raise UserError(f"'{step.title}' failed with exit code {code}. The end of {unfinished}:\n{tail}")
        unfinished.replace(log)


def _executable(name: str) -> str:
    """A command of this Python's environment, even where that is not activated."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise UserError(f"{name} was not found. Install nnunet-ext again in this environment.")
    return found
