"""What the contact sheet of a raw dataset shows: slices of a case, and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.figures.contact_sheet import Panel, Row
from nnunet_ext.training.raw_dataset import RawDataset

CHANNELS = 3  # of a volume that are shown
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass(frozen=True)
class CaseFacts:
    """Numbers of one case.

    Attributes
    ----------
    case : str
        Its id.
    shape : tuple of int
        (y, x) or (z, y, x).
    spacing : tuple of float
        In the same order.
    ranges : tuple of (float, float)
        Least and greatest value per channel.
    voxels : dict
        Label -> number of voxels.
    """

    case: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    ranges: tuple[tuple[float, float], ...]
    voxels: dict[int, int]


def sheet(
    raw: RawDataset, cases: Sequence[str], names: Mapping[int, str], progress: Progress | None = None
) -> tuple[list[Row], list[CaseFacts]]:
    """Read cases, one at a time, and choose what to show of them.

    Of a volume these are a slice along each axis and the maximum projection along z. The slice is the middle
    one, or, where that has less than half the labelled voxels of the fullest one, the fullest.

    Raises
    ------
    UserError
        If a file cannot be read, or a label is not in dataset.json.
    """
    made: Iterator[tuple[Row, CaseFacts]] = (_row(raw, case, names) for case in cases)
    found = list(progress(made, len(cases)) if progress else made)
    return [row for row, _ in found], [facts for _, facts in found]


def spread(cases: Sequence[str], number: int) -> list[str]:
    """Return so many of the cases, evenly spread over their sorted names, the first and the last included.

    Examples
    --------
    >>> spread(["a", "b", "c", "d", "e"], 3)
    ['a', 'c', 'e']
    """
    ordered = sorted(cases)
    places = np.linspace(0, len(ordered) - 1, min(number, len(ordered))).round().astype(int)
    return [ordered[place] for place in places]


def _row(raw: RawDataset, case: str, names: Mapping[int, str]) -> tuple[Row, CaseFacts]:
    channels, labels, spacing = raw.read_channels(case)
    channel_names = list(raw.content["channel_names"].values())
    facts = CaseFacts(
        case,
        labels.shape,
        tuple(spacing)[-labels.ndim :],
        tuple((float(channel.min()), float(channel.max())) for channel in channels),
        {label: int(np.count_nonzero(labels == label)) for label in names},
    )
    drawn = [label for label in names if label != 0]
    if labels.ndim == 2:
        panels = _flat(channels, labels, drawn, channel_names, case)
    else:
        panels = _slices(channels, labels, drawn, channel_names, facts, raw.classes.ignore_label)
    return Row(panels, _text(facts, names, channel_names)), facts


def _flat(
    channels: NDArray[Any],
    labels: NDArray[Any],
    drawn: Sequence[int],
    names: Sequence[str],
    case: str,
) -> tuple[Panel, ...]:
    """Return the image as it is, and with contours."""
    is_colour = [str(name).upper() for name in names] == ["R", "G", "B"]
    pixels = np.moveaxis(channels, 0, -1).clip(0, 255).astype(np.uint8) if is_colour else channels[0]
    what = "" if is_colour or len(channels) == 1 else f", {names[0]}"
    return Panel(f"{case}{what}", pixels, {}), Panel("labels", pixels, _masks(labels, drawn))


def _slices(
    channels: NDArray[Any],
    labels: NDArray[Any],
    drawn: Sequence[int],
    names: Sequence[str],
    facts: CaseFacts,
    ignored: int | None,
) -> tuple[Panel, ...]:
    """Return a z slice of each channel, a y and an x slice, and the maximum projection along z."""
    counted = (labels != 0) & (labels != ignored) if ignored is not None else labels != 0
    dz, dy, dx = facts.spacing
    where = [telling_slice(counted, axis) for axis in range(3)]
    panels = [
        Panel(
            f"{facts.case if not i else names[i]}, z {where[0]} of 0–{labels.shape[0] - 1}",
            channels[i][where[0]],
            _masks(labels[where[0]], drawn),
            dy / dx,
        )
        for i in range(min(CHANNELS, len(channels)))
    ]
    for axis, letter, aspect in ((1, "y", dz / dx), (2, "x", dz / dy)):
        cut = labels.take(where[axis], axis)
        title = f"{letter} {where[axis]} of 0–{labels.shape[axis] - 1}"
        panels.append(Panel(title, channels[0].take(where[axis], axis), _masks(cut, drawn), aspect))
    masks = {label: (labels == label).any(0) for label in drawn if label != ignored}
    panels.append(Panel("maximum along z", channels[0].max(0), masks, dy / dx))
    return tuple(panels)


def telling_slice(labelled: NDArray[np.bool_], axis: int) -> int:
    """Return the middle slice along an axis, or the one with most labels where the middle has too few.

    Examples
    --------
    >>> telling_slice(np.array([[0, 1, 1], [0, 0, 0], [0, 1, 0]], bool), 0)
    0
    """
    counts = np.count_nonzero(labelled, axis=tuple(i for i in range(labelled.ndim) if i != axis))
    middle = len(counts) // 2
    return middle if 2 * counts[middle] >= counts.max() else int(counts.argmax())


def _masks(labels: NDArray[Any], drawn: Sequence[int]) -> dict[int, NDArray[np.bool_]]:
    return {label: labels == label for label in drawn}


def _text(facts: CaseFacts, names: Mapping[int, str], channel_names: Sequence[str]) -> str:
    total = sum(facts.voxels.values())
    width = max(len(name) for name in names.values())
    return "\n".join(
        [
            f"size    {' x '.join(map(str, facts.shape))}",
            f"spacing {' x '.join(f'{step:.4g}' for step in facts.spacing)}",
            "",
            *(
                f"{name}: {low:.4g} to {high:.4g}"
                for name, (low, high) in zip(channel_names, facts.ranges, strict=True)
            ),
            "",
            *(
                f"{names[label]:<{width}} " + (f"{number / total:7.2%}" if number else "   none")
                for label, number in facts.voxels.items()
            ),
        ]
    )
