"""``NAME=FOLDER`` on the command line: the predictions of several models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnunet_ext.errors import UserError


def named_pairs(words: Sequence[str], option: str = "-pred") -> list[tuple[str, Path]]:
    """Turn the words of an option into names and folders; without a name it is that of the folder.

    Raises
    ------
    UserError
        If a name or a folder is empty.
    """
    pairs = []
    for word in words:
        name, equals, folder = word.partition("=")
        if not equals or Path(word).is_dir():
            name, folder = Path(word).resolve().name, word
        if not name.strip() or not folder:
            raise UserError(f"{option} {word}: expected NAME=FOLDER.")
        pairs.append((name.strip(), Path(folder)))
    return pairs


def named_folders(words: Sequence[str]) -> dict[str, Path]:
    """The same of ``-pred``, name -> folder; a `UserError` if a name is given twice."""
    folders: dict[str, Path] = {}
    for name, folder in named_pairs(words):
        if name in folders:
            raise UserError(
                f"-pred {folder}: another folder is called {name}, too. Give names: "
                f"-pred first={folders[name]} second={folder}"
            )
        folders[name] = folder
    return folders
