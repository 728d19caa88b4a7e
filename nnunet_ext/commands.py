"""Commands of nnU-Net, and of ours, run as a person would: with a log, epoch by epoch, ended when we are."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from nnunet_ext.errors import UserError, command

_EPOCH_DONE = re.compile(r"Epoch time: [\d.]+ s")  # nnU-Net's last line of an epoch
_LOOK_EVERY, _GRACE = 0.5, 10.0  # seconds
_TAIL = 8  # lines of a log in an error
# prctl(PR_SET_PDEATHSIG, SIGINT), which background jobs ignore unless told; then the command in place of this
_INTERRUPTED = """
import ctypes, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
ctypes.CDLL(None).prctl(1, signal.SIGINT)
os.execv(sys.argv[1], sys.argv[1:])
"""


def run_logged(
    words: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    on_epoch: Callable[[int], None] = lambda done: None,
    title: str = "",
    stop: threading.Event | None = None,
    held: Sequence[int] = (),
) -> None:
    """Run a command whose output goes to a file, which gets its name when the command has succeeded.

    Parameters
    ----------
    words : sequence of str
        The program, of this Python's environment, and its arguments.
    log : Path
        The file; its first line is the command. While the command runs, and if it fails, the file is called
        ``.unfinished``.
    environment : mapping
        Its environment variables, all of them.
    on_epoch : callable
        Called with the number of finished epochs of a training whenever there is one more.
    title : str
        What an error calls it; the program's name, if not given.
    stop : threading.Event, optional
        Ends the command when it is set, as Ctrl-C does: for commands that are run in a thread.
    held : sequence of int
        File descriptors that the command keeps open. With them it also ends (on Linux) when this process is
        killed.

    Raises
    ------
    UserError
        If the command fails or is not there; the text ends with the last lines of its log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    unfinished = log.with_suffix(".unfinished")
    program, *arguments = words
    with unfinished.open("w", encoding="utf-8") as stream:
        stream.write(headline(words))
        stream.flush()
        with subprocess.Popen(
            (*_ending_with_us(held), _executable(program), *arguments),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            pass_fds=held,
        ) as process:
            code = _wait(process, unfinished, on_epoch, stop)
    if code:
        tail = "\n".join(unfinished.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:])
        raise UserError(
            f"'{title or program}' failed with exit code {code}. The end of {unfinished}:\n{tail}"
        )
    unfinished.replace(log)


def was_run(words: Sequence[str], log: Path) -> bool:
    """Whether a log says that this very command was completed before."""
    if not log.is_file():
        return False
    return log.read_text(encoding="utf-8", errors="replace").startswith(headline(words))


def was_begun(words: Sequence[str], log: Path) -> bool:
    """Whether this very command is the last one that wrote to a log, completed or not."""
    unfinished = log.with_suffix(".unfinished")
    return was_run(words, unfinished if unfinished.is_file() else log)


def headline(words: Sequence[str]) -> str:
    """First line of a log."""
    return f"$ {command(*words)}\n"


def quiet_threads() -> dict[str, str]:
    """What nnU-Net's environment lacks: threads that wait without spinning, unless the user said otherwise.

    nnU-Net takes a thread per core. Where another program needs a core, its threads would spin while they
    wait for each other, and an epoch takes four times as long.
    """
    return {"OMP_WAIT_POLICY": "passive", **os.environ}


def _wait(
    process: subprocess.Popen[bytes], log: Path, on_epoch: Callable[[int], None], stop: threading.Event | None
) -> int:
    """Wait for a command, telling of the epochs its log reports; return its exit code."""
    seen = 0
    try:
        code = None
        while code is None:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(_LOOK_EVERY)
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
            done = len(_EPOCH_DONE.findall(log.read_text(encoding="utf-8", errors="replace")))
            if done > seen:
                seen = done
                on_epoch(done)
    except BaseException:  # an interruption as well: no training goes on without whoever started it
        _end(process)
        raise
    return code


def _ending_with_us(held: Sequence[int]) -> tuple[str, ...]:
    """What stands before a command that Linux has to interrupt when this process is gone."""
    return (sys.executable, "-I", "-S", "-c", _INTERRUPTED) if held and sys.platform == "linux" else ()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a command, upon which nnU-Net ends its workers, too; where that does nothing, kill it."""
    process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGINT)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()


def _executable(name: str) -> str:
    """A command of this Python's environment, even where that is not activated."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise UserError(f"{name} was not found. Install nnunet-ext again in this environment.")
    return found
