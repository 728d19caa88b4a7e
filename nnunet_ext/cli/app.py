"""The ``nnunet_ext`` command: its verbs, and what happens when one fails."""

from __future__ import annotations

import io
import sys
import warnings
from typing import Any

import typer

from nnunet_ext import __version__
from nnunet_ext.cli.commands import MARKUP, Group, LazyCommand
from nnunet_ext.errors import UserError

#: verb -> where it is, and the first line of its help: the list of verbs is printed without importing one
VERBS = {
    "doctor": (
        "doctor:doctor",
        "Check versions, nnU-Net's three folders, and whether nnU-Net finds the trainers.",
    ),
    "trainers": ("trainers:trainers", "List the trainers with their options."),
    "small-plans": (
        "small_plans:small_plans",
        "Write nnUNetPlansSmall.json beside the planned ones: smaller patch, batch and network.",
    ),
    "pretrain": (
        "pretrain:pretrain",
        "Pre-train on another dataset: fingerprint, moved plans, preprocessing, training on all its cases.",
    ),
    "tune-thresholds": (
        "tune_thresholds:tune_thresholds",
        "Tune the thresholds of a multi-level model on the validation predictions of its folds.",
    ),
    "instances": (
        "instances:instances",
        "Instance labels from nnU-Net predictions of the classes cell, touching and gap.",
    ),
    "close": (
        "close:close",
        "Fill narrow gaps in predicted labels: binary closing of every class or region.",
    ),
    "evaluate": (
        "evaluate:evaluate",
        "Dice, clDice and Betti errors of predictions, per class or region; or PQ, F1, AJI … of instances.",
    ),
    "compare": (
        "compare:compare",
        "Means, differences and paired tests of models on the same cases.",
    ),
    "report": (
        "report:report",
        "One page with tables, tests, plots and the cases that matter, their mistakes marked in pictures.",
    ),
    "experiment": (
        "experiment:experiment",
        "Plan, train, predict, evaluate and compare: every model of a plan, with every seed and fold.",
    ),
    "demo": (
        "demo:demo",
        "Train nnU-Net's own loss and SCNP on synthetic vessels, and compare them on held-out images.",
    ),
    "convert": (
        "convert:convert_app",
        "Convert a public dataset, or your own images with instance labels, to nnU-Net's raw format.",
    ),
    "figure": (
        "figure:figure",
        "Image, truth and predictions side by side, with every mistake marked and counted.",
    ),
    "show": ("show:show_app", "Pictures of a dataset, or of weight maps to choose their settings by."),
}


class _Verbs(Group):
    """The group of `VERBS`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (place, summary) in VERBS.items():
            self.commands[name] = LazyCommand(name, f"nnunet_ext.cli.{place}", summary)


app = typer.Typer(
    name="nnunet_ext",
    cls=_Verbs,
    help="Topology-aware trainers, converters and evaluation for stock nnU-Net v2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print it."
    ),
) -> None:
    pass


def main() -> None:
    """Entry point of the ``nnunet_ext`` command: a `UserError` becomes one message and exit code 1."""
    # torch warns about its own deprecations when nnU-Net imports it; nothing a user could do.
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a log in plain ASCII must not end the command
    try:
        if "" in sys.argv[1:]:  # a path of no letters would be the current folder
            raise UserError('One of the words is empty. Is a variable not set, as in -o "$OUT"?')
        app(sys.argv[1:])
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        # A folder without rights, a full disk, a file where a folder should be.
        where = f": {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{where}")


def _fail(message: str) -> None:
    from nnunet_ext.cli.console import print_error

    print_error(message)
    sys.exit(1)
