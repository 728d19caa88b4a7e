"""What a seed costs nnU-Net's data loader.

    python benchmarks/seeds.py [-o benchmarks/results/seeds_cpu.md]

With a seed every batch is seeded by its number, Gaussian blur is always a convolution where nnU-Net has it
time convolution against FFT, and batches are taken from the workers in turns, so that a slow one holds up
those behind it. The first two are measured in one process, by CPU seconds, on the same patches in the same
augmentation; the last with workers and a consumer that takes about as long for a batch as they do, where
waiting hurts most (with a faster or slower one everybody waits for the same side). All take turns.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from extra_targets_loading import (  # the file beside this one
    BATCH,
    SETTINGS,
    Setting,
    draw_cells,
    loader,
    write_cases,
)

from nnunet_ext.training.numbered_batches import NumberedBatches, in_order
from nnunet_ext.training.random_numbers import Use, numbers_of

KEY = (Use.TRAINING_BATCH, 0)
CACHED = 6  # batches, as nnU-Net's
BATCHES = {"2D 512²": (100, 60), "3D 128³": (6, 8)}  # in one process, with workers


@dataclass(frozen=True)
class Loading:
    """Preprocessed cases on disk, and the loaders to compare."""

    folder: Path
    setting: Setting
    counts: np.ndarray

    def stock(self) -> Iterator[Any]:
        """nnU-Net's loader."""
        return loader(self.folder, self.setting, None, False, self.counts)

    def numbered(self, workers: int = 0) -> NumberedBatches:
        """The same with a seed."""
        return NumberedBatches(self.stock(), 0, KEY, 0, workers)


@contextlib.contextmanager
def loading(setting: Setting) -> Iterator[Loading]:
    """Cases in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "nnUNetPlans"
        yield Loading(data, setting, write_cases(data, setting, draw_cells))


def cpu_seconds(run: Callable[[], Any]) -> float:
    """Of this process."""
    started = time.process_time()
    run()
    return time.process_time() - started


def in_one_process(cases: Loading, batches: int) -> tuple[float, float]:
    """CPU seconds per sample: nnU-Net's loader, and with a seed."""
    stock, numbered = cases.stock(), cases.numbered()
    seconds = np.zeros(2)
    for number in range(batches):
        with numbers_of(0, *KEY, number):
            first = cpu_seconds(lambda: next(stock))
        second = cpu_seconds(lambda: next(numbered))
        if number:  # the first one loads what is loaded once
            seconds += first, second
    stock_seconds, numbered_seconds = seconds / (BATCH * (batches - 1))
    return float(stock_seconds), float(numbered_seconds)


def wall_seconds(augmenter: Any, batches: int, pause: float) -> float:
    """Until a consumer that pauses after each has taken so many batches, from the first one on."""
    next(augmenter)
    started = time.perf_counter()
    for _ in range(batches):
        next(augmenter)
        time.sleep(pause)
    taken = time.perf_counter() - started
    augmenter._finish()
    return taken


def with_workers(cases: Loading, workers: int, batches: int, pause: float, turns: int) -> list[float]:
    """Ratios of the wall seconds, in order to as they are ready; one for each turn."""
    ratios = []
    ways: dict[str, Callable[[], Any]] = {
        "in order": lambda: in_order(cases.numbered(workers), workers, CACHED, False),
        "ready": lambda: NonDetMultiThreadedAugmenter(cases.stock(), None, workers, CACHED, wait_time=0.002),
    }
    for turn in range(turns):
        order = [*ways] if turn % 2 else [*ways][::-1]
        seconds = {way: wall_seconds(ways[way](), batches, pause) for way in order}
        ratios.append(seconds["in order"] / seconds["ready"])
    return ratios


def table(workers: int, turns: int) -> list[str]:
    """Print and return the rows."""
    rows = [
        "| patch | samples per CPU s, no seed | seed | × CPU time | × wall time with workers (range) |",
        "|---|---|---|---|---|",
    ]
    print("\n".join(rows))
    for name, setting in SETTINGS.items():
        with loading(setting) as cases:
            alone, shared = BATCHES[name]
            stock, numbered = in_one_process(cases, alone)
            ratios = with_workers(cases, workers, shared, BATCH * stock / workers, turns)
        rows.append(
            f"| {name} | {1 / stock:.1f} | {1 / numbered:.1f} | {numbered / stock:.2f} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f}) |"
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("-o", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    head = (
        f"nnU-Net's training loader with and without a seed, crowded cells, batches of {BATCH}, deep "
        f"supervision; the wall time with {arguments.workers} workers on {os.cpu_count()} cores, median of "
        f"{arguments.turns} turns"
    )
    print(head + "\n")
    rows = table(arguments.workers, arguments.turns)
    if arguments.o:
        arguments.o.write_text("\n".join([head, "", *rows, ""]))


if __name__ == "__main__":
    main()
