"""How many voxels of each label the training cases have, counted once per case and kept in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import TypedDict

from nnunet_ext.errors import UserError
from nnunet_ext.files import fingerprint, read_json, write_texts
from nnunet_ext.training.extra_targets.stored_maps import label_file, preprocessed_labels
from nnunet_ext.worker_pool import one_at_a_time, over_cases

_OUTSIDE = -1  # what nnU-Net puts outside of the image's non-zero part, and trains as background
_AT_A_TIME = 2**22  # voxels: counting needs sixteen bytes for each


class _Counted(TypedDict):
    """The entry of a case in the file."""

    file: list[int] | None
    voxels: dict[Annotated[str, Field(pattern=r"^-?[0-9]{1,9}$")], Annotated[int, Field(ge=0, lt=2**62)]]


@dataclass(frozen=True)
class CaseCounter:
    """Counts the labels of one case; see `training_class_counts` for the arguments."""

    data: Path
    dataset_class: Callable[..., Any]

    def __call__(self, identifier: str) -> tuple[str, dict[str, Any]]:
        """The case, and its entry of the file: which label file was read, and voxels per label."""
        file = fingerprint(label_file(self.data, identifier))
        segmentation, _ = preprocessed_labels(self.data, self.dataset_class, identifier)
        voxels: dict[str, int] = {}
        labels = segmentation.ravel()
        for part in np.array_split(labels, 1 + labels.size // _AT_A_TIME):
            counts = np.bincount(part.astype(np.intp) - _OUTSIDE)
            for index in np.flatnonzero(counts):
                label = str(int(index) + _OUTSIDE)
                voxels[label] = voxels.get(label, 0) + int(counts[index])
        return identifier, {"file": file, "voxels": voxels}


def training_class_counts(
    data: Path,
    dataset_class: Callable[..., Any],
    identifiers: Sequence[str],
    labels: Sequence[int],
    processes: int = 1,
) -> NDArray[np.int64]:
    """Count the voxels of each label in some cases of a preprocessed dataset.

    What was counted is kept in ``<name of data>_class_counts.json`` beside `data`, by case and version of its
    label file: another fold or changed labels need no care.

    Parameters
    ----------
    data : Path
        nnU-Net's preprocessed folder of a configuration.
    dataset_class : type
        nnU-Net's class that reads it.
    identifiers : sequence of str
        The cases: those the fold trains on.
    labels : sequence of int
        The dataset's labels, background included, the ignore label not (``label_manager.all_labels``; with
        regions those that they are made of). Other voxels are not counted, but for those outside of the
        image's non-zero part, which are background.
    processes : int
        The most worker processes to start.

    Returns
    -------
    ndarray
        int64 (largest label + 1,), voxels by label.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    path = data.with_name(f"{data.name}_class_counts.json")
    current = {case: fingerprint(label_file(data, case)) for case in identifiers}

    def to_count(known: dict[str, Any]) -> list[str]:
        return [case for case in current if known.get(case, {}).get("file") != current[case]]

    known = _read(path)
    if to_count(known):
        try:
            with one_at_a_time(path.with_name(f".{path.stem}.lock"), lambda: None):
                known = _read(path)
                count = CaseCounter(data, dataset_class)
                known |= dict(over_cases(count, to_count(known), "Counting voxels per class", processes))
                write_texts({path: json.dumps(known)})
        except OSError as error:
            raise UserError(f"Cannot write {path}: {error.strerror}") from error
    counts = np.zeros(max(labels) + 1, np.int64)
    for case in current:
        for label, voxels in known[case]["voxels"].items():
            value = 0 if int(label) == _OUTSIDE else int(label)
            if value in labels:
                counts[value] += voxels
    return counts


def _read(path: Path) -> dict[str, Any]:
    """What was counted before; nothing if the file is missing or not ours."""
    try:
        known: dict[str, Any] = read_json(path, schema=dict[str, _Counted])
    except UserError:
        return {}
    return known
