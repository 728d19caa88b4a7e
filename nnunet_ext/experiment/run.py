"""Running the steps of an experiment: several at once, over failures, and never twice at the same time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nnunet_ext.commands import quiet_threads, run_logged
from nnunet_ext.errors import UserError
from nnunet_ext.experiment.steps import Step, Steps

_PATIENCE = 20.0  # seconds in which the commands of a killed run come to their end
Say = Callable[[str], None]


@dataclass
class Outcome:
    """What became of the steps: keys, and for a failed one what its error says."""

    done_before: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def run_steps(
    steps: Sequence[Step],
    of: Steps,
    say: Say,
    jobs: int = 1,
    gpus: Sequence[str] = (),
    held: Sequence[int] = (),
) -> Outcome:
    """Run all steps that are not done, each after those it needs; a failed one stops only those that need it.

    Parameters
    ----------
    steps : list of Step
        In order; a step whose needs are not among them counts on their results being there.
    of : Steps
        Where they log.
    say : callable
        Called with a line of progress.
    jobs : int
        Steps that run at the same time.
    gpus : sequence of str
        Indices of GPUs; each job has one of them to itself. Empty: the environment's choice.
    held : sequence of int
        File descriptors that the commands keep open, such as that of a lock.

    Returns
    -------
    Outcome
    """
    outcome, stop = Outcome(), threading.Event()
    waiting, running = list(steps), dict[Future[None], Step]()
    keys = {step.key for step in steps}
    free = list(gpus) or [""] * jobs
    taken: dict[str, str] = {}
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while waiting or running:
                for step in list(waiting):
                    needs = [key for key in step.needs if key in keys]
                    finished = {*outcome.done_before, *outcome.done}
                    if any(key in outcome.failed or key in outcome.left_out for key in needs):
                        outcome.left_out.append(step.key)
                    elif not all(key in finished for key in needs):
                        continue
                    elif _is_settled(step, outcome):
                        pass
                    elif len(running) < jobs:
                        taken[step.key] = free.pop(0)
                        environment = _environment(jobs, taken[step.key])
                        count = f"[{len(finished) + len(outcome.failed) + 1}/{len(steps)}]"
                        job = pool.submit(_run, step, of, environment, say, count, stop, held)
                        running[job] = step
                    else:
                        continue
                    waiting.remove(step)
                if running:
                    ended, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)
                    for job in ended:
                        step = running.pop(job)
                        free.append(taken.pop(step.key))
                        _note(step, job, outcome, say)
        except BaseException:
            stop.set()
            raise
    return outcome


def _is_settled(step: Step, outcome: Outcome) -> bool:
    """Note a step that is done already, or of which nobody can tell; whether it was one of these."""
    try:
        if not step.is_done():
            return False
        outcome.done_before.append(step.key)
    except UserError as error:
        outcome.failed[step.key] = str(error)
    return True


def _note(step: Step, job: Future[None], outcome: Outcome, say: Say) -> None:
    error = job.exception()
    if error is None:
        outcome.done.append(step.key)
    elif isinstance(error, (UserError, OSError)):
        outcome.failed[step.key] = str(error)
        say(f"{step.title}: failed. The others go on.")
    else:
        raise error


def _environment(jobs: int, gpu: str) -> dict[str, str]:
    """Threads shared out among the jobs, and a GPU of its own for each."""
    environment = quiet_threads()
    if gpu:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    if jobs > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    return environment


def _run(
    step: Step,
    of: Steps,
    environment: dict[str, str],
    say: Say,
    count: str,
    stop: threading.Event,
    held: Sequence[int],
) -> None:
    step.prepare()
    say(f"{count} {step.title}")
    if step.act is not None:
        step.act()
        return
    begin, said = time.monotonic(), 0.0

    def on_epoch(done: int) -> None:
        nonlocal said
        elapsed = time.monotonic() - begin
        if elapsed - said > 30 or done == step.epochs:
            said = elapsed
            of_all = f" of {step.epochs}" if step.epochs else ""
            say(f"{count} {step.title}: epoch {done}{of_all}, {elapsed / 60:.1f} min")

    run_logged(step.words(), of.log(step.key), environment, on_epoch, step.title, stop, held)
    if not step.is_done():
        raise UserError(
            f"{step.title}: the command ended without an error, but its results are not all there."
        )


def choose_gpus(device: str, jobs: int, given: Sequence[str]) -> list[str]:
    """One GPU for each job; none if there is one job, or no GPU is used.

    Raises
    ------
    UserError
        If there are fewer GPUs than jobs.
    """
    if device != "cuda" or (jobs == 1 and not given):
        return []
    there = list(given)
    if not there:
        import torch

        there = [str(index) for index in range(torch.cuda.device_count())]
    if len(there) < jobs:
        raise UserError(f"--jobs {jobs} needs as many GPUs; there are {len(there)}.")
    return there[:jobs]


@contextmanager
def alone(folder: Path, part: str, say: Say) -> Iterator[list[int]]:
    """Refuse a second run in the same folder; the parts of a job array exclude only themselves.

    The lock is the operating system's: it goes when this process and the commands that it started have ended,
    however they end.

    Yields
    ------
    list of int
        File descriptors for the commands to keep open.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield []
        return
    locks = folder / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    whole = part == "all"
    wanted = [("all", fcntl.LOCK_EX if whole else fcntl.LOCK_SH), *([] if whole else [(part, fcntl.LOCK_EX)])]
    files = []
    try:
        for name, kind in wanted:
            file = (locks / name).open("a")
            files.append(file)
            _lock(file.fileno(), kind, folder, say)
        yield [file.fileno() for file in files]
    finally:
        for file in files:
            file.close()


def _lock(descriptor: int, kind: int, folder: Path, say: Say) -> None:
    import fcntl

    begin, told = time.monotonic(), False
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() - begin > _PATIENCE:
                raise UserError(
                    f"Another run of this experiment, or a command that it started, is at work in {folder}. "
                    "Wait for it, end it, or choose another folder."
                ) from None
            if not told:
                say("Waiting for another run in this folder to end …")
                told = True
            time.sleep(0.5)
