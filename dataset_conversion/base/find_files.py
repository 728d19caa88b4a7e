"""Finding files in what a user has unpacked: extra folder levels, system files, letter case.

Nothing that fits is passed over. What has the name of a file and is none (a link to nothing, a folder) is
returned with the files, as the engine says of every case what is wrong with its files; a folder that may not
be read is an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nnunet_ext.errors import UserError, some_of
from nnunet_ext.files import composed
from nnunet_ext.images.files import ending_of

_SYSTEM_FILES = {
    *("thumbs.db", "desktop.ini", "__macosx"),
    *("lost+found", "$recycle.bin", "system volume information"),
}


def is_system_file(path: Path) -> bool:
    """Tell whether `path` is a file or folder that an operating system made, or is hidden."""
    return path.name.startswith(".") or path.name.lower() in _SYSTEM_FILES


def case_id(name: str) -> str:
    """Return a name as a case id: what is not a letter, a digit or one of ``_.+-`` becomes an underscore."""
    return re.sub(r"[^\w.+-]+", "_", composed(name))


def list_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files of `folder` whose whole name matches the regular expression, sorted by name.

    Letter case and the Unicode form of names are ignored; system files such as ``.DS_Store`` are left out.
    A missing folder has no files.

    Raises
    ------
    UserError
        If the folder may not be read.
    """
    name = re.compile(pattern, re.IGNORECASE)
    if not folder.is_dir():
        return []
    files = (path for path in entries(folder) if is_meant_as_file(path))
    return sorted(path for path in files if name.fullmatch(composed(path.name)))


def entries(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted, without what operating systems add; `UserError` if it is shut."""
    try:
        return sorted(path for path in folder.iterdir() if not is_system_file(path))
    except OSError as error:
        raise UserError(
            f"{folder}: this folder cannot be read ({error.strerror or error}). Allow it, or move it away: "
            "what is in it would be missing."
        ) from error


def is_meant_as_file(path: Path) -> bool:
    """Tell whether `path` is a file or has the name of one: a link to nothing, a folder called ``a.tif``."""
    return not path.is_dir() or bool(ending_of(path))


def match_files(root: Path, pattern: str) -> list[tuple[Path, re.Match[str]]]:
    r"""Return all files below `root` whose whole relative path matches, with the match, sorted by path.

    Parameters
    ----------
    root : Path
        Folder to search with all its subfolders, also those that links lead to; system files and folders are
        skipped.
    pattern : str
        Regular expression for the path below `root`, with forward slashes; letter case is ignored, and
        letters are composed (Unicode NFC) whatever the form in which the names are stored.

    Raises
    ------
    UserError
        If a folder may not be read.

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
    for path in _below(root, (root.resolve(),)) if root.is_dir() else ():
        found = wanted.fullmatch(composed(path.relative_to(root).as_posix()))
        if found and is_meant_as_file(path):
            hits.append((path, found))
    return sorted(hits, key=lambda hit: hit[0])


def _below(folder: Path, within: tuple[Path, ...]) -> Iterator[Path]:
    """Yield all files and folders below `folder`.

    Links are followed, but not to where the walk has come through (`within`: its root and the links), as that
    would lead to the same files again, or in a circle.
    """
    for path in entries(folder):
        yield path
        if not path.is_dir():
            continue
        target = path.resolve()
        if not path.is_symlink():
            yield from _below(path, within)
        elif not any(target.is_relative_to(place) or place.is_relative_to(target) for place in within):
            yield from _below(path, (*within, target))


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
    """Return the folders in `folder`, sorted, without those of operating systems.

    Raises
    ------
    UserError
        If the folder may not be read, or holds a link that may have led to a folder and leads nowhere.
    """
    children = entries(folder)
    for child in children:
        if child.is_symlink() and not child.suffix and not child.exists():
            raise UserError(
                f"{child}: a link to {os.readlink(child)}, which is not there. Remove or mend it."
            )
    return [child for child in children if child.is_dir()]


def listing(folder: Path, limit: int = 10) -> str:
    """Return the names in `folder` for a message; at most `limit` of them."""
    names = [child.name + "/" * child.is_dir() for child in entries(folder)]
    return some_of(names, limit) or "nothing"
