"""What maps for the loss cost nnU-Net's data loader: ``weight_maps.py --loading``, ``losses.py --loading``.

One worker is one process on one thread: nnU-Net's own loader and augmentation, on synthetic cases, with deep
supervision, batches of two. "Per patch" computes the map from the augmented label, "per case" reads it from
a file and augments it with the image. All take turns with the same random numbers, so that they have the
same patches to rotate. Seconds are CPU seconds, which other programs disturb least.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.data.vessels import vessels
from nnunet_ext.targets import semantic_from_instances
from nnunet_ext.training.extra_targets.dataset import DatasetWithMaps
from nnunet_ext.training.extra_targets.stored_maps import StoredTarget, build
from nnunet_ext.training.extra_targets.target import ExtraTarget
from nnunet_ext.training.extra_targets.transforms import ComputeMaps, add_to_pipeline

BATCH, CASES, SCALES = 2, 2, 5
TOO_MUCH = 1.5  # times the stock time per sample
HEAD = "one worker (one process, one thread), batches of 2, deep supervision; CPU seconds"
Ways = Mapping[str, tuple[ExtraTarget | None, bool]]  # the first is the stock loader
Draw = Callable[[tuple[int, ...], int], tuple[np.ndarray, np.ndarray]]  # shape, seed -> image, labels


@dataclass(frozen=True)
class Setting:
    """Size of the patches, of the cases they are cut from, and how often each way has its turn."""

    patch: tuple[int, ...]
    case: tuple[int, ...]
    turns: int


SETTINGS = {
    "2D 512²": Setting((512, 512), (640, 800), 30),
    "3D 128³": Setting((128, 128, 128), (160, 160, 160), 15),
}


def draw_cells(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Crowded cells in the four classes."""
    image, instances = crowded_cells(shape, int(np.prod(shape)) // (980 if len(shape) == 2 else 8000), seed)
    return image, semantic_from_instances(instances)


def draw_vessels(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vessels of about nine voxels across."""
    return vessels(shape, count=12, radius=4.5, seed=seed)


def write_cases(folder: Path, setting: Setting, draw: Draw) -> np.ndarray:
    """Preprocessed cases; returns the voxels per class."""
    counts = np.zeros(0, np.int64)
    folder.mkdir()
    for seed in range(CASES):
        image, labels = draw(setting.case, seed)
        labels = labels.astype(np.int16)
        found = np.bincount(labels.ravel(), minlength=len(counts))
        counts = found + np.pad(counts, (0, len(found) - len(counts)))
        whole = (1,) * (4 - labels.ndim) + labels.shape  # channel and, in 2D, z
        blocks, chunks = comp_blosc2_params(whole, setting.patch, 4)
        label_blocks, label_chunks = comp_blosc2_params(whole, setting.patch, 2)
        labels = labels.reshape(whole)
        some = {label: np.argwhere(labels == label)[::50] for label in range(1, len(counts))}
        nnUNetDatasetBlosc2.save_case(
            image.reshape(whole).astype(np.float32) / 255, labels, {"class_locations": some},
            str(folder / f"case{seed}"), chunks=chunks, blocks=blocks, chunks_seg=label_chunks,
            blocks_seg=label_blocks,
        )  # fmt: skip
    return counts


def loader(
    folder: Path, setting: Setting, target: ExtraTarget | None, stored: bool, counts: np.ndarray
) -> Iterator[Any]:
    """nnU-Net's loader of training batches, with the maps of a target or none."""
    ndim = len(setting.patch)
    turn = (-np.pi, np.pi) if ndim == 2 else (-np.pi / 6, np.pi / 6)
    scales = [[1 / 2**i] * ndim for i in range(SCALES)]
    pipeline = nnUNetTrainer.get_training_transforms(
        setting.patch, turn, scales, tuple(range(ndim)), False, use_mask_for_norm=[False]
    )
    dataset: Any = nnUNetDatasetBlosc2(str(folder))
    if target is not None:
        spacing = (1.0,) * ndim
        add_to_pipeline(pipeline, ComputeMaps([target], [stored], spacing, None, counts))
        if stored:
            job = StoredTarget(target, folder, nnUNetDatasetBlosc2, spacing, setting.patch, None)
            build(job, dataset.identifiers, 1, lambda text: None)
            dataset = DatasetWithMaps(dataset, [job.folder])
    initial = get_patch_size(setting.patch, turn, turn, turn, (0.85, 1.25))
    manager = LabelManager({"background": 0, **{str(n): n for n in range(1, len(counts))}}, None)
    return nnUNetDataLoader(dataset, BATCH, initial, setting.patch, manager, 0.33, transforms=pipeline)


def seconds_per_sample(loaders: dict[str, Iterator[Any]], turns: int) -> dict[str, float]:
    """Mean CPU seconds of every way."""
    seconds = dict.fromkeys(loaders, 0.0)
    for turn in range(-1, turns):  # the first one loads what is loaded once
        for way, batches in loaders.items():
            np.random.seed(turn + 1)
            torch.manual_seed(turn + 1)
            started = time.process_time()
            next(batches)
            if turn >= 0:
                seconds[way] += (time.process_time() - started) / (BATCH * turns)
    return seconds


def table(ways: Ways, draw: Draw) -> list[str]:
    """Print and return the rows."""
    torch.set_num_threads(1)
    rows = ["| patch | map | samples per CPU s | × stock time |", "|---|---|---|---|"]
    print("\n".join(rows))
    for name, setting in SETTINGS.items():
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "nnUNetPlans"
            counts = write_cases(data, setting, draw)
            loaders = {name: loader(data, setting, *way, counts) for name, way in ways.items()}
            seconds = seconds_per_sample(loaders, setting.turns)
        for way, taken in seconds.items():
            ratio = taken / seconds[next(iter(ways))]
            mark = f" (above {TOO_MUCH})" if ratio > TOO_MUCH else ""
            rows.append(f"| {name} | {way} | {1 / taken:.2f} | {ratio:.2f}{mark} |")
            print(rows[-1], flush=True)
    return rows
