"""``NAME=FOLDER`` on the command line: the predictions of several models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnunet_ext.errors import UserError


def named_folders(words: Sequence[str]) -> dict[str, Path]:
    """Turn the words of ``-pred`` into name -> folder; without a name it is that of the folder.

    Raises
    ------
    UserError
        If a name or a folder is empty, or a name is given twice.
    """
    folders: dict[str, Path] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not equals or Path(word).is_dir():
            name, folder = Path(word).resolve().name, word
        if not name or not folder:
            raise UserError(f"-pred {word}: expected NAME=FOLDER.")
        if name in folders:
            raise UserError(
                f"-pred {word}: another folder is called {name}, too. Give names: "
                f"-pred first={folders[name]} second={folder}"
            )
        folders[name] = Path(folder)
    return folders
