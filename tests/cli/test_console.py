"""What is printed is printed as it is: names that look like markup, commands to be copied."""

import shlex

import pytest
import typer
from rich.table import Table
from typer.testing import CliRunner

from nnunet_ext.cli import console
from nnunet_ext.cli.commands import make_command

NASTY = ["[red]x[/]", "[/]", "[bold]", "a[0]", ":smile:", "\\[x]", "$nnUNet_raw", "it's", "a b", "[link=x]y"]


@pytest.mark.parametrize("name", NASTY)
def test_names_are_no_markup(name, capsys):
    table = Table(title=name, caption=name)
    table.add_column(name)
    table.add_row(name)
    console.out.print(table)
    console.say(name)
    printed = capsys.readouterr().out
    assert printed.count(name) == 5
    console.print_error(name)
    console.warn(name)
    assert capsys.readouterr().err == f"Error: {name}\nNote: {name}\n"


def test_control_characters_cannot_reach_the_terminal(capsys):
    console.say("a\x1b[31mb\x07c\x9bd")
    console.print_error("a\x1b[2J")
    printed = capsys.readouterr()
    assert printed.out == "a?[31mb?c?d\n"
    assert printed.err == "Error: a?[2J\n"


@pytest.mark.parametrize("name", NASTY)
def test_a_command_is_one_line_that_a_shell_takes_as_meant(name, capsys, monkeypatch):
    monkeypatch.setattr(console.out, "_width", 20)
    words = ("nnunet_ext", "instances", "-i", name * 9, "-np", 4)
    console.say_command(*words)
    label, _, line = capsys.readouterr().out.partition(": ")
    assert label == "Next"
    assert line.count("\n") == 1
    assert shlex.split(line) == [str(word) for word in words]


def test_a_command_without_a_label_is_indented(capsys):
    console.say_command("ls", "a b", label="")
    assert capsys.readouterr().out == "  ls 'a b'\n"


def of_a_long_example(name: str = "") -> None:
    """Do it.

    Example: nnunet_ext do --name a_long_name_that_goes_on_and_on --other another_long_name_that_goes_on -o
    here_and_there.png

    More words.
    """
    raise KeyboardInterrupt


def test_an_example_of_the_help_is_one_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    command = make_command("do", of_a_long_example)
    printed = CliRunner().invoke(wrapped(command), ["do", "--help"]).output
    words = (
        "--name a_long_name_that_goes_on_and_on --other another_long_name_that_goes_on -o here_and_there.png"
    )
    assert printed.rstrip().splitlines()[-1] == f" Example: nnunet_ext do {words}"
    assert printed.count("Example:") == 1
    assert "More words." in printed


@pytest.mark.parametrize(
    ("verb", "text"), [("instances", "goes on where it stopped"), ("evaluate", "starts anew")]
)
def test_ctrl_c_says_how_to_go_on(verb, text, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/nnunet_ext", verb, "-i", "my files"])
    app = wrapped(make_command(verb, of_a_long_example), verb)
    result = CliRunner().invoke(app, [verb], prog_name="nnunet_ext")
    assert result.exit_code == 130
    assert result.output == (
        f"Stopped. Nothing is left half-written. The same command {text}:\n"
        f"  nnunet_ext {verb} -i 'my files'\n"
    )


def wrapped(command, name="do"):
    """What `CliRunner` takes: an app with this command."""
    app = typer.Typer()
    app.command(name, cls=type(command))(command.callback)
    app.callback()(lambda: None)
    return app
