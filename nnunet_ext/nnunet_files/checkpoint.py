"""nnU-Net's checkpoints, read without running what may be hidden in them.

A checkpoint is a zip archive with a pickle in it, and a pickle can call any function when it is read. PyTorch
can read one in which only what is allowed by name is called; nnU-Net itself, which stores NumPy's numbers
beside tensors, does not make use of that. Here those are allowed, and nothing else.
"""

from __future__ import annotations

import codecs
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_ext.errors import UserError

#: of a fold, the one that nnU-Net goes on from first
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth")
_ZIP = b"PK\x03\x04"  # how every checkpoint begins since PyTorch 1.6
_NUMBERS = "?bBhHiIlLqQefdFD"  # NumPy's codes of what may be stored: no objects


def load_checkpoint(
    path: Path, *, mapped: bool = False, trust: bool = False, remedy: str = ""
) -> dict[str, Any]:
    """Read a checkpoint of nnU-Net.

    Parameters
    ----------
    path : Path
        The ``.pth``.
    mapped : bool
        Leave tensors in the file until they are used; they are not checked for damage then.
    trust : bool
        Call whatever it says is to be called.
    remedy : str
        What to do about one that is refused, for the text.

    Returns
    -------
    dict
        Its content, tensors on the CPU.

    Raises
    ------
    UserError
        If it is cut short, damaged or none at all; unless `trust`, if it holds what nnU-Net does not store.
    """
    import torch

    try:
        with path.open("rb") as file:
            is_zip = file.read(len(_ZIP)) == _ZIP
        if not is_zip and not trust:  # other formats have been read less carefully than this one
            raise UserError(f"{path} cannot be read as a checkpoint: it is none, or damaged at the start.")
        if not (mapped or trust):
            _check_sums(path)
        with _allowed_by_name():
            content = torch.load(path, map_location="cpu", mmap=mapped and is_zip, weights_only=not trust)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"{found[1]}, which nnU-Net does not store" if found else "something nnU-Net does not store"
        raise UserError(
            f"{path} was not loaded: it holds {what}, and could run a program hidden in it. {remedy}".rstrip()
        ) from error
    except UserError:
        raise
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except Exception as error:  # torch and zipfile raise many kinds
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is cut short, damaged, or none at all "
            f"({type(error).__name__})."
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is no checkpoint of nnU-Net: it holds one {type(content).__name__}.")
    return content


def is_whole(path: Path) -> bool:
    """Whether a checkpoint was written to its end, and is as it was written."""
    try:
        _check_sums(path)
    except (OSError, zipfile.BadZipFile):
        return False
    return True


def _check_sums(path: Path) -> None:
    """Raise where a byte has changed since the archive was written, which PyTorch does not look for."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)


@contextmanager
def _allowed_by_name() -> Iterator[None]:
    """Let PyTorch read what nnU-Net stores, for as long as the context lasts."""
    from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

    before = get_safe_globals()
    add_safe_globals(_numpy_names())
    try:
        yield
    finally:
        clear_safe_globals()
        add_safe_globals(before)


def _numpy_names() -> list[Any]:
    """What numbers and arrays of NumPy are made with, under the names of its versions 1 and 2."""
    reduced: dict[str, Any] = {"scalar": np.float64(0).__reduce__(), "_reconstruct": np.zeros(0).__reduce__()}
    return [
        np.dtype,
        np.ndarray,
        codecs.encode,
        *{type(np.dtype(code)) for code in _NUMBERS},
        *(
            _under_the_name(module, name, function)
            for module in ("numpy.core.multiarray", "numpy._core.multiarray")
            for name, (function, *_) in reduced.items()
        ),
    ]


def _under_the_name(module: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that PyTorch finds under a name; it goes by these attributes."""

    def call(*arguments: Any) -> Any:
        return function(*arguments)

    call.__module__, call.__name__, call.__qualname__ = module, name, name
    return call
