"""``nnunet_ext experiment``: many trainings, from a plan to one table."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nnunet_ext.cli.console import count, err, out, say, track, warn

if TYPE_CHECKING:
    from nnunet_ext.experiment.plan import Plan
    from nnunet_ext.experiment.run import Outcome
    from nnunet_ext.experiment.steps import Step, Steps

_IN_PLACE = "In place of a plan, or over it"  # heading of those options in the help
_RUNNING = "How it is run"


def experiment(
    output: Annotated[Path, typer.Option("-o", help="Folder for everything but nnU-Net's own results.")],
    plan: Annotated[
        Path | None, typer.Argument(metavar="PLAN.yaml", help="What to train: docs/experiments.md.")
    ] = None,
    trainers: Annotated[
        list[str] | None,
        typer.Option("-tr", help="Trainers, with or without nnUNetTrainer.", rich_help_panel=_IN_PLACE),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("-d", help="Dataset id or name.", rich_help_panel=_IN_PLACE)
    ] = None,
    configuration: Annotated[
        str | None, typer.Option("-c", help="Default: 2d.", rich_help_panel=_IN_PLACE)
    ] = None,
    folds: Annotated[
        list[str] | None, typer.Option("-f", help="Default: 0.", rich_help_panel=_IN_PLACE)
    ] = None,
    seeds: Annotated[
        list[int] | None,
        typer.Option(help="Repeats: every trainer with _seed1, _seed2 …", rich_help_panel=_IN_PLACE),
    ] = None,
    plans: Annotated[
        str | None,
        typer.Option("-p", help="nnU-Net's plans; small: those of small-plans.", rich_help_panel=_IN_PLACE),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Default: nnU-Net's 1000.", rich_help_panel=_IN_PLACE)
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(min=1, help="Of an epoch. Default: nnU-Net's 250.", rich_help_panel=_IN_PLACE),
    ] = None,
    device: Annotated[
        str | None, typer.Option("-device", help="cuda, cpu or mps.", rich_help_panel=_IN_PLACE)
    ] = None,
    cases: Annotated[
        str | None,
        typer.Option(
            help="test or validation: which cases are compared. Default: the test set, if there is one.",
            rich_help_panel=_IN_PLACE,
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Trainings at the same time.", rich_help_panel=_RUNNING)
    ] = 1,
    gpus: Annotated[
        list[str] | None,
        typer.Option(
            help="GPUs to use, one for each job. Default: the first ones.", rich_help_panel=_RUNNING
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the commands and which are done.", rich_help_panel=_RUNNING),
    ] = False,
    submit: Annotated[
        str | None,
        typer.Option(help="slurm: write a job array in place of running.", rich_help_panel=_RUNNING),
    ] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(help="Options of sbatch, such as time=24:00:00.", rich_help_panel=_RUNNING),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            help="prepare, finish, or the number of a training: what a job of an array runs.",
            rich_help_panel=_RUNNING,
        ),
    ] = None,
) -> None:
    """Plan, train, predict, evaluate and compare: every model of a plan, with every seed and fold.

    What is finished is not done again, so the same command goes on after an interruption, and a seed can be
    added later. A step that fails is reported at the end, while the others go on.

    Example: nnunet_ext experiment topomortar.yaml -o topomortar

    Example: nnunet_ext experiment -d 501 -c 2d -tr Ext SCNP SCNP_joint --seeds 1 2 3 -o scnp
    """
    from nnunet_ext.errors import UserError
    from nnunet_ext.experiment.plan import make_plan, save_plan
    from nnunet_ext.experiment.plan_file import check_plan, read_plan
    from nnunet_ext.experiment.results import write_record
    from nnunet_ext.experiment.run import alone, choose_gpus
    from nnunet_ext.experiment.steps import Steps, commands_of, part_of

    content: dict[str, Any] = dict(read_plan(plan)) if plan else {}
    given = {
        "models": trainers or None,
        "dataset": dataset,
        "configuration": configuration,
        "folds": [int(fold) if fold.isdecimal() else fold for fold in folds or ()] or None,
        "seeds": seeds or None,
        "plans": plans,
        "epochs": epochs,
        "iterations": iterations,
        "device": device,
        "cases": cases,
    }
    content |= {key: value for key, value in given.items() if value is not None}
    if "models" not in content:
        raise UserError("Nothing to train: give a plan, or trainers with -tr.")
    if submit not in (None, "slurm"):
        raise UserError(f"--submit {submit}: there is only slurm.")
    found = make_plan(check_plan(content, str(plan or "the command line")))
    of = Steps(found, output.absolute())
    steps = of.all()
    for note in found.notes:
        warn(note)
    if dry_run:
        _print_commands(steps)
        return
    _check_folder(output)
    if submit:
        _submit(output, steps, [f"--{option.lstrip('-')}" for option in sbatch or ()])
        return
    part = only or "all"
    chosen, free = part_of(steps, part), choose_gpus(found.device, jobs, gpus or ())
    with alone(output, part, _tell) as held:
        save_plan(found, of.folder / "plan.json")
        write_record(found, of, commands_of(steps))
        _run(found, of, chosen, part, jobs, free, held)


def _run(
    plan: Plan, of: Steps, steps: list[Step], part: str, jobs: int, gpus: list[str], held: list[int]
) -> None:
    from nnunet_ext.errors import UserError
    from nnunet_ext.experiment.run import run_steps

    outcome, without_tables = run_steps(steps, of, _tell, jobs, gpus, held), ""
    if part in ("all", "finish"):
        try:
            _print_tables(plan, of)
        except UserError as error:  # what failed before is reported all the same
            without_tables = str(error)
    if without_tables:
        warn(without_tables, "No tables.", "bold red")
    _report(outcome, {step.key: step for step in steps}, of)
    if without_tables:
        raise typer.Exit(1)


def _check_folder(folder: Path) -> None:
    """Refuse a folder of something else, so that nothing there is mixed with results."""
    from nnunet_ext.errors import UserError
    from nnunet_ext.experiment.results import RECORD
    from nnunet_ext.outputs import check_output_folder

    check_output_folder(folder)
    ours = {RECORD, "plan.json", "slurm", "locks"}
    if folder.is_dir() and any(folder.iterdir()) and not ours & {path.name for path in folder.iterdir()}:
        raise UserError(f"-o {folder} holds other files. Choose an empty folder, or one of this experiment.")


def _print_commands(steps: list[Step]) -> None:
    from nnunet_ext.errors import UserError, command

    for step in steps:
        try:
            done = step.is_done()
        except UserError:
            done = False
        say(f"# {step.title}{': done' if done else ''}")
        say(f"{'# ' if done else ''}{command(*step.words())}")
    trainings = sum(step.is_training for step in steps)
    warn(f"Nothing was run: {count(len(steps), 'command')}, {count(trainings, 'training')}.", "Dry run.")


def _submit(output: Path, steps: list[Step], options: Any) -> None:
    from nnunet_ext.experiment.slurm import write_scripts
    from nnunet_ext.nnunet_files.folders import VARIABLES

    words, dropped = ["nnunet_ext"], 0
    for word in sys.argv[1:]:
        flag, _, value = word.partition("=")
        if flag.startswith("-"):  # --sbatch takes every word up to the next option
            dropped = {"--submit": 0 if value else 1, "--sbatch": len(sys.argv)}.get(flag, 0)
        if dropped and not flag.startswith("-"):
            dropped -= 1
        elif flag not in ("--submit", "--sbatch"):
            words.append(word)
    environment = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    trainings = sum(step.is_training for step in steps)
    script = write_scripts(output, words, trainings, options, environment)
    say(f"Wrote {script.parent}: prepare, {count(trainings, 'training')}, finish.")
    say(f"Next: bash {script}")


def _print_tables(plan: Plan, of: Steps) -> None:
    from nnunet_ext.cli.compare import difference_tables, mean_tables
    from nnunet_ext.experiment.results import compare_groups, evaluated, save_tables

    summaries = evaluated(plan, of)
    missing = [
        f"{model.name}, seed {seed}"
        for model in plan.models
        for seed in model.trainers
        if not of.evaluation(model, seed).is_file()
    ]
    if missing:
        warn(f"Not in the table, since there is no evaluation: {'; '.join(missing)}.")
    comparisons = compare_groups(plan, summaries, track)
    for group, comparison in comparisons.items():
        say(f"\n{group or 'All cases'}:")
        for table in (*mean_tables(comparison.means), *difference_tables(comparison.differences)):
            out.print(table)
        for note in comparison.notes:
            warn(note)
    if not comparisons:
        warn("There is nothing to compare yet: that takes two models.")
    for file in save_tables(of.folder, comparisons):
        say(f"Wrote {file}")


def _report(outcome: Outcome, steps: dict[str, Step], of: Steps) -> None:
    from nnunet_ext.errors import command

    say(f"{count(len(outcome.done), 'step')} done, {len(outcome.done_before)} were done before.")
    for key, text in outcome.failed.items():
        warn(text, f"Failed: {steps[key].title}.", "bold red")
        warn(command(*steps[key].words()), "Its command:")
    for key in outcome.left_out:
        warn(f"{steps[key].title}: left out, since a step before it failed.")
    if outcome.failed:
        warn("The same command goes on; what is finished is kept.")
        raise typer.Exit(1)


def _tell(line: str) -> None:
    err.print(line, soft_wrap=True)
