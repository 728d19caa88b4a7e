"""The mistakes of every model in one case, found and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnunet_ext.evaluation.case_view import CaseView
from nnunet_ext.metrics.mistakes import InstanceMark, Mark


@dataclass(frozen=True)
class Mistakes:
    """What is wrong in one prediction.

    Attributes
    ----------
    marks : tuple of (str, Mark)
        Name of the class and place of each mistake; of instances the name is "" and a mark is an
        `InstanceMark`, of every instance, also of the matched ones.
    counts : dict
        Kind -> how many; all kinds, in the order of the legend.
    """

    marks: tuple[tuple[str, Mark | InstanceMark], ...]
    counts: dict[str, int]


def find_mistakes(view: CaseView) -> dict[str, Mistakes]:
    """Mistakes of each model of a case."""
    raise NotImplementedError


def count_mistakes(view: CaseView) -> dict[str, dict[str, int]]:
    """Model -> kind -> how many, summed over the classes.

    Of classes the kinds are ``false``, ``missed``, ``break``, ``merge``; of instances ``matched``,
    ``missed``, ``extra``, ``merged``, ``split``.
    """
    return {name: mistakes.counts for name, mistakes in find_mistakes(view).items()}
