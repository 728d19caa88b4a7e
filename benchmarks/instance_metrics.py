"""Instance metrics: time and memory of the sparse contingency table against masks and StarDist.

    python benchmarks/instance_metrics.py [-o benchmarks/results/instance_metrics_cpu.md]

The masks are the textbook's way: a boolean image per instance, every reference against every prediction.
StarDist's `matching` (pip install stardist) fills a table of all pairs and solves one assignment over it.
All give the same PQ, which is checked. Each runs once to warm up; times are the median of the runs after it,
memory is what NumPy held at most beyond the images (edt holds some of its own).
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.metrics import aggregated_jaccard_index, contour_f1, panoptic_quality

SIZES = {"512²": ((512, 512), 300), "2048²": ((2048, 2048), 5000), "64×256²": ((64, 256, 256), 800)}
MOST_FOR_MASKS = 300  # instances; 5000 would take hours
Array = NDArray[Any]


def predicted(reference: Array) -> Array:
    """Shifted by two voxels, every tenth instance missed, every tenth merged with the next."""
    ids = np.arange(reference.max() + 1, dtype=reference.dtype)
    ids[::10] = 0
    ids[5:-1:10] = ids[6::10]
    return np.roll(ids[reference], 2, -1)


def masks(reference: Array, prediction: Array) -> float:
    """PQ by comparing the mask of every instance with that of every other."""
    matched = []
    ids = [np.unique(array)[1:] for array in (reference, prediction)]
    for mine in ids[0]:
        mask = reference == mine
        for theirs in ids[1]:
            other = prediction == theirs
            both = np.count_nonzero(mask & other)
            iou = both / np.count_nonzero(mask | other)
            if iou > 0.5:
                matched.append(iou)
    return 2 * sum(matched) / (len(ids[0]) + len(ids[1]))


def stardist(reference: Array, prediction: Array) -> float:
    from stardist.matching import matching

    # It counts an IoU of exactly .5 as a match, which PQ does not.
    return float(matching(reference, prediction, thresh=0.5 + 1e-6).panoptic_quality)


def ours(reference: Array, prediction: Array) -> float:
    return panoptic_quality(reference, prediction)["pq"]


def median_seconds(run: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_mib(run: Callable[[], object]) -> float:
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def compare(name: str, runs: int) -> list[str]:
    shape, n_cells = SIZES[name]
    _, reference = crowded_cells(shape, n_cells)
    prediction = predicted(reference)
    expected = ours(reference, prediction)
    ways: dict[str, Callable[[], Any]] = {
        "PQ, masks": lambda: masks(reference, prediction),
        "PQ, StarDist": lambda: stardist(reference, prediction),
        "PQ": lambda: ours(reference, prediction),
        "PQ at .1, .3, .5, .7, .9": lambda: panoptic_quality(
            reference, prediction, [0.1, 0.3, 0.5, 0.7, 0.9]
        ),
        "AJI": lambda: aggregated_jaccard_index(reference, prediction),
        "contour F1 at 2 to 7": lambda: contour_f1(reference, prediction, range(2, 8)),
    }
    rows = []
    for way, run in ways.items():
        slow = way == "PQ, masks"
        if slow and n_cells > MOST_FOR_MASKS:
            continue
        if way in ("PQ, masks", "PQ, StarDist"):
            assert abs(run() - expected) < 1e-5, f"{way} has another PQ"  # warms up StarDist's compiler too
        seconds = median_seconds(run, 1 if slow else runs)
        rows.append(f"| {name} | {n_cells} | {way} | {seconds:.3f} | {peak_mib(run):.0f} |")
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("-o", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    head = f"Instance metrics, uint16 labels, NumPy {np.__version__}, CPU, one thread, {arguments.runs} runs"
    rows = ["| image | instances | what | seconds | peak MiB |", "|---|---|---|---|---|"]
    print("\n".join([head, "", *rows]))
    for name in SIZES:
        rows += compare(name, arguments.runs)
    if arguments.o:
        arguments.o.write_text("\n".join([head, "", *rows, ""]))


if __name__ == "__main__":
    main()
