import os
import subprocess
import sys

import pytest

from nnunet_ext.plugin.register import FOLDER

SHOW = "import os; print(os.environ['nnUNet_extTrainer'])"


def python(code, **environment):
    """Run code in a fresh interpreter, away from the checkout; return what it prints."""
    env = {key: value for key, value in os.environ.items() if key != "nnUNet_extTrainer"} | environment
    run = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd="/", capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
    return run.stdout.strip()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [FOLDER]),
        ({"nnUNet_extTrainer": ""}, [FOLDER]),
        ({"nnUNet_extTrainer": "/mine"}, ["/mine", FOLDER]),
        ({"nnUNet_extTrainer": os.pathsep.join(["/b", "/a"])}, ["/b", "/a", FOLDER]),
        ({"nnUNet_extTrainer": os.pathsep.join([FOLDER, "/a"])}, [FOLDER, "/a"]),
    ],
)
def test_interpreter_start_appends_the_folder(given, expected):
    assert python(SHOW, **given).split(os.pathsep) == expected


def test_child_processes_do_not_append_again():
    nested = (
        f"import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', {SHOW!r}], text=True))"
    )
    assert python(nested) == FOLDER


def test_importing_the_package_loads_nothing_heavy():
    loaded = python(
        "import sys, nnunet_ext, nnunet_ext.plugin.register\n"
        "print([m for m in ('torch', 'numpy', 'nnunetv2', 'typer', 'rich', 'scipy') if m in sys.modules])"
    )
    assert loaded == "[]"


def test_help_loads_neither_torch_nor_nnunet():
    loaded = python(
        "import sys; from typer.testing import CliRunner; from nnunet_ext.cli.app import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print([m for m in ('torch', 'nnunetv2', 'skimage', 'matplotlib') if m in sys.modules])"
    )
    assert loaded == "[]"
