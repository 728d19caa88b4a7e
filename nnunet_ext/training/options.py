"""Options that are part of a trainer's name: ``nnUNetTrainerSCNP_w5_joint_50epochs``.

nnU-Net names a results folder after the trainer class, so a setting that is not in the name would
overwrite another's results. Each option is declared once, with its meaning and range; trainers list the
ones they take, and have the defaults as class attributes.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from nnunet_ext.errors import UserError

# What stands for a number in an option's syntax -> how it is written in a name, and its type.
_NUMBERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "<n>": (r"(0|[1-9]\d*)", int),
    "<x>": (r"((?:0|[1-9]\d*)(?:\.\d+)?(?:e-?[1-9]\d*)?)", float),
}


_ALIKE = 0.8  # of the letters of two words, from 0 to 1: "epoch" and "epochs" are 0.91
_NUMBER_WORDS = {
    "<n>": "a whole number without leading zeros",
    "<x>": "a number such as 2, 0.25 or 1e-4",
}


@dataclass(frozen=True)
class Option:
    """One option of a trainer's name.

    Parameters
    ----------
    syntax : str
        What is written in the name: a word (``"joint"``), or a word around a number without leading zeros:
        ``<n>`` is a whole one (``"w<n>"``), ``<x>`` a decimal one, such as 0.25 or 1e-4 (``"lambda<x>"``).
    attribute : str
        The class attribute of the trainer that it sets: the number, or `value` for a plain word.
    meaning : str
        What it does, for the catalogue.
    allowed : str
        The range of the number in words.
    check : callable
        The number -> whether it lies in that range.
    value : Any
        What a word without a number sets the attribute to.
    opposite : str
        A word for what a trainer does without this option. Another family may have it as an option; here it
        is understood, sets the attribute to None, and is not listed.
    """

    syntax: str
    attribute: str
    meaning: str
    allowed: str = ""
    check: Callable[[Any], bool] = lambda number: number >= 1
    value: Any = True
    opposite: str = ""

    @property
    def number(self) -> str:
        """What stands for the number in the syntax: ``<n>``, ``<x>``, or nothing."""
        return next((placeholder for placeholder in _NUMBERS if placeholder in self.syntax), "")

    def match(self, word: str) -> re.Match[str] | None:
        """Whether `word` has this option's form; a number in it is the match's first group."""
        pattern = re.escape(self.syntax)
        if self.number:
            pattern = pattern.replace(self.number, _NUMBERS[self.number][0])
        if self.opposite:
            pattern = f"{pattern}|{re.escape(self.opposite)}"
        return re.fullmatch(pattern, word)

    def parse(self, word: str) -> Any:
        """The value that `word`, which has this option's form, gives to the attribute.

        Raises
        ------
        UserError
            If the number is out of range.
        """
        found = self.match(word)
        if found is None:
            raise ValueError(f"{word!r} does not have the form {self.syntax!r}")
        if not found.groups():
            return None if word == self.opposite else self.value
        number = _NUMBERS[self.number][1](found[1])
        if not (math.isfinite(number) and self.check(number)):
            raise UserError(
                f"option _{word} is out of range: {self.number} in _{self.syntax} is {self.allowed}. "
                f"It stands for: {self.meaning}"
            )
        return number

    def resembles(self, word: str) -> bool:
        """Whether `word` looks like this option with another number, or misspelt."""
        plain = self.syntax.replace(self.number, "") if self.number else self.syntax
        given = re.sub("[^a-z]", "", word.lower())
        alike = difflib.SequenceMatcher(None, plain, given).ratio() > _ALIKE
        return plain == given or (len(plain) > 2 and alike)

    @property
    def description(self) -> str:
        """What it does, with the range of its number."""
        return f"{self.meaning} ({self.number}: {self.allowed})" if self.allowed else self.meaning

    @property
    def form(self) -> str:
        """What its number has to look like, and its range; nothing for a plain word."""
        return f" {self.number} is {_NUMBER_WORDS[self.number]}: {self.allowed}." if self.number else ""

    def __str__(self) -> str:
        return f"_{self.syntax}  {self.description}"


EPOCHS = Option("<n>epochs", "epochs", "train for <n> epochs", "1 or more")
ITERATIONS = Option(
    "<n>iters", "iterations", "<n> training iterations per epoch; a fifth as many for validation", "1 or more"
)
NO_MIRRORING = Option(
    "nomirroring", "mirroring", "no mirroring, in augmentation and at prediction", value=False
)
NO_DEEP_SUPERVISION = Option(
    "nodeepsupervision", "deep_supervision", "loss at full resolution only", value=False
)
ADAM = Option(
    "adam<x>",
    "adam",
    "Adam with the initial learning rate <x> in place of SGD with 1e-2; nnU-Net's decay stays",
    "above 0, at most 1",
    lambda x: 0 < x <= 1,
)
SEED = Option(
    "seed<n>",
    "seed",
    "seed all that is drawn, so that a repetition ends with the same weights, and another <n> with others",
    "0 or more",
    lambda n: n >= 0,
)
DETERMINISTIC = Option(
    "deterministic",
    "deterministic",
    "with _seed<n>: deterministic algorithms alone, for a GPU; slower, and an operation that has none ends "
    "the training",
)
ATTENTION = Option("attention", "attention", "attention gates on the skip connections of nnU-Net's network")
COMMON = (
    EPOCHS, ITERATIONS, NO_MIRRORING, NO_DEEP_SUPERVISION, ADAM, SEED, DETERMINISTIC, ATTENTION,
)  # fmt: skip

NEIGHBORHOOD = Option(
    "w<n>",
    "neighborhood",
    "SCNP window width in voxels; about the thickness of the structures",
    "odd, 3 to 31",
    lambda n: n % 2 == 1 and 3 <= n <= 31,
)
JOINT = Option("joint", "joint", "add the loss on the plain logits: L(z) + L(z̃)")

YOUDEN_WEIGHT = Option(
    "lambda<x>",
    "youden_weight",
    "weight of Youden's J beside the cross-entropy; 0 is cross-entropy alone",
    "0 or more",
    lambda x: x >= 0,
)
NO_TOUCHING_CONTRAST = Option(
    "notouchaug", "touching_contrast", "no random contrast of the touching class in augmentation", value=False
)

PEAK = Option(
    "peak<x>",  # not w0<x>: beside SCNP's w<n> that could be misread
    "peak",
    "w0, how much more background counts that two cells touch, roughly",
    "0 or more",
    lambda x: x >= 0,
)
UNET_SIGMA = Option(
    "sigma<x>",
    "sigma",
    "how far apart two cells may be for it, in voxels of the finest axis",
    "above 0",
    lambda x: x > 0,
)
CASCADE = Option(
    "cascade",
    "cascade",
    "as in the nuclei cascade: 1 on cells and 0 elsewhere in place of 1 everywhere, divided by the largest",
)
BETA = Option(
    "beta<x>",
    "beta",
    "distance from the foreground at which background counts no more, in voxels of the finest axis",
    "above 0",
    lambda x: x > 0,
)
OUTLINE_SIGMA = Option(
    "sigma<x>", "sigma", "blur of the outlines, in voxels of the finest axis", "0 or more", lambda x: x >= 0
)
TAU = Option(
    "tau<x>",
    "tau",
    "half the thickness from which an outline counts no more, in voxels of the finest axis; left out: the "
    "largest of the image",
    "above 0",
    lambda x: x > 0,
)
DICE = Option("dice", "dice", "add nnU-Net's own Dice loss")

KAPPA = Option(
    "kappa<x>", "steepness", "κ, slope of the steps of the multi-level activation", "above 0", lambda x: x > 0
)
LEVEL_SPACING = Option(
    "h<x>",
    "level_spacing",
    "h, distance of the steps of the multi-level activation",
    "above 0",
    lambda x: x > 0,
)

FROM_EPOCH = Option(
    "from<n>epochs",
    "term_from",
    "leave the further term out of the loss before epoch <n>; the first is 0",
    "0 or more",
    lambda n: n >= 0,
)
CROSS_ENTROPY = Option("ce", "ce", "add cross-entropy")
FOCUS = Option(
    "gamma<x>",
    "gamma",
    "γ, how much less a voxel counts that is right already; 0 is cross-entropy",
    "0 or more",
    lambda x: x >= 0,
)
FALSE_POSITIVES = Option("fp<x>", "fp", "weight of false positives", "0 or more", lambda x: x >= 0)
FALSE_NEGATIVES = Option("fn<x>", "fn", "weight of false negatives", "0 or more", lambda x: x >= 0)
SKELETON_STEPS = Option(
    "iter<n>",
    "skeleton_steps",
    "erosions of the soft skeleton, at least the largest radius of the structures in voxels",
    "1 or more",
)
CLDICE_SHARE = Option(
    "alpha<x>",
    "alpha",
    "α, the share of clDice: α · clDice + (1 - α) · Dice",
    "above 0, at most 1",
    lambda x: 0 < x <= 1,
)
PER_CLASS = Option(
    "perclass", "per_class", "centre lines of every class by itself, in place of all foreground together"
)

TOPO_PATCH = Option(
    "patch<n>",
    "patch",
    "edge of the patches whose components are counted, in voxels; left out: 100, in 3D 48",
    "8 or more",
    lambda n: n >= 8,
)
HOLES = Option("holes", "holes", "holes count as components do; in 3D tunnels, which need gudhi")
TERM_WEIGHT = Option("weight<x>", "term_weight", "weight of the topological term", "above 0", lambda x: x > 0)
HEAD_GAIN = Option(
    "gain<x>",
    "gain",
    "what the network's output is multiplied with before the activation; left out: 2 / κ; 1: nothing",
    "above 0",
    lambda x: x > 0,
)

# A family takes the one of these two that its maps do not do by themselves.
PER_CASE = Option(
    "percase",
    "extra_targets_per_case",
    "compute the map once per case, and augment it with the image, in place of once for every patch",
    opposite="onthefly",
)
ON_THE_FLY = Option(
    "onthefly",
    "extra_targets_per_case",
    "compute the map of every patch from its augmented label, in place of once per case",
    value=False,
    opposite="percase",
)


def parse_options(name: str, words: Iterable[str], options: Iterable[Option]) -> dict[str, Any]:
    """Turn the option words of a trainer's name into attribute values.

    Parameters
    ----------
    name : str
        The whole trainer name, for the error text.
    words : iterable of str
        The parts after the family, e.g. ``["w5", "joint"]``.
    options : iterable of Option
        The options that the family takes.

    Returns
    -------
    dict
        Attribute -> value, one for each word, in their order.

    Raises
    ------
    UserError
        If a word is unknown, out of range or sets the same thing twice; the text lists the options.
    """
    options = tuple(options)
    values: dict[str, Any] = {}
    given: dict[str, str] = {}
    for word in words:
        option = next((o for o in options if o.match(word)), None)
        if option is None:
            known = "\n".join(f"  {o}" for o in options)
            meant = next((o for o in options if o.resembles(word)), None)
            hint = f" Did you mean _{meant.syntax}: {meant.meaning}?{meant.form}" if meant else ""
            raise UserError(f"{name}: unknown option '_{word}'.{hint} Known options:\n{known}")
        if option.attribute in values:
            earlier = given[option.attribute]
            conflict = f"_{earlier} and _{word} set the same thing"
            what = f"_{word} is given twice" if earlier == word else conflict
            raise UserError(f"{name}: {what}. Keep one of them.")
        given[option.attribute] = word
        try:
            values[option.attribute] = option.parse(word)
        except UserError as error:
            raise UserError(f"{name}: {error}.") from None
    return values
