"""What lies below the source folder and is used by no case: named, or counted where it is known why."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_ext.dataset_conversion.base.case import Case, Note
from nnunet_ext.dataset_conversion.base.find_files import is_system_file
from nnunet_ext.errors import some_of
from nnunet_ext.files import composed
from nnunet_ext.images.files import ending_of

_DOCUMENTS = re.compile(
    r"(readme|licen[cs]e|copying|notice|citation|authors|changelog|makefile)[^/]*"
    r"|.*\.(txt|md|rst|csv|tsv|xlsx?|docx?|pdf|json|ya?ml|html?|cff|py|m|ipynb|sh|log|md5|sha\d+)",
    re.IGNORECASE,
)
_NAMED = 5  # entries of a note


@dataclass(frozen=True)
class Unused:
    """What no case uses.

    Attributes
    ----------
    files : list of str
        Paths below the source folder: files beside those of the cases, and whatever else nobody expects
        there. Folders end with a slash and the number of files in them.
    unexpected : list of str
        Those of `files` that the converter does not know either.
    on_purpose : dict
        How many files are not used for a reason that the converter knows.
    """

    files: list[str]
    unexpected: list[str]
    on_purpose: dict[str, int]

    def notes(self) -> list[Note]:
        """Return a note on what nobody expects."""
        if not self.unexpected:
            return []
        return [Note("files of no case", some_of(_of_every_kind(self.unexpected), _NAMED))]


def find_unused(cases: Sequence[Case], root: Path, known: Mapping[str, str]) -> Unused:
    """Find what the cases do not use.

    Parameters
    ----------
    cases : sequence of Case
        All cases, those that are wrong or left out as well.
    root : Path
        The source folder.
    known : mapping
        See `Converter.known_files`.
    """
    used = {path for case in cases for path in case.files}
    beside = {path.parent for path in used if path.parent.is_dir()}
    in_use = {parent for path in used for parent in path.parents}
    within = {folder for folder in in_use if folder.is_relative_to(root) and folder.is_dir()}
    files, unexpected, counts = list[str](), list[str](), Counter[str]()
    for path in (path for folder in beside | within for path in _entries(folder)):
        if path in used or path in in_use:
            continue
        found = _files(path) if path.parent in beside else _no_documents(path)
        if found is None:
            continue
        reasons = _known(found, root, known)
        if not found and _known([path / "anything"], root, known):
            continue  # an empty folder, whose files would be known
        counts.update(reasons)
        entry = os.path.relpath(path, root) + _about(path, len(found) - len(reasons))
        is_known = bool(reasons) and len(reasons) == len(found)
        if not is_known:
            unexpected.append(entry)
        if not is_known or (path in found and path.parent in beside):
            files.append(entry)
    del counts[""]
    return Unused(sorted(files), sorted(unexpected, key=_documents_last), dict(sorted(counts.items())))


def _known(files: Sequence[Path], root: Path, known: Mapping[str, str]) -> list[str]:
    """Return why files are not used, of those of which it is known."""
    names = [composed(Path(os.path.relpath(file, root)).as_posix()) for file in files] if known else []
    reasons = [
        next((why for words, why in known.items() if re.fullmatch(words, name, re.IGNORECASE)), None)
        for name in names
    ]
    return [reason for reason in reasons if reason is not None]


def _no_documents(path: Path) -> list[Path] | None:
    """Return what `_files` does without readmes and tables, None if there is nothing else."""
    files = _files(path)
    others = [file for file in files if not _DOCUMENTS.fullmatch(file.name)]
    return None if files and not others else others


def _files(path: Path) -> list[Path]:
    """Return a file, or the files below a folder, without those of operating systems."""
    if not path.is_dir():
        return [path]
    below = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return [file for file in below if not is_system_file(file)]


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder, with images that are hidden by a dot, without what systems add."""
    try:
        return [path for path in folder.iterdir() if not is_system_file(path) or _is_hidden_image(path)]
    except OSError:  # it was read before, to find the cases
        return []


def _is_hidden_image(path: Path) -> bool:
    """Tell whether an image is hidden by a dot; macOS makes a file ``._a.tif`` for many a file."""
    return path.name.startswith(".") and not path.name.startswith("._") and bool(ending_of(path))


def _about(path: Path, number: int) -> str:
    """Return what has to be said of what is no file: how many a folder has, a link to nothing."""
    if path.is_symlink() and not path.exists():
        return " (a link to nothing)"
    if not path.is_dir():
        return ""
    shut: list[OSError] = []
    for _ in os.walk(path, onerror=shut.append):
        pass
    return f"/ ({number} file{'s' * (number != 1)}{', in part not readable' if shut else ''})"


def _of_every_kind(names: Sequence[str]) -> list[str]:
    """Return names so that one of every folder and ending comes first: a note names the first few."""
    first: dict[tuple[str, str], str] = {}
    for name in names:
        folder, is_folder = os.path.dirname(name), name.endswith("files)") or name.endswith("file)")
        kind = (os.path.dirname(folder), "/") if is_folder else (folder, Path(name).suffix)
        first.setdefault(kind, name)
    shown = set(first.values())
    return [*first.values(), *(name for name in names if name not in shown)]


def _documents_last(name: str) -> tuple[bool, str]:
    return not name.endswith(")") and bool(_DOCUMENTS.fullmatch(os.path.basename(name))), name
