"""Which label file belongs to which image: by similar names, or by patterns that the user gives."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_ext.dataset_conversion.base.find_files import match_files
from nnunet_ext.errors import UserError
from nnunet_ext.files import composed
from nnunet_ext.images.files import stem_of

#: what stands for the name of a case in a `PathPattern`
CASE = "{case}"

# how names of labels and images may end, and nnU-Net's number of a channel
_LABEL = re.compile(r"[_.-](cp_masks?|masks?|labels?|lbl|instances?|seg|segmentation|gt)$", re.IGNORECASE)
_IMAGE = re.compile(r"[_.-](images?|img|raw)$", re.IGNORECASE)
_CHANNEL = re.compile(r"_(\d{4})$")


@dataclass(frozen=True)
class Pair:
    """The files of one image, one per channel or a single one, and of its labels.

    Attributes
    ----------
    name : str
        What their names have in common.
    images : tuple of Path
        In the order of the channels.
    label : Path or None
        None for an image without labels.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None = None


def is_label_name(path: Path) -> bool:
    """Tell whether a name ends as those of labels do: ``a_masks.tif``, ``a_cp_masks.png``."""
    return _LABEL.search(_stem(path)) is not None


def pair_by_name(images: Sequence[Path], labels: Sequence[Path]) -> list[Pair]:
    """Pair images and labels.

    The label of ``a.tif`` is ``a.tif`` or ``a_label.tif`` (see `is_label_name`), whatever the format; the
    image may be ``a_raw.tif`` or ``a_image.tif`` as well, or have nnU-Net's channel numbers,
    ``a_0000.tif`` and ``a_0001.tif``.

    Raises
    ------
    UserError
        If an image has no label or several, or a label no image or several; all of them are listed.
    """
    by_name: dict[str, list[Path]] = defaultdict(list)
    for label in labels:
        for name in {_stem(label), _LABEL.sub("", _stem(label))}:
            by_name[name].append(label)
    problems: list[str] = []
    partners: dict[Path, list[tuple[str, Path]]] = {label: [] for label in labels}
    for image in images:
        hits = {label: name for name in reversed(_image_names(image)) for label in by_name.get(name, [])}
        for label, name in hits.items():
            partners[label].append((name, image))
        if not hits:
            problems.append(f"{image}: has no label")
        elif len(hits) > 1:
            problems.append(f"{image}: its label could be any of {', '.join(map(str, sorted(hits)))}")
    pairs = []
    for label, found in partners.items():
        files = tuple(sorted((image for _, image in found), key=_stem))
        if not files:
            problems.append(f"{label}: has no image")
        elif len(files) > 1 and not _are_channels(files):
            problems.append(f"{label}: its image could be any of {', '.join(map(str, files))}")
        else:
            pairs.append(Pair(found[0][0], files, label))
    if problems:
        raise UserError(_listed("Images and labels do not pair by name:", problems))
    return pairs


def without_labels(images: Sequence[Path], channels_apart: bool) -> list[Pair]:
    """Return images that have no labels.

    Parameters
    ----------
    images : sequence of Path
        Their files, sorted.
    channels_apart : bool
        Whether ``a_0000.tif`` and ``a_0001.tif`` are two channels of one image.
    """
    groups: dict[str, list[Path]] = defaultdict(list)
    for image in sorted(images, key=_stem):
        stem = _stem(image)
        name = _CHANNEL.sub("", stem) if channels_apart else stem
        groups[name].append(image)
    same = [
        f"{', '.join(map(str, files))}: have the same name, but are not the channels of one image"
        for files in groups.values()
        if len(files) > 1 and not _are_channels(files)
    ]
    if same:
        raise UserError(_listed("What the cases are is not clear:", same))
    return [Pair(name, tuple(files)) for name, files in groups.items()]


def has_channel_numbers(pair: Pair) -> bool:
    """Tell whether the images carry nnU-Net's channel numbers, as in ``a_0000.tif``."""
    return all(_stem(image) == f"{pair.name}_{i:04d}" for i, image in enumerate(pair.images))


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


def _stem(path: Path) -> str:
    """Return the name without its ending, with composed letters: by it files pair whatever wrote them."""
    return composed(stem_of(path))


def _image_names(image: Path) -> list[str]:
    """Return the names under which the label may be found, the whole stem first."""
    stem = _stem(image)
    return list(dict.fromkeys([stem, _IMAGE.sub("", stem), _CHANNEL.sub("", stem)]))


def _are_channels(files: Sequence[Path]) -> bool:
    numbers = [_CHANNEL.search(_stem(file)) for file in files]
    return [int(found[1]) if found else -1 for found in numbers] == list(range(len(files)))


def _listed(head: str, problems: Sequence[str]) -> str:
    return "\n".join([head, *(f"  {line}" for line in sorted(problems))])


def _any(text: str) -> str:
    """Return a regular expression for a text in which * is any part of a name."""
    return "[^/]*".join(map(re.escape, text.split("*")))
