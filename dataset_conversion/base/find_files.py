"""Finding files in what a user has unpacked: extra folder levels, system files, letter case."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from nnunet_ext.errors import UserError
from nnunet_ext.files import composed

_SYSTEM_FILES = {"thumbs.db", "desktop.ini", "__macosx"}


def is_system_file(path: Path) -> bool:
    """Tell whether `path` is a file or folder that an operating system made, or is hidden."""
    return path.name.startswith(".") or path.name.lower() in _SYSTEM_FILES


def case_id(name: str) -> str:
    """Return a name as a case id: what is not a letter, a digit or one of ``_.+-`` becomes an underscore."""
    return re.sub(r"[^\w.+-]+", "_", composed(name))


def list_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files of `folder` whose whole name matches the regular expression, sorted by name.

    Letter case is ignored and system files such as ``.DS_Store`` are left out. A missing folder has no files.
    """
    name = re.compile(pattern, re.IGNORECASE)
    if not folder.is_dir():
        return []
    files = (path for path in folder.iterdir() if path.is_file() and not is_system_file(path))
    return sorted(path for path in files if name.fullmatch(path.name))


def match_files(root: Path, pattern: str) -> list[tuple[Path, re.Match[str]]]:
    r"""Return all files below `root` whose whole relative path matches, with the match, sorted by path.

    Parameters
    ----------
    root : Path
        Folder to search with all its subfolders; system files and folders are skipped.
    pattern : str
        Regular expression for the path below `root`, with forward slashes; letter case is ignored.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("sub-1_T1w.nii.gz", "sub-2_t1w.NII.GZ", "notes.txt"):
    ...         Path(folder, name).touch()
    ...     [found[1] for _, found in match_files(Path(folder), r"(?:.*/)?(sub-\w+)_T1w\.nii\.gz")]
    ['sub-1', 'sub-2']
    """
    wanted, hits = re.compile(pattern, re.IGNORECASE), []
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if not is_system_file(Path(name))]
        for name in files:
            path = Path(folder, name)
            found = wanted.fullmatch(composed(path.relative_to(root).as_posix()))
            if found and not is_system_file(path):
                hits.append((path, found))
    return sorted(hits, key=lambda hit: hit[0])


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
    return find_folder(
        source,
        lambda folder: all((folder / path).exists() for path in layout),
        f"holds {' and '.join(layout)}",
        name,
        depth,
    )


def find_folder(source: Path, fits: Callable[[Path], bool], wanted: str, name: str, depth: int = 2) -> Path:
    """Return the folder at most `depth` levels below `source` that `fits`.

    Parameters
    ----------
    source, name, depth
        As in `find_root`.
    fits : callable
        Tells of a folder whether it is the one.
    wanted : str
        What such a folder does, for messages: "holds train/images".

    Raises
    ------
    UserError
        If `source` is no folder, or no folder or several of one level fit.
    """
    check_folder(source, f"the folder that holds {name} with -i")
    level = [source.resolve()]
    for _ in range(depth + 1):
        found = [folder for folder in level if fits(folder)]
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(str(folder) for folder in found)
            raise UserError(f"{source} holds {name} more than once: {several}. Give one of them with -i.")
        level = [child for folder in level for child in subfolders(folder)]
    raise UserError(
        f"{source} does not look like {name}: no folder in it, down to {depth} levels, {wanted}.\n"
        f"Found there: {listing(source)}."
    )


def check_folder(path: Path, wanted: str) -> None:
    """Raise `UserError` unless `path` is a folder; `wanted` says what to give instead."""
    if not path.exists():
        raise UserError(f"{path} does not exist. Give {wanted}.")
    if not path.is_dir():
        raise UserError(f"{path} is a file. Unpack it and give {wanted}.")


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in `folder`, sorted, without those of operating systems."""
    return sorted(child for child in folder.iterdir() if child.is_dir() and not is_system_file(child))


def listing(folder: Path, limit: int = 10) -> str:
    """Return the names in `folder` for a message; at most `limit` of them."""
    names = sorted(
        child.name + "/" * child.is_dir() for child in folder.iterdir() if not is_system_file(child)
    )
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "nothing"
