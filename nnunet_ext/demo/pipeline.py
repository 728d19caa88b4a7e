"""The commands of the demo, each a step that a rerun skips once it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nnunet_ext.commands import quiet_threads, run_logged, was_run

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

    @property
    def words(self) -> list[str]:
        """The command and all its arguments."""
        return [*self.command.split(), *self.paths]


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
        """The environment of nnU-Net's commands: its three folders, few workers, quiet threads."""
        folders = {
            name: str(self.folder / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
        }
        for path in folders.values():
            Path(path).mkdir(parents=True, exist_ok=True)
        few = {"nnUNet_n_proc_DA": WORKERS, "nnUNet_def_n_proc": WORKERS}
        return {**quiet_threads(), **few, **folders}

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
        return was_run(step.words, self._log(step))

    def run(self, step: Step, on_epoch: Callable[[int], None] = lambda done: None) -> None:
        """Run a step, unless it is done; its output goes to its log.

        `on_epoch` is called with the number of finished epochs whenever there is one more. If the command
        fails, the `UserError` ends with the last lines of its log.
        """
        if not self.is_done(step):
            run_logged(step.words, self._log(step), self.environment(), on_epoch, step.title)

    def _log(self, step: Step) -> Path:
        return self.folder / "logs" / f"{step.name}.txt"
