"""``nnunet_ext pretrain``: a training on another dataset first, whose weights the next one begins with."""

from __future__ import annotations

from typing import Annotated

import typer

from nnunet_ext.cli.console import err, say, say_command, warn


def pretrain(
    dataset: Annotated[str, typer.Option("-d", help="Dataset to train on first: id or name.")],
    target: Annotated[str, typer.Option("--for", help="Dataset that is trained afterwards: id or name.")],
    configuration: Annotated[str, typer.Option("-c", help="Configuration, such as 2d.")],
    trainer: Annotated[str, typer.Option("-tr", help="Trainer of both.")],
    plans: Annotated[str, typer.Option("-p", help="Plans of the second dataset.")] = "nnUNetPlans",
    device: Annotated[str, typer.Option("-device", help="cuda, cpu or mps.")] = "cuda",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands, run nothing.")] = False,
) -> None:
    """Pre-train on another dataset: fingerprint, moved plans, preprocessing, training on all its cases.

    Datasets whose channels differ are refused, and classes that differ are said, before anything is trained.
    The weights are saved for any device. Run again, it goes on where it stopped.

    Example: nnunet_ext pretrain -d 530 --for 520 -c 2d -tr nnUNetTrainerUNetWM_200epochs
    """
    with err.status("loading nnU-Net …"):
        from nnunet_ext.errors import command
        from nnunet_ext.pretraining import plan_pretraining, run_pretraining

    pretraining = plan_pretraining(dataset, target, configuration, trainer, plans, device)
    for note in pretraining.notes:
        warn(note)
    if dry_run:
        for _, words in pretraining.steps():
            say(command(*words))
        say(command(*pretraining.next_command()))
        return
    weights = run_pretraining(pretraining, lambda line: err.print(line, soft_wrap=True))
    say(f"Wrote {weights}")
    say_command(*pretraining.next_command())
