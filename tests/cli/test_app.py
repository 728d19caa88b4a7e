"""The command as a whole: exit codes, errors without tracebacks, flags with several values."""

import os
import subprocess
import sys

import pytest

from nnunet_ext import __version__
from nnunet_ext.cli import app as command
from nnunet_ext.cli.arguments import repeat_flags
from nnunet_ext.trainers import FAMILIES


def run(*arguments):
    code = "from nnunet_ext.cli.app import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd="/")


def test_a_users_mistake_is_one_message_and_exit_code_1(tmp_path):
    result = run("evaluate", "-ref", str(tmp_path / "[no] where"), "-pred", str(tmp_path))
    assert result.returncode == 1
    assert result.stderr == f"Error: There is no folder {tmp_path / '[no] where'}.\n"
    assert result.stdout == ""


def test_what_the_system_refuses_is_one_message_too(tmp_path):
    (tmp_path / "file").write_text("")
    result = run("demo", "-o", str(tmp_path / "file" / "demo"))
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("Error: Not a directory: ")


def test_a_log_in_ascii_does_not_end_the_command():
    code = "from nnunet_ext.cli.app import main; main()"
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        [sys.executable, "-c", code, "evaluate", "-h"], capture_output=True, text=True, env=env
    )
    assert result.returncode == 0


def test_version_help_and_unknown_verb():
    assert run("--version").stdout.strip() == __version__
    assert "convert" in run("-h").stdout
    assert "convert" in run().stdout + run().stderr
    unknown = run("evalute")
    assert unknown.returncode == 2
    assert "evalute" in unknown.stderr


@pytest.mark.parametrize(
    "verb", ["doctor", "trainers", "small-plans", "evaluate", "compare", "demo", "convert"]
)
def test_every_verb_has_a_help_with_an_example(verb):
    result = run(verb, "--help")
    assert result.returncode == 0
    assert "Example:" in result.stdout


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


def test_flags_with_several_values_belong_to_verbs():
    names = {
        info.name or info.callback.__name__.replace("_", "-") for info in command.app.registered_commands
    }
    names |= {group.name for group in command.app.registered_groups}
    assert set(command.SEVERAL_VALUES) <= names
