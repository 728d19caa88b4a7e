"""The ``nnunet_ext`` command: its verbs, and what happens when one fails."""

from __future__ import annotations

import io
import sys
import warnings

import typer

from nnunet_ext import __version__
from nnunet_ext.cli.arguments import repeat_flags
from nnunet_ext.cli.compare import compare
from nnunet_ext.cli.console import print_error
from nnunet_ext.cli.convert import convert_app, flags_of_several_values
from nnunet_ext.cli.demo import demo
from nnunet_ext.cli.doctor import doctor
from nnunet_ext.cli.evaluate import evaluate
from nnunet_ext.cli.instances import instances
from nnunet_ext.cli.show import show_app
from nnunet_ext.cli.small_plans import small_plans
from nnunet_ext.cli.trainers import trainers
from nnunet_ext.cli.tune_thresholds import tune_thresholds
from nnunet_ext.errors import UserError

# Verb -> flags that take several values, as nnU-Net's do.
SEVERAL_VALUES = {
    "convert": flags_of_several_values(),
    "evaluate": {"--iou", "--tolerance", "--size-bins", "--spacing"},
    "show": {"-case", "--map"},
    "small-plans": {"-c"},
    "tune-thresholds": {"-f", "--folds"},
}

app = typer.Typer(
    name="nnunet_ext",
    help="Topology-aware trainers, converters and evaluation for stock nnU-Net v2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (doctor, trainers, small_plans, tune_thresholds, instances, evaluate, compare, demo):
    app.command()(verb)
app.add_typer(convert_app, name="convert")
app.add_typer(show_app, name="show")


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
    verb, *rest = sys.argv[1:] or [""]
    try:
        app([verb, *repeat_flags(rest, SEVERAL_VALUES.get(verb, ()))] if verb else [])
    except UserError as error:
        print_error(str(error))
        sys.exit(1)
    except OSError as error:
        # A folder without rights, a full disk, a file where a folder should be.
        where = f": {error.filename}" if error.filename else ""
        print_error(f"{error.strerror or error}{where}")
        sys.exit(1)
