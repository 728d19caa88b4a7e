"""The command in an interpreter of its own."""

import subprocess
import sys

RUN = "from nnunet_ext.cli.app import main; main()"
RECORD = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "


def run(*arguments, code=RUN, **more):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd="/", **more
    )


def modules_after(*arguments, code=RUN):
    """Return the names of all modules that are loaded when the command ends."""
    result = run(*arguments, code=RECORD + code)
    assert result.returncode == 0, result.stderr
    return set(result.stderr.split())
