"""The thresholds in nnU-Net's checkpoint, replaced without losing the untuned file."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_ext.errors import UserError
from nnunet_ext.files import replacing
from nnunet_ext.thresholds.histograms import Floats

BUFFER = "head.thresholds"  # in nnU-Net's "network_weights"
# Our own entry, which nnU-Net ignores, and drops when it trains on: which predictions the thresholds were
# tuned on, and with which thresholds those were made.
RECORD = "nnunet_ext_thresholds"
UNTUNED = "_untuned"


class Checkpoint:
    """A checkpoint of a multi-level network.

    Parameters
    ----------
    path : Path
        As nnU-Net wrote it, or tuned.

    Raises
    ------
    UserError
        If it is missing, unreadable, or of another network.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content = _load(path)
        weights = self._content.get("network_weights", {})
        if BUFFER not in weights:
            raise UserError(f"{path} has no thresholds: it is of no multi-level trainer.")
        self.thresholds: Floats = weights[BUFFER].numpy().astype(np.float32)

    @property
    def untuned_path(self) -> Path:
        """Where the checkpoint is kept as nnU-Net wrote it."""
        return self.path.with_name(f"{self.path.stem}{UNTUNED}{self.path.suffix}")

    def thresholds_behind(self, prediction: Path) -> Floats | None:
        """θ with which a ``.npz`` was made, if the checkpoint was tuned on just this file.

        Told by content, not by dates, which are lost when a results folder is copied.
        """
        entry = self._content.get(RECORD, {}).get(prediction.name)
        if entry is None or entry["content"] != content_id(prediction):
            return None
        return np.asarray(entry["thresholds"], np.float32)

    def write(self, thresholds: Floats, made_with: Mapping[Path, Floats]) -> bool:
        """Replace the thresholds, whole or not at all; keep the untuned file beside, once.

        An untuned file of other weights is of an earlier training, and is replaced.

        Parameters
        ----------
        thresholds : ndarray
            float32, θ of all chains.
        made_with : mapping
            The predictions that they were tuned on, and the θ of the network that made these.

        Returns
        -------
        bool
            False if the checkpoint says all this already, and is left as it is.
        """
        import torch

        record = {
            path.name: {"content": content_id(path), "thresholds": theta.tolist()}
            for path, theta in made_with.items()
        }
        if np.array_equal(thresholds, self.thresholds) and record == self._content.get(RECORD):
            return False
        if not self._untuned_is_ours():
            with replacing(self.untuned_path) as temporary:
                shutil.copyfile(self.path, temporary)
        weights = {**self._content["network_weights"], BUFFER: torch.tensor(thresholds)}
        with replacing(self.path) as temporary, temporary.open("wb") as file:  # a full disk is an OSError
            torch.save({**self._content, "network_weights": weights, RECORD: record}, file)
        return True

    def _untuned_is_ours(self) -> bool:
        if not self.untuned_path.is_file():
            return False
        one, other = self._content["network_weights"], _load(self.untuned_path).get("network_weights", {})
        return one.keys() == other.keys() and all(
            key == BUFFER or (one[key].shape == other[key].shape and bool((one[key] == other[key]).all()))
            for key in one
        )


def content_id(prediction: Path) -> list[int]:
    """Checksum and size of the array in a ``.npz``, which the archive has on record."""
    try:
        with zipfile.ZipFile(prediction) as archive:
            info = archive.getinfo("probabilities.npy")
    except (zipfile.BadZipFile, KeyError) as error:
        raise UserError(f"{prediction} cannot be read: it is none of nnU-Net's .npz files.") from error
    return [info.CRC, info.file_size]


def _load(path: Path) -> dict[str, Any]:
    import torch

    if not path.is_file():
        there = ", ".join(sorted(file.name for file in path.parent.glob("*.pth"))) or "none"
        raise UserError(f"There is no checkpoint {path}. In that folder: {there}.")
    try:
        # as nnU-Net itself loads it: a checkpoint holds more than tensors
        content = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # torch and pickle raise many kinds
        raise UserError(f"{path} cannot be read as a checkpoint: {type(error).__name__}.") from error
    return content if isinstance(content, dict) else {}
