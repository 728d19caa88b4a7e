"""Datasets of which only the sizes of the parts are known, not which case is in which."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from nnunet_ext.dataset_conversion.base.case import PARTS, Case, Part
from nnunet_ext.dataset_conversion.base.converter import Converter, option
from nnunet_ext.dataset_conversion.base.splits import split_cases, split_from_file
from nnunet_ext.errors import UserError

#: what the choices of --split mean, for the help
PAPER_OR_FOLDS = "paper: at random, seeded, in the paper's sizes; folds: all cases train, in five folds"


@dataclass(frozen=True)
class SeededSplit(Converter):
    """Base of the converters whose cases are assigned to their parts at random, with a seed.

    Attributes
    ----------
    seeded_parts : tuple of str
        The parts that are drawn; the others are official.

    Raises
    ------
    UserError
        At construction, if `split` and `split_file` contradict each other.
    """

    seeded_parts: ClassVar[tuple[Part, ...]] = PARTS

    split: str = option("paper", PAPER_OR_FOLDS, ("paper", "folds"), decides_split=True)
    seed: int = option(12345, "of the split: another one gives another split", decides_split=True)
    split_file: Path | None = option(  # noqa: RUF009 - a dataclass field
        None,
        'which cases go where, instead of the seed: JSON, {"train": [case ids], "val": [case ids], ...}',
        decides_split=True,
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
        seeded = sum(counts.pop(part, 0) for part in self.seeded_parts)
        if self.split_file is not None:
            return counts
        return {"train": seeded, **counts} if self.split == "folds" else dict(self.sizes())

    def assign_parts(
        self, cases: Sequence[Case], strata: Callable[[Case], Hashable] = lambda case: 0
    ) -> list[Case]:
        """Return the cases with their parts: as the file says, drawn with the seed, or all training.

        Parameters
        ----------
        cases : sequence of Case
            Those of `seeded_parts`, whatever their part is now.
        strata : callable
            Case -> kind, see `split_cases`.
        """
        if self.split == "folds":
            return [replace(case, part="train") for case in cases]
        sizes = {part: size for part, size in self.sizes().items() if part in self.seeded_parts}
        if self.split_file is not None:
            return split_from_file(cases, self.split_file, tuple(sizes))
        return split_cases(cases, sizes, self.seed, strata)
