"""The command as a whole: help, what it imports, exit codes, errors without tracebacks, lists of values."""

import os
from typing import Annotated

import pytest
import typer
from fresh import modules_after, run
from typer.main import get_command
from typer.testing import CliRunner

from nnunet_ext import __version__
from nnunet_ext.cli.app import VERBS, app
from nnunet_ext.cli.commands import LazyCommand, make_command, repeat_flags
from nnunet_ext.dataset_conversion import CATALOGUE
from nnunet_ext.trainers import FAMILIES

COMMANDS = [
    *([verb] for verb in VERBS),
    *(["show", name] for name in ("dataset", "weight-maps")),
    *(["convert", name] for name in CATALOGUE),
]


def test_a_users_mistake_is_one_message_and_exit_code_1(tmp_path):
    result = run("evaluate", "-ref", str(tmp_path / "[no] where"), "-pred", str(tmp_path))
    assert result.returncode == 1
    assert result.stderr == f"Error: There is no folder {tmp_path / '[no] where'}.\n"
    assert result.stdout == ""


def test_an_empty_word_is_not_the_current_folder(tmp_path):
    result = run("instances", "-i", str(tmp_path), "-o", "")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: One of the words is empty.")


def test_what_the_system_refuses_is_one_message_too(tmp_path):
    result = run("demo", "-o", str(tmp_path / ("x" * 300)))
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("Error: File name too long: ")


def test_a_log_in_ascii_does_not_end_the_command():
    result = run("evaluate", "-h", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0


def test_version_help_and_unknown_verb():
    assert run("--version").stdout.strip() == __version__
    assert "convert" in run("-h").stdout
    assert "convert" in run().stdout + run().stderr
    unknown = run("evalute")
    assert unknown.returncode == 2
    assert "evalute" in unknown.stderr


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_a_help_with_an_example(words):
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="nnunet_ext")
    assert result.exit_code == 0, result.output
    assert f"Usage: nnunet_ext {' '.join(words)} " in result.output
    assert "Example:" in result.output
    assert "--install-completion" not in result.output


def test_no_command_is_forgotten():
    root = get_command(app)
    listed = [[verb] for verb in root.commands]
    for verb in ("convert", "show"):
        listed += [[verb, name] for name in root.commands[verb].load().commands]
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("verb", VERBS)
def test_the_list_of_verbs_says_what_their_help_says(verb):
    command = get_command(app).commands[verb]
    assert isinstance(command, LazyCommand)
    itself = command.load()
    assert itself.name == verb
    assert itself.help.partition("\n")[0] == command.short_help


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []])
def test_the_list_of_verbs_imports_none(arguments):
    code = "from nnunet_ext.cli.app import main; main()" if arguments else "import nnunet_ext.cli.app"
    loaded = modules_after(*arguments, code=code)
    assert not loaded & {"numpy", "torch", "nnunetv2", "skimage", "scipy"}
    assert not [name for name in loaded if name.startswith("nnunet_ext.dataset_conversion")]
    ours = {name for name in loaded if name.startswith("nnunet_ext.cli.")}
    assert ours <= {f"nnunet_ext.cli.{name}" for name in ("app", "commands", "console")}


@pytest.mark.slow
def test_catalogue_lists_families_and_options():
    result = run("trainers")
    assert result.returncode == 0
    for text in (*FAMILIES, "_w<n>", "_joint", "_<n>epochs", "_<n>iters", "_nomirroring"):
        assert text in result.stdout
    assert "Warning" not in result.stderr


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("-d 1 -c 2d", "-d 1 -c 2d"),
        ("-c 2d 3d_fullres -d 1", "-c 2d -c 3d_fullres -d 1"),
        ("-c 2d -c 3d -d 1", "-c 2d -c 3d -d 1"),
        ("-c", "-c"),
        ("a b -c 1 2 3", "a b -c 1 -c 2 -c 3"),
        ("", ""),
    ],
)
def test_repeat_flags(given, expected):
    assert repeat_flags(given.split(), {"-c"}) == expected.split()


def of_lists(
    folds: Annotated[list[str], typer.Option("-f", "--folds")],
    spacing: Annotated[list[float] | None, typer.Option()] = None,
    name: Annotated[str, typer.Option("-n")] = "",
):
    """Print what came."""
    print(folds, spacing, name)


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ("-f 0 1 2", "['0', '1', '2'] None "),
        ("-f 0 -f 1 -n a", "['0', '1'] None a"),
        ("--folds 0 1 -f 2 --spacing 1 .5 .5", "['0', '1', '2'] [1.0, 0.5, 0.5] "),
    ],
)
def test_a_list_option_takes_several_values(given, printed):
    result = CliRunner().invoke(wrapped(of_lists), given.split())
    assert result.exit_code == 0, result.output
    assert result.output == f"{printed}\n"


def test_other_options_take_one_value():
    result = CliRunner().invoke(wrapped(of_lists), ["-f", "0", "-n", "a", "b"])
    assert result.exit_code == 2
    assert "unexpected extra argument" in result.output


def of_arguments(file: Annotated[str, typer.Argument()], metric: Annotated[list[str], typer.Option()]):
    """Print what came."""
    print(file, metric)


def test_beside_arguments_a_list_option_is_repeated():
    result = CliRunner().invoke(wrapped(of_arguments), ["--metric", "Dice", "--metric", "PQ", "a.json"])
    assert result.output == "a.json ['Dice', 'PQ']\n"


def wrapped(function):
    """What `CliRunner` takes: an app, whose only command is made as ours are."""
    command = make_command("test", function)
    wrapper = typer.Typer()
    wrapper.command(cls=type(command))(function)
    return wrapper
