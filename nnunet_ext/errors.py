"""Errors that are meant to be read by the person who typed the command, and commands to type next."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class UserError(Exception):
    """Something the user can put right. The text says what was found, where, and what to do.

    The command line prints it without a traceback and exits with code 1.
    """


class UnusableCase(UserError):  # noqa: N818 - collected and reported as often as raised
    """A case of many that cannot be used; the text begins with the file, and says what is wrong with it.

    Those who go through many cases collect these and report them together.
    """


def command(*words: object) -> str:
    """Write a command so that a shell takes it as it is meant, whatever the names in it.

    Examples
    --------
    >>> command("nnunet_ext", "instances", "-i", "my predictions", "-o", "cells")
    "nnunet_ext instances -i 'my predictions' -o cells"
    """
    return shlex.join(map(str, words))


def some_of(items: Sequence[object], limit: int = 5, joint: str = ", ") -> str:
    """Name the first few of many in a message, and say how many more there are.

    Examples
    --------
    >>> some_of(["a.tif", "b.tif", "c.tif"], 2)
    'a.tif, b.tif and 1 more'
    """
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return joint.join(map(str, items[:limit])) + more


def out_of_memory(subject: object, error: MemoryError, remedy: str = "") -> str:
    """Say what did not fit into memory: the case or file, the array with its size where NumPy told, a remedy.

    Examples
    --------
    >>> out_of_memory("c1.nii.gz", MemoryError("Unable to allocate 8.00 GiB for an array"), "Use --tile.")
    'c1.nii.gz: not enough memory (Unable to allocate 8.00 GiB for an array). Use --tile.'
    """
    array = f" ({error})" if str(error) else ""
    return f"{subject}: not enough memory{array}. {remedy}".rstrip()


def on_nnunets_command_line() -> bool:
    """Whether this process was started as ``nnUNetv2_train`` or another of nnU-Net's commands."""
    return os.path.basename(sys.argv[0]).startswith("nnUNetv2_")


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Let a `UserError` end nnU-Net's commands as it ends ours, with one message; elsewhere let it pass."""
    try:
        yield
    except UserError as error:
        if on_nnunets_command_line():
            raise SystemExit(f"Error: {error}") from None
        raise


@contextmanager
def exit_on_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C end ``nnUNetv2_train`` with the command that goes on; elsewhere let it pass."""
    try:
        yield
    except KeyboardInterrupt:
        if not on_nnunets_command_line():
            raise
        words = [word for word in sys.argv[1:] if word != "--c"]
        again = command(os.path.basename(sys.argv[0]), *words, "--c")
        print(
            "Stopped. The training goes on from its last checkpoint, if it has one (nnU-Net writes one every "
            f"50 epochs), with\n  {again}",
            file=sys.stderr,
        )
        raise SystemExit(130) from None
