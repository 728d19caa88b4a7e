"""Small extra targets and preprocessed cases, importable by worker processes as well."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from scipy.ndimage import distance_transform_edt

from nnunet_ext.training.extra_targets import ExtraTarget, name_with
from nnunet_ext.training.extra_targets.stored_maps import StoredTarget


@dataclass(frozen=True)
class Levels(ExtraTarget):
    """10 · label, and `base` more when finished: the same everywhere inside a region."""

    base: float = 1.0
    stored: bool = True

    @property
    def name(self):
        return name_with("levels", base=self.base)

    def compute(self, labels, spacing):
        return (10 * labels[None]).astype(np.float32)

    def finish(self, maps, labels, class_counts):
        return maps + np.float32(self.base)

    def per_case(self, patch_size):
        return self.stored


@dataclass(frozen=True)
class Distances(ExtraTarget):
    """Two maps: physical distance to the nearest foreground voxel, and to the nearest background voxel."""

    channels = 2
    name = "distances"

    def compute(self, labels, spacing):
        sides = [labels == 0, labels != 0]
        maps = [distance_transform_edt(s, spacing) if not s.all() else np.full(s.shape, 99.0) for s in sides]
        return np.stack(maps).astype(np.float32)


@dataclass(frozen=True)
class Balance(ExtraTarget):
    """1 / class count, nothing to compute."""

    name = "balance"
    needs_class_counts = True

    def compute(self, labels, spacing):
        return np.zeros((1, *labels.shape), np.float32)

    def finish(self, maps, labels, class_counts):
        return maps + (1 / np.maximum(class_counts, 1)).astype(np.float32)[labels]


@dataclass(frozen=True)
class Logged(Levels):
    """`Levels` that notes down each computation in a file, and takes its time."""

    log: str = ""
    seconds: float = 0.0

    name = "logged"

    def compute_case(self, case):
        with Path(self.log).open("a") as file:
            file.write(f"{case.identifier} {os.getpid()}\n")
        time.sleep(self.seconds)
        return super().compute_case(case)


def write_case(folder, identifier, labels, image=None):
    """A preprocessed case (z, y, x) in nnU-Net's format."""
    image = np.random.default_rng(0).random((1, *labels.shape)) if image is None else image
    name = str(folder / identifier)
    for old in folder.glob(f"{identifier}*.b2nd"):
        old.unlink()
    block = {"chunks": image.shape, "blocks": image.shape}
    seg_block = {"chunks_seg": (1, *labels.shape), "blocks_seg": (1, *labels.shape)}
    locations = {label: np.argwhere(labels[None] == label) for label in (1, 2)}
    nnUNetDatasetBlosc2.save_case(
        image.astype(np.float32), labels[None].astype(np.int16), {"class_locations": locations}, name,
        **block, **seg_block,
    )  # fmt: skip


def blobs(shape, seed):
    """Labels 0, 1, 2 in thick slabs, different for every seed."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int16)
    for label in (1, 2, 1):
        low = [int(rng.integers(0, max(1, edge // 2))) for edge in shape]
        labels[tuple(slice(at, at + max(1, edge // 2)) for at, edge in zip(low, shape, strict=True))] = label
    return labels


def stored(target, data, spacing=(1.0, 1.0), patch_size=(16, 16), ignore_label=None):
    return StoredTarget(target, data, nnUNetDatasetBlosc2, spacing, patch_size, ignore_label)


def square(number):
    return number * number, os.getpid()


def die(number):
    if number:
        os.kill(os.getpid(), signal.SIGKILL)
