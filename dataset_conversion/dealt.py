"""Converters whose cases are dealt: a paper says how many trained, validated and tested, but not which."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from nnunet_ext.dataset_conversion.case import PARTS, Case, Part
from nnunet_ext.dataset_conversion.converter import Converter
from nnunet_ext.dataset_conversion.options import option
from nnunet_ext.dataset_conversion.split_files import deal_cases
from nnunet_ext.errors import UserError

SPLITS = ("paper", "folds")
PAPER_OR_FOLDS = "paper: at random, seeded, in the paper's sizes; folds: all cases dealt train, in five folds"


@dataclass(frozen=True)
class Dealt(Converter):
    """Base of the converters of which only the sizes of the parts are known, not which case is in which.

    Attributes
    ----------
    deals : tuple of str
        The parts that are dealt; the others are official.

    Raises
    ------
    UserError
        At construction, if `split` and `split_file` contradict each other.
    """

    deals: ClassVar[tuple[Part, ...]] = PARTS

    split: str = option("paper", PAPER_OR_FOLDS, SPLITS, deals=True)
    seed: int = option(12345, "of the split: another one deals the cases otherwise", deals=True)
    split_file: Path | None = option(  # noqa: RUF009 - a dataclass field
        None,
        'which cases go where, instead of the seed: JSON, {"train": [case ids], "val": [case ids], ...}',
        deals=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        default = next(spec.default for spec in self.options() if spec.name == "split")
        if self.split_file is not None and self.split != default:
            raise UserError(f"--split-file says which cases train: --split {self.split} contradicts it.")

    @abstractmethod
    def sizes(self) -> Mapping[Part, int]:
        """Return the cases per part in the complete dataset, as the paper has them."""

    def counts(self) -> dict[Part, int]:
        """Return the cases per part in the complete dataset, as far as the options tell."""
        counts = dict(self.sizes())
        dealt = sum(counts.pop(part, 0) for part in self.deals)
        if self.split_file is not None:
            return counts
        return {"train": dealt, **counts} if self.split == "folds" else dict(self.sizes())

    def dealt(self, cases: Sequence[Case], strata: Callable[[Case], Hashable] = lambda case: 0) -> list[Case]:
        """Return the cases with their parts: as a file says, those of `sizes`, or all of them training."""
        if self.split == "folds":
            return [replace(case, part="train") for case in cases]
        sizes = {part: size for part, size in self.sizes().items() if part in self.deals}
        return deal_cases(cases, sizes, self.seed, self.split_file, strata)
