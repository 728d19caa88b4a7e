"""What a look at all files shows before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from nnunet_ext.dataset_conversion.case import Case, Note
from nnunet_ext.dataset_conversion.description import DatasetDescription

#: (items, how many, what) -> the same items, shown as they go by
Progress: TypeAlias = Callable[[Iterable[Any], int, str], Iterator[Any]]


def silent(items: Iterable[Any], total: int, description: str) -> Iterator[Any]:
    """Yield `items` and show nothing."""
    yield from items


@dataclass(frozen=True)
class Survey:
    """What a look at the files showed before anything is written.

    Attributes
    ----------
    cases : tuple of Case
        The cases to convert.
    description : DatasetDescription
        What they have in common.
    notes : tuple of Note
        What is worth knowing about the dataset as a whole.
    """

    cases: tuple[Case, ...]
    description: DatasetDescription
    notes: tuple[Note, ...] = ()
