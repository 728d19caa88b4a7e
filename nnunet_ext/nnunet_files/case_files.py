"""Which files of a folder are cases, by the endings of their names; none that looks like one is left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnunet_ext.errors import UserError


def find_files(folder: Path, endings: Sequence[str], what: str) -> dict[str, Path]:
    """The files of a folder with one of these endings, by their names without it.

    Hidden files are left out; a dead link or a folder of such a name is a `UserError`, as it may be a case.
    """
    found: dict[str, Path] = {}
    for path in list_folder(folder):
        ending = ending_in(path.name, endings)
        if ending is None:
            continue
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "a link to a file that is not there"
            raise UserError(
                f"{path}: {kind}, but it is named like a {what}. Put the file there, or move this away."
            )
        case = path.name[: -len(ending)]
        if case in found:
            raise UserError(
                f"{folder}: {found[case].name} and {path.name} are one case. Move one of them away."
            )
        found[case] = path
    return found


def list_folder(folder: Path) -> list[Path]:
    """What lies in a folder, but for hidden files, by name; a `UserError` if it cannot be opened."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"Cannot read the folder {folder}: {error.strerror}.") from error


def ending_in(name: str, endings: Sequence[str]) -> str | None:
    """The longest of these endings that a name has, in the letters of the name."""
    fitting = [ending for ending in endings if name.lower().endswith(ending.lower())]
    length = max(map(len, fitting), default=0)
    return name[-length:] if length else None
