"""``nnunet_ext demo``: stock nnU-Net against SCNP on synthetic vessels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from nnunet_ext.cli.console import err, out, say

if TYPE_CHECKING:
    from nnunet_ext.demo.pipeline import Demo
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
    from nnunet_ext.errors import UserError
    from nnunet_ext.outputs import check_output_folder

    check_output_folder(output)
    if device not in ("cpu", "cuda", "mps"):
        raise UserError(f"-device is cpu, cuda or mps; got {device}.")
    if device == "cuda":
        from torch.cuda import is_available

        if not is_available():
            raise UserError(
                "-device cuda: torch sees no GPU. 'nnunet_ext doctor' tells more; cpu works anywhere."
            )
    run = Demo(output.absolute(), device)
    steps = list(run.steps())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err) as progress:
        task = progress.add_task("make the dataset", total=len(steps) + 1)
        if not (run.dataset / "dataset.json").exists():
            write_vessel_dataset(run.dataset, TRAINING_CASES, TEST_CASES)
        progress.advance(task)
        for step in steps:
            progress.update(task, description=step.title)
            run.run(step)
            progress.advance(task)
        progress.update(task, description="done")
    summaries = {trainer: _evaluate(run, trainer) for trainer in (BASELINE, SCNP)}
    _report(summaries[BASELINE], summaries[SCNP])
    say(f"Figure: {_figure(run, summaries)}")


def _evaluate(run: Demo, trainer: str) -> Summary:
    from nnunet_ext.metrics import evaluate_folders, save_summary

    summary = evaluate_folders(run.dataset / "labelsTs", run.prediction(trainer))
    save_summary(summary, run.prediction(trainer) / "evaluation.json")
    return summary


def _report(baseline: Summary, scnp: Summary) -> None:
    from nnunet_ext.cli.compare import comparison_table
    from nnunet_ext.metrics import compare_summaries

    rows = compare_summaries(baseline, scnp, ["Dice", "Beta0Error", "clDice"])
    out.print("\nA: nnU-Net's own loss, B: SCNP joint. Both trained equally long, on the same cases:")
    out.print(comparison_table(rows))


def _figure(run: Demo, summaries: dict[str, Summary]) -> Path:
    """Draw the test image whose baseline has the largest β0 error."""
    from skimage.io import imread

    from nnunet_ext.figures.demo import draw

    baseline = next(iter(summaries.values()))
    worst = max(baseline["metric_per_case"], key=lambda case: case["metrics"]["1"]["Beta0Error"])
    name = Path(worst["prediction_file"]).name
    path = run.folder / "demo.png"
    titles = ("nnU-Net's own loss", "SCNP joint")
    predictions = [imread(run.prediction(trainer) / name) for trainer in summaries]
    draw(
        imread(run.dataset / "imagesTs" / name.replace(".png", "_0000.png")),
        imread(run.dataset / "labelsTs" / name),
        dict(zip(titles, predictions, strict=True)),
        path,
        f"{name}: the test image on which the baseline has the largest β0 error",
    )
    return path
