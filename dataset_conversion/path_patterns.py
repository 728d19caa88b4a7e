"""Paths with a placeholder for the name of a case: ``images/{case}_ct.nii.gz``."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from nnunet_ext.dataset_conversion.sources import match_files
from nnunet_ext.errors import UserError

CASE = "{case}"


@dataclass(frozen=True)
class PathPattern:
    """A path below a folder in which ``{case}`` stands for a case's name and ``*`` for any part of a name.

    Parameters
    ----------
    text : str
        The pattern, with forward slashes.
    flag : str
        The option it comes from, for messages.

    Raises
    ------
    UserError
        If it has no ``{case}``, or ``*`` beside it.
    """

    text: str
    flag: str

    def __post_init__(self) -> None:
        if CASE not in self.text:
            found = f"'{self.text}' has no {CASE}" if self.text else "nothing is given"
            raise UserError(
                f"{self.flag} says where files lie below -i, with {CASE} for the name of a case and * for "
                f"anything, such as '{self.flag[2:]}/{CASE}.nii.gz': {found}."
            )
        if f"{CASE}*" in self.text or f"*{CASE}" in self.text:
            raise UserError(f"{self.flag} '{self.text}': with * beside {CASE} a name could be cut anywhere.")

    def find(self, root: Path) -> dict[str, Path]:
        """Return the files below `root` that match, by the name of their case.

        Raises
        ------
        UserError
            If several files have the same name of a case.
        """
        first, *others = map(_any, self.text.split(CASE))
        pattern = first + "([^/]+)" + r"\1".join(others)
        found: dict[str, list[Path]] = defaultdict(list)
        for path, match in match_files(root, pattern):
            found[match[1]].append(path)
        if several := [", ".join(map(str, files)) for files in found.values() if len(files) > 1]:
            raise UserError("\n".join([f"{self.flag} fits several files of one case:", *several]))
        return {case: files[0] for case, files in found.items()}

    def path(self, root: Path, case: str) -> Path:
        """Return where the file of a case ought to be."""
        return root / self.text.replace(CASE, case)


def pair_by_pattern(root: Path, images: PathPattern, labels: PathPattern) -> list[tuple[str, Path, Path]]:
    """Return name, image and label of all cases below `root`; a partner that is missing is named, too."""
    there, marked = images.find(root), labels.find(root)
    return [
        (name, there.get(name, images.path(root, name)), marked.get(name, labels.path(root, name)))
        for name in sorted({*there, *marked})
    ]


def part_of_name(name: str, pattern: str, flag: str) -> str:
    """Return the first group of a regular expression that fits all of a name, else the name.

    Raises
    ------
    UserError
        If it is no regular expression, or has no group.
    """
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise UserError(f"{flag} '{pattern}' is no regular expression: {error}.") from error
    if not compiled.groups:
        raise UserError(f"{flag} '{pattern}' has no group: put what is wanted in brackets.")
    found = compiled.fullmatch(name)
    return found[1] if found else name


def _any(text: str) -> str:
    return "[^/]*".join(map(re.escape, text.split("*")))
