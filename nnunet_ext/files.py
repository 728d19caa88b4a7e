"""Read JSON, write files whole or not at all, and tell a new version of a file from an old one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nnunet_ext.errors import UserError
from nnunet_ext.json_shape import mismatch

_MARK_OF_UTF8 = "\ufeff"  # that some Windows programs put first; nnU-Net refuses it as well


def read_json(path: Path, remedy: str = "", schema: Any = None) -> Any:
    """Read a JSON file, and check once that it has the shape its reader relies on.

    Parameters
    ----------
    path : Path
        The file (UTF-8).
    remedy : str
        What to do if it cannot be read; the end of the error text.
    schema : type, optional
        What it holds, in Python's types: a `TypedDict`, ``list[int]``. Other keys are let pass.

    Returns
    -------
    dict, list, str, float, int, bool or None
        The content, as it is.

    Raises
    ------
    UserError
        If the file is missing, unreadable, not valid JSON, names a key twice or is not of the schema. The
        text says which entry is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if text.startswith(_MARK_OF_UTF8):
            raise ValueError("it begins with a byte order mark; save it as UTF-8 without one (without BOM)")
        content = json.loads(text, object_pairs_hook=_unique)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}. {remedy}".rstrip()) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}. {remedy}".rstrip()) from error
    if schema is not None and (problem := mismatch(content, schema)):
        raise UserError(f"{path}: {problem}. {remedy}".rstrip())
    return content


def composed(name: str) -> str:
    """Return a name with composed letters (Unicode NFC), to compare names of files.

    macOS writes names decomposed, other systems as they are typed: the same name looks alike and differs.

    Examples
    --------
    >>> composed("gro\u0308\u00dfe") == "gr\u00f6\u00dfe"
    True
    """
    return unicodedata.normalize("NFC", name)


def fingerprint(path: Path) -> list[int] | None:
    """Size in bytes and time of the last change in ns, by which a new version of a file is known.

    Returns
    -------
    list of int, or None
        As JSON gives it back; None if there is no such file.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return [status.st_size, status.st_mtime_ns]


def time_of(file: Path) -> int:
    """When a file was last changed, in nanoseconds; 0 if it is not there."""
    return file.stat().st_mtime_ns if file.exists() else 0


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write text files under temporary names, then rename them: no reader ever sees half of one.

    Parameters
    ----------
    texts : mapping
        File -> content (UTF-8; names of files that are none as Python has them). Missing folders are made;
        existing files are replaced.

    Raises
    ------
    UserError
        If a file cannot be written. No file is then half-written and no temporary one left, but of
        several some may have been replaced already.
    """
    temporary = {path: _temporary(path) for path in texts}
    try:
        for path in texts:
            if path.is_dir():
                raise UserError(f"Cannot write {path}: it is a folder.")
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary[path].write_text(text, encoding="utf-8", errors="surrogateescape")
        for path in texts:
            os.replace(temporary[path], path)
    except OSError as error:
        raise UserError(f"Cannot write {', '.join(map(str, texts))}: {error.strerror}") from error
    finally:
        for path in temporary.values():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file as `write_texts` does, indented, for people to read."""
    write_texts({path: json.dumps(content, indent=2) + "\n"})


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name to write to that becomes `path` when the context ends well, and is removed otherwise.

    Parameters
    ----------
    path : Path
        The file to make or replace. Its folder is made if need be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        full = error.errno == errno.ENOSPC and error.filename is None
        if full or error.filename == str(temporary):  # the name that the user knows
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """Hidden, of its own for every process, and known by its ending to those who clean up."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these entries; JSON leaves open which one counts where a key comes twice."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"it names {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return entries
