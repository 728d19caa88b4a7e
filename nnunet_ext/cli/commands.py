"""Commands that are imported when they are used, and nnU-Net's way of giving one option several values."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

MARKUP: Final = "markdown"  # of all help texts
_EXAMPLE = "Example: "
_CTRL_C = 130  # exit code, as of any command that ends by it
_GO_ON = ("instances", "close", "convert", "demo", "experiment", "pretrain")  # keep what is finished


class WholeExamples:
    """Mixed into a command or group: the examples of the help come last and on one line, to be copied."""

    help: str | None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help; called by click."""
        text = self.help
        paragraphs = inspect.cleandoc(text or "").split("\n\n")
        self.help = "\n\n".join(words for words in paragraphs if not words.startswith(_EXAMPLE))
        try:
            super().format_help(ctx, formatter)  # type: ignore[misc]
        finally:
            self.help = text
        for example in (words for words in paragraphs if words.startswith(_EXAMPLE)):
            typer.echo(f" {' '.join(example.split())}")


class Group(WholeExamples, TyperGroup):
    """A group of commands."""


class Command(WholeExamples, TyperCommand):
    """A command whose list options take several values at once, as nnU-Net's do: ``-c 2d 3d_fullres``.

    click gives an option a fixed number of values, so that a list option has to be repeated. Here an option
    declared as a list takes every word up to the next one with a dash; ``-c 2d -c 3d_fullres`` works, too. In
    a command that needs arguments (`compare`) it is repeated: words after a value may be the arguments.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the command's name; called by click."""
        if all(parameter.param_type_name == "option" or not parameter.required for parameter in self.params):
            lists = [option for option in self.params if getattr(option, "multiple", False)]
            args = repeat_flags(args, {flag for option in lists for flag in option.opts})
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; called by click. Ctrl-C ends it with a word on how to go on."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _say_stopped(ctx.command_path.split()[1:])
            raise typer.Exit(_CTRL_C) from None


def _say_stopped(verb: Sequence[str]) -> None:
    from nnunet_ext.cli.console import warn
    from nnunet_ext.errors import command

    after = "goes on where it stopped" if set(verb) & set(_GO_ON) else "starts anew"
    again = command("nnunet_ext", *sys.argv[1:])
    warn(f"Nothing is left half-written. The same command {after}:\n  {again}", "Stopped.")


class LazyCommand(TyperCommand):
    """Stands for a command in a list of commands; the command itself is imported when it is used.

    Parameters
    ----------
    name : str
        As it is typed.
    place : str
        "module:function" or "module:app", a `typer.Typer`.
    summary : str
        First line of the command's help.
    """

    def __init__(self, name: str, place: str, summary: str) -> None:
        super().__init__(name, short_help=summary)
        self._place = place

    def load(self) -> TyperCommand:
        """Import the command itself."""
        module, _, attribute = self._place.partition(":")
        target = getattr(import_module(module), attribute)
        if isinstance(target, typer.Typer):
            loaded: Any = get_command(target)
            loaded.name = self.name
            return loaded
        return make_command(self.name or "", target)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse with the command itself; click then runs that one."""
        return self.load().make_context(info_name, args, parent, **extra)


def make_command(name: str, function: Callable[..., Any], **about: Any) -> Any:
    """Make a command of a function with typer's annotations.

    Parameters
    ----------
    name : str
        As it is typed.
    function : callable
        What it runs; its docstring is the help.
    **about
        ``help`` and ``short_help``, in place of the docstring.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)
    app.command(name, cls=Command, **about)(function)
    return get_command(app)


def repeat_flags(words: Sequence[str], flags: Collection[str]) -> list[str]:
    """Write ``-c a b`` as ``-c a -c b`` for the given flags.

    Examples
    --------
    >>> repeat_flags(["-d", "1", "-c", "2d", "3d_fullres", "--batch", "2"], {"-c"})
    ['-d', '1', '-c', '2d', '-c', '3d_fullres', '--batch', '2']
    """
    result: list[str] = []
    flag, values = "", 0
    for word in words:
        if word.startswith("-"):
            flag, values = (word, 0) if word in flags else ("", 0)
        elif flag:
            if values:
                result.append(flag)
            values += 1
        result.append(word)
    return result
