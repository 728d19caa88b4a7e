"""What makes one doubt that the right folders were given, judged from what all cases look like.

A `Look` is taken of every case before anything is written. What is hardly ever right (labels that look like
grey images, a background that has an id) is grave: it stops the conversion until the user confirms it. What
is only unusual becomes a note in the report, as do grave doubts that were confirmed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nnunet_ext.dataset_conversion.base.case import Case, Note
from nnunet_ext.dataset_conversion.base.instance_headers import examples
from nnunet_ext.dataset_conversion.base.looks import Look
from nnunet_ext.errors import UserError, some_of

_NAMED = 3  # pairs of files in a text
_HARDLY = 0.001  # of the voxels are background


@dataclass(frozen=True)
class Seen:
    """A case and what it looks like."""

    case: Case
    look: Look

    @property
    def files(self) -> str:
        """Its labels, for a message; its images, where labels are none of their own."""
        return str((self.case.labels or self.case.images)[0])


@dataclass(frozen=True)
class Doubt:
    """Something that makes one doubt that the right folders were given.

    Attributes
    ----------
    kind, text : str
        As in `Note`.
    seen : tuple of Seen
        The cases it rests on.
    grave : bool
        Whether it has to be confirmed.
    """

    kind: str
    text: str
    seen: tuple[Seen, ...]
    grave: bool = False

    def note(self) -> Note:
        """Return it as a note for the report."""
        return Note(self.kind, self.text)


def judge(seen: Sequence[Seen]) -> list[Doubt]:
    """Return what there is to doubt about a dataset, the grave doubts first."""
    parts = [
        [each for each in seen if (each.case.part == "test") == is_test and each.look.number is not None]
        for is_test in (False, True)
    ]
    doubts = [doubt for rule in _RULES for doubt in rule(seen)]
    doubts += [doubt for rule in _RULES_OF_A_PART for part in parts if part for doubt in rule(part)]
    return sorted(doubts, key=lambda doubt: not doubt.grave)


def check(doubts: Iterable[Doubt], new: Iterable[Case]) -> None:
    """Raise `UserError` if there are grave doubts about cases that are about to be converted."""
    ids = {case.id for case in new}
    grave = [doubt for doubt in doubts if doubt.grave and ids & {each.case.id for each in doubt.seen}]
    if grave:
        raise UserError(
            "\n".join(
                [
                    "Are these the right folders? Nothing was converted.",
                    *(f"  {doubt.kind}: {doubt.text}" for doubt in grave),
                    "Correct the folders or files. If all of this is right, add --yes to the same command.",
                ]
            )
        )


def _labels_are_images(seen: Sequence[Seen]) -> Iterable[Doubt]:
    found = tuple(each for each in seen if each.look.is_image)
    if found:
        text = (
            f"the same values are in image and labels of {_cases(found, seen)}. Were the images given twice?"
        )
        yield Doubt("labels that are the image", text, found, grave=True)


def _labels_look_grey(seen: Sequence[Seen]) -> Iterable[Doubt]:
    found = tuple(each for each in seen if each.look.fragments == "noise" and not each.look.is_image)
    if found:
        flat = [each for each in found if each.look.is_flat]
        swapped = (
            "; and the images look like labels: -i and -l are swapped" if len(flat) == len(found) else ""
        )
        text = (
            f"{_cases(found, seen)}: each value lies in specks, as grey values do, not ids of cells{swapped}"
        )
        yield Doubt("labels that look like grey images", text, found, grave=True)


def _ids_are_reused(seen: Sequence[Seen]) -> Iterable[Doubt]:
    found = tuple(each for each in seen if each.look.fragments == "reused ids")
    if found:
        text = (
            f"{_cases(found, seen)}: each value lies in many pieces. Are these images? Or ids that were used "
            "for several cells, as in 8 bits? --split-components makes an instance of every piece"
        )
        yield Doubt("labels whose ids are in many pieces", text, found, grave=True)


def _images_look_like_labels(seen: Sequence[Seen]) -> Iterable[Doubt]:
    found = tuple(each for each in seen if each.look.is_flat)
    if found and not any(each.look.fragments for each in found):
        text = f"{_cases(found, seen, images=True)}: areas of one value, without noise"
        yield Doubt("images that look like labels", text, found)


def _test_images_are_known(seen: Sequence[Seen]) -> Iterable[Doubt]:
    training = {each.look.image: each for each in seen if each.case.part != "test" and each.look.image}
    found = [each for each in seen if each.case.part == "test" and each.look.image in training]
    if found:
        tests = sum(each.case.part == "test" for each in seen)
        known = [training[each.look.image] for each in found]
        both = (*found, *known)
        pairs = [f"{a.case.images[0]} = {b.case.images[0]}" for a, b in zip(found, known, strict=True)]
        folders = {each.case.images[0].parent for each in both}
        twice = f" {folders.pop()} was given twice." if len(folders) == 1 else ""
        text = (
            f"{len(found)} of {tests} test images: {some_of(pairs, _NAMED, '; ')}.{twice} "
            "Scores on images that were trained on say nothing"
        )
        grave = any(each.look.number is not None for each in both)
        yield Doubt("test images that are training images", text, both, grave)


def _images_are_copies(seen: Sequence[Seen]) -> Iterable[Doubt]:
    yield from _copies(
        [each for each in seen if each.case.part != "test"],
        "training images that are the same",
        lambda each: each.look.image,
        lambda each: str(each.case.images[0]),
    )


def _labels_are_copies(seen: Sequence[Seen]) -> Iterable[Doubt]:
    yield from _copies(
        [each for each in seen if each.look.number],
        "labels that are the same for different images",
        lambda each: each.look.label,
        lambda each: each.files,
        lambda each: each.look.image,
    )


def _copies(
    seen: Sequence[Seen],
    kind: str,
    key: Callable[[Seen], str],
    name: Callable[[Seen], str],
    differs: Callable[[Seen], str] = lambda each: each.case.id,
) -> Iterable[Doubt]:
    groups: dict[str, list[Seen]] = defaultdict(list)
    for each in seen:
        if key(each):
            groups[key(each)].append(each)
    same = [group for group in groups.values() if len({differs(each) for each in group}) > 1]
    if same:
        texts = [" = ".join(map(name, group[:3])) + ", …" * (len(group) > 3) for group in same]
        text = some_of(texts, _NAMED, "; ")
        yield Doubt(kind, text, tuple(each for group in same for each in group))


def _nothing_is_labelled(part: Sequence[Seen]) -> Iterable[Doubt]:
    if not any(each.look.number for each in part):
        text = f"{_cases(part, part)}: every voxel is 0. Is this the folder of the labels?"
        yield Doubt("labels without a cell", text, tuple(part), grave=True)


def _background_has_an_id(part: Sequence[Seen]) -> Iterable[Doubt]:
    lacking = tuple(each for each in part if not each.look.background)
    likely = tuple(each for each in lacking if each.look.outside)
    if len(lacking) < len(part):
        if likely:
            yield _numbered_background(likely, part, grave=True)
        if rest := [each for each in lacking if each not in likely]:
            yield Doubt("labels without background", f"{_cases(rest, part)}: no voxel is 0", tuple(rest))
        odd = tuple(each for each in part if each.look.background and each.look.outside)
        if odd:
            yield _numbered_background(odd, part, grave=False)
        elif max(each.look.background for each in part) < _HARDLY:
            yield Doubt("hardly any background", f"{_cases(part, part)}: less than 0.1% is 0", tuple(part))
        return
    if 2 * len(likely) >= len(lacking):
        yield _numbered_background(lacking, part, grave=True)
        return
    text = (
        f"{_cases(lacking, part)}: no voxel is 0, so every voxel would be a cell. Has the background another "
        "number? If cells do cover all of each image, go on"
    )
    yield Doubt("labels without background", text, lacking, grave=True)


def _numbered_background(found: tuple[Seen, ...], part: Sequence[Seen], grave: bool) -> Doubt:
    number = Counter(each.look.outside for each in found if each.look.outside).most_common(1)[0][0]
    none = "no voxel is 0, and " if not any(each.look.background for each in found) else ""
    text = (
        f"{_cases(found, part)}: {none}id {number} is most of the image and of its border. It would become a "
        "cell; set it to 0 if it is the background"
    )
    return Doubt("background with an id", text, found, grave)


def _cases(found: Sequence[Seen], of: Sequence[Seen], images: bool = False) -> str:
    """Return how many cases and the first files."""
    labelled = [each for each in of if images or each.look.number is not None]
    files = [each.case.images[0] if images else (each.case.labels or each.case.images)[0] for each in found]
    return f"{len(found)} of {len(labelled)} cases ({examples(files)})"


_RULES: tuple[Callable[[Sequence[Seen]], Iterable[Doubt]], ...] = (
    _labels_are_images,
    _labels_look_grey,
    _ids_are_reused,
    _test_images_are_known,
    _images_look_like_labels,
    _images_are_copies,
    _labels_are_copies,
)
#: asked of training and of test cases by themselves
_RULES_OF_A_PART: tuple[Callable[[Sequence[Seen]], Iterable[Doubt]], ...] = (
    _nothing_is_labelled,
    _background_has_an_id,
)
