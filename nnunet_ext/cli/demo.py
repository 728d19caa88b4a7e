"""``nnunet_ext demo``: stock nnU-Net against SCNP on synthetic vessels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from nnunet_ext.cli.console import err, out, say

if TYPE_CHECKING:
    from nnunet_ext.demo.pipeline import Demo, Step
    from nnunet_ext.evaluation.summary import Summary


def demo(
    output: Annotated[Path, typer.Option("-o", help="Folder for everything the demo makes.")] = Path("demo"),
    device: Annotated[str, typer.Option("-device", help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Train nnU-Net's own loss and SCNP on synthetic vessels, and compare them on held-out images.

    Takes a few minutes on two CPU cores. Uses the real nnU-Net commands with small plans; whatever comes
    out is printed. An interrupted demo goes on after the last step that was finished.

    Example: nnunet_ext demo -o demo
    """
    from nnunet_ext.data import write_vessel_dataset
    from nnunet_ext.demo.pipeline import BASELINE, SCNP, TEST_CASES, TRAINING_CASES, Demo
    from nnunet_ext.outputs import check_output_folder

    check_output_folder(output)
    _refuse_device(device)
    run = Demo(output.absolute(), device)
    if not (run.dataset / "dataset.json").exists():
        write_vessel_dataset(run.dataset, TRAINING_CASES, TEST_CASES)
    _run_steps(run)
    summaries = {trainer: _evaluate(run, trainer) for trainer in (BASELINE, SCNP)}
    _report(summaries[BASELINE], summaries[SCNP])
    say(f"Figure: {_figure(run, summaries)}")


def _refuse_device(device: str) -> None:
    from nnunet_ext.errors import UserError

    if device not in ("cpu", "cuda", "mps"):
        raise UserError(f"-device is cpu, cuda or mps; got {device}.")
    if device == "cuda":
        from torch.cuda import is_available

        if not is_available():
            raise UserError(
                "-device cuda: torch sees no GPU. 'nnunet_ext doctor' tells more; cpu works anywhere."
            )


def _run_steps(run: Demo) -> None:
    """Do what is not done yet; a line for every step and every epoch, with or without a terminal."""
    from nnunet_ext.demo.clock import Clock

    steps = [step for step in run.steps() if not run.is_done(step)]
    if not steps:
        return
    if run.device == "cpu":
        _tell("The demo takes about 5 minutes on two idle CPU cores, twice as long on busy ones.")
    clock = Clock(steps)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=clock.total)
        for number, step in enumerate(steps, start=1):
            title = f"{step.title} (step {number} of {len(steps)})"
            progress.update(task, description=step.title)
            _tell(title)

            def show_epoch(done: int, step: Step = step) -> None:
                clock.epoch(step, done)
                _tell(f"  epoch {done} of {step.epochs} done; {clock.report()}")
                progress.update(task, completed=clock.done)

            run.run(step, show_epoch)
            clock.finish(step)
            progress.update(task, completed=clock.done)
        progress.update(task, description="done")
    _tell(f"Trained and predicted; {clock.report()}")


def _tell(line: str) -> None:
    err.print(line, markup=False, soft_wrap=True)


def _evaluate(run: Demo, trainer: str) -> Summary:
    from nnunet_ext.metrics import evaluate_folders, save_summary

    summary = evaluate_folders(run.dataset / "labelsTs", run.prediction(trainer))
    save_summary(summary, run.prediction(trainer) / "evaluation.json")
    return summary


def _report(baseline: Summary, scnp: Summary) -> None:
    from nnunet_ext.cli.compare import difference_tables, mean_tables
    from nnunet_ext.demo.outcome import MEANING, METRICS, verdict
    from nnunet_ext.metrics import compare_models

    result = compare_models({"A": [baseline], "B": [scnp]}, METRICS)
    out.print("\nA: nnU-Net's own loss, B: SCNP joint. Both trained equally long, on the same cases:")
    for table in (*mean_tables(result.means), *difference_tables(result.differences)):
        out.print(table)
    say(MEANING)
    say(verdict(result.differences))
    say(
        "Trainings this short vary from run to run: this shows that all of it works, not how much SCNP gains."
    )


def _figure(run: Demo, summaries: dict[str, Summary]) -> Path:
    """Draw the test image on which the two differ by the median of all images."""
    from skimage.io import imread

    from nnunet_ext.demo.outcome import typical_case
    from nnunet_ext.figures.demo import draw

    name = typical_case(*summaries.values())
    cases = len(list((run.dataset / "labelsTs").iterdir()))
    path = run.folder / "demo.png"
    titles = ("nnU-Net's own loss", "SCNP joint")
    predictions = [imread(run.prediction(trainer) / name) for trainer in summaries]
    draw(
        imread(run.dataset / "imagesTs" / name.replace(".png", "_0000.png")),
        imread(run.dataset / "labelsTs" / name),
        dict(zip(titles, predictions, strict=True)),
        path,
        f"{name}: of {cases} test images the one with the median difference in β0 error",
    )
    return path
