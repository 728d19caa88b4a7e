"""The options of a converter: dataclass fields that are flags of the command line and part of the report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Any


def option(
    default: Any,
    help: str,
    choices: Sequence[Any] = (),
    flags: Sequence[str] = (),
    metavar: str = "",
    shown: str = "",
    adds_cases: bool = False,
    deals: bool = False,
) -> Any:
    """Declare an option of a converter: a dataclass field that is also a flag of the command line.

    Parameters
    ----------
    default : any
        Default value. The type of the field's annotation is that of the flag; a tuple takes several values.
    help : str
        One line, without a full stop.
    choices : sequence
        The only values allowed, if given.
    flags : sequence of str
        Names of the flag; by default the field's name with two dashes.
    metavar, shown : str
        How the help shows the value and the default.
    adds_cases : bool
        Whether it only says where further cases are: a dataset converted without it may then be completed.
    deals : bool
        Whether it says which cases train, validate and test.
    """
    metadata = {"help": help, "choices": tuple(choices), "flags": tuple(flags)}
    shows = {"metavar": metavar, "shown": shown}
    return field(default=default, metadata={**metadata, **shows, "adds_cases": adds_cases, "deals": deals})


def stored(value: Any) -> Any:
    """Return an option as JSON would give it back; a file with what tells whether it has changed."""
    if isinstance(value, tuple):
        return [stored(item) for item in value]
    if not isinstance(value, Path):
        return value
    digest = f", SHA-256 {hashlib.sha256(value.read_bytes()).hexdigest()}" if value.is_file() else ""
    return f"{value.resolve()}{digest}"


def words(value: Any) -> str:
    """Return an option as it is typed."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
