"""The thresholds in nnU-Net's checkpoint, replaced without losing the untuned file."""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_ext.errors import UserError
from nnunet_ext.files import replacing
from nnunet_ext.nnunet_files.checkpoint import load_checkpoint
from nnunet_ext.thresholds.dice import Floats

BUFFER = "head.thresholds"  # in nnU-Net's "network_weights"
# Our own entry, which nnU-Net ignores, and drops when it trains on: which predictions the thresholds were
# tuned on, and with which those were made. Without it a second tuning would take them for stale.
RECORD = "nnunet_ext_thresholds"
UNTUNED = "_untuned"
_DISTRUST = "If you know where it comes from, go on with --trust."


@dataclass(frozen=True)
class Case:
    """A validation case.

    Attributes
    ----------
    reference, prediction : Path
        Its labels, and the ``.npz`` that nnU-Net wrote.
    thresholds : ndarray
        float32, θ of all chains, of the checkpoint.
    recorded : ndarray, optional
        θ with which the prediction was made, if the checkpoint was tuned on just this file: told by content,
        not by dates, which are lost when a results folder is copied.
    """

    reference: Path
    prediction: Path
    thresholds: Floats
    recorded: Floats | None

    @property
    def made_with(self) -> Floats:
        """θ with which the prediction was made, as far as known."""
        return self.thresholds if self.recorded is None else self.recorded


class Checkpoint:
    """A checkpoint of a multi-level network, as nnU-Net wrote it or tuned; a `UserError` if it is none.

    Parameters
    ----------
    path : Path
        Its file.
    trust : bool
        Read it even if that runs what may be hidden in it; see `load_checkpoint`.

    Attributes
    ----------
    path, untuned_path : Path
        Its file, and where it is kept as nnU-Net wrote it.
    thresholds : ndarray
        float32, θ of all chains.
    """

    def __init__(self, path: Path, trust: bool = False) -> None:
        self.path, self.untuned_path = path, path.with_name(f"{path.stem}{UNTUNED}{path.suffix}")
        self._trust = trust
        self._content = self._load(path)
        weights = self._content.get("network_weights")
        if not isinstance(weights, Mapping) or BUFFER not in weights:
            raise UserError(f"{path} has no thresholds: it is of no multi-level trainer.")
        self.thresholds = _thresholds(weights[BUFFER], path)

    def case(self, reference: Path, prediction: Path) -> Case:
        """A case of the validation of this checkpoint."""
        entry, recorded = _entries(self._content).get(prediction.name), None
        if isinstance(entry, Mapping) and entry.get("content") == _content_id(prediction):
            recorded = np.asarray(entry["thresholds"], np.float32)
        return Case(reference, prediction, self.thresholds, recorded)

    def write(self, thresholds: Floats, cases: list[Case]) -> bool:
        """Replace the thresholds, whole or not at all; keep the untuned file beside, once.

        An untuned file of other weights is of an earlier training, and is replaced.

        Parameters
        ----------
        thresholds : ndarray
            float32, θ of all chains.
        cases : list of Case
            What they were tuned on.

        Returns
        -------
        bool
            False if the checkpoint says all this already, and is left as it is.
        """
        import torch

        record = {
            case.prediction.name: {
                "content": _content_id(case.prediction),
                "thresholds": case.made_with.tolist(),
            }
            for case in cases
        }
        if np.array_equal(thresholds, self.thresholds) and record == self._content.get(RECORD):
            return False
        weights = self._content["network_weights"]
        if not self.untuned_path.is_file() or not _same_but_thresholds(
            weights, self._load(self.untuned_path)
        ):
            with replacing(self.untuned_path) as temporary:
                shutil.copyfile(self.path, temporary)
        tuned = {"network_weights": {**weights, BUFFER: torch.tensor(thresholds)}, RECORD: record}
        with replacing(self.path) as temporary, temporary.open("wb") as file:  # a full disk is an OSError
            torch.save(self._content | tuned, file)
        return True

    def _load(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            there = ", ".join(sorted(file.name for file in path.parent.glob("*.pth"))) or "none"
            raise UserError(f"There is no checkpoint {path}. In that folder: {there}.")
        return load_checkpoint(path, trust=self._trust, remedy=_DISTRUST)


def _thresholds(value: Any, path: Path) -> Floats:
    """The thresholds in a checkpoint, float32; a `UserError` unless they are a row of finite numbers."""
    with contextlib.suppress(TypeError, ValueError, RuntimeError):
        thresholds: Floats = np.asarray(value, np.float32)
        if thresholds.ndim == 1 and np.isfinite(thresholds).all():
            return thresholds
    text = f"{path} has thresholds that are no numbers: {getattr(value, 'tolist', lambda: value)()}."
    raise UserError(f"{text} Its training went wrong, or something else wrote it.")


def _entries(content: Mapping[str, Any]) -> Mapping[str, Any]:
    record = content.get(RECORD)
    return record if isinstance(record, Mapping) else {}


def _same_but_thresholds(weights: dict[str, Any], untuned: dict[str, Any]) -> bool:
    others = untuned.get("network_weights", {})
    return weights.keys() == others.keys() and all(
        key == BUFFER or value.equal(others[key]) for key, value in weights.items()
    )


def _content_id(prediction: Path) -> list[int] | None:
    """Checksum and size of the array in a ``.npz``, which the archive has on record; None if it is broken."""
    with contextlib.suppress(zipfile.BadZipFile, KeyError), zipfile.ZipFile(prediction) as archive:
        info = archive.getinfo("probabilities.npy")
        return [info.CRC, info.file_size]
    return None
