"""Finding files in what a user has unpacked: extra folder levels, system litter, odd names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from nnunet_ext.errors import UserError

_LITTER = {"thumbs.db", "desktop.ini", "__macosx"}


def is_litter(path: Path) -> bool:
    """Tell whether `path` is a file or folder an operating system left behind, or is hidden."""
    return path.name.startswith(".") or path.name.lower() in _LITTER


def list_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files of `folder` whose whole name matches the regular expression, sorted by name.

    Letter case is ignored and so is litter such as ``.DS_Store``. A missing folder has no files.
    """
    name = re.compile(pattern, re.IGNORECASE)
    if not folder.is_dir():
        return []
    files = (path for path in folder.iterdir() if path.is_file() and not is_litter(path))
    return sorted(path for path in files if name.fullmatch(path.name))


def find_root(source: Path, layout: Sequence[str], name: str, depth: int = 2) -> Path:
    """Return the folder at most `depth` levels below `source` that holds every path of `layout`.

    Parameters
    ----------
    source : Path
        Folder the user gave.
    layout : sequence of str
        Relative paths that must exist, such as ``train/images``.
    name : str
        The dataset, for messages.
    depth : int
        Folder levels that unpacking may have added.

    Raises
    ------
    UserError
        If `source` is no folder, or no folder or several of one level hold the layout.
    """
    if not source.exists():
        raise UserError(f"{source} does not exist. Give the folder that holds {name} with -i.")
    if not source.is_dir():
        raise UserError(f"{source} is a file. Unpack it and give the folder that holds {name} with -i.")
    level = [source.resolve()]
    for _ in range(depth + 1):
        found = [folder for folder in level if all((folder / path).exists() for path in layout)]
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(str(folder) for folder in found)
            raise UserError(f"{source} holds {name} more than once: {several}. Give one of them with -i.")
        level = [child for folder in level for child in _subfolders(folder)]
    raise UserError(
        f"{source} does not look like {name}: no folder in it, down to {depth} levels, "
        f"holds {' and '.join(layout)}.\nFound there: {_listing(source)}."
    )


def _subfolders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not is_litter(child))


def _listing(folder: Path, limit: int = 10) -> str:
    names = sorted(child.name + "/" * child.is_dir() for child in folder.iterdir() if not is_litter(child))
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "nothing"
