"""Weight maps: time and memory against the usual implementation, on one core.

    python benchmarks/weight_maps.py [-o benchmarks/results/weight_maps_cpu.md]
    python benchmarks/weight_maps.py --loading [-o benchmarks/results/weight_maps_loading_cpu.md]

The usual implementation looks at one cell at a time on the whole image: for U-Net's map a stack of distance
transforms, one per cell, that is sorted; for the shape-aware map a contour, a hull and skeletons per cell.
It is given a float32 stack where float64 is common. On the 3D patch the stack would take gigabytes, so that
the two smallest distances so far stand in for it, in the same number of transforms; and the shape-aware map
is left out there: it would take half an hour.

Every figure is from a process of its own. CPU is the median of the process's CPU seconds, which is the time
on a core that nothing else uses, wall the median of the seconds that passed; memory is the peak beyond the
labels. Both ways must give the same map.

With --loading, instead: what the maps cost nnU-Net's data loader (see extra_targets_loading.py).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image, skeletonize

from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.targets import weight_maps

FIELDS = {"2D 520×696": ((520, 696), 369), "3D 128³": ((128, 128, 128), 262)}
TOLERANCE = 1e-4
Array = NDArray[Any]
Way = Callable[[Array], Array]


def usual_balance(instances: Array) -> Array:
    labels = (instances > 0).astype(np.uint8)
    weight = np.zeros(labels.shape, np.float32)
    for label in np.unique(labels):
        weight[labels == label] = 1 / np.sum(labels == label)
    return weight


def usual_distance(instances: Array, beta: float = 30) -> Array:
    phi = ndimage.distance_transform_edt(instances == 0)
    return usual_balance(instances) * (1 - np.minimum(phi / beta, 1))


def usual_unet(instances: Array, w0: float = 10, sigma: float = 5) -> Array:
    cells = range(1, instances.max() + 1)
    if instances.ndim == 2:
        stack = np.stack([ndimage.distance_transform_edt(instances != c).astype(np.float32) for c in cells])
        nearest, second = np.sort(stack, axis=0)[:2]
    else:
        nearest, second = np.full((2, *instances.shape), np.inf, np.float32)
        for cell in cells:
            distance = ndimage.distance_transform_edt(instances != cell).astype(np.float32)
            second = np.minimum(second, np.maximum(nearest, distance))
            nearest = np.minimum(nearest, distance)
    return 1 + w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2)) * (instances == 0)


def usual_shape_aware(instances: Array, sigma: float = 2) -> Array:
    contours, skeletons = np.zeros((2, *instances.shape), bool)
    neighbours = ndimage.generate_binary_structure(instances.ndim, 1)
    for cell in range(1, instances.max() + 1):
        mask = instances == cell
        concave = convex_hull_image(mask, offset_coordinates=False) & ~mask
        for part in (mask, concave):
            contours |= part & ~ndimage.binary_erosion(part, neighbours, border_value=1)
            skeletons |= skeletonize(part)
    phi = ndimage.distance_transform_edt(~skeletons)
    complexity = np.where(contours, 1 - phi / phi[contours].max(), 0)
    return usual_balance(instances) + ndimage.gaussian_filter(complexity, sigma, mode="nearest")


def training_patch(instances: Array) -> Array:
    """The three maps that a training computes for every patch."""
    classes = (instances > 0).astype(np.int16)
    weight_maps.class_balance(classes)
    weight_maps.distance(classes)
    return weight_maps.unet(instances)


WAYS: dict[str, dict[str, Way]] = {
    "balance": {"usual": usual_balance, "ours": lambda i: weight_maps.class_balance((i > 0).view(np.uint8))},
    "distance": {"usual": usual_distance, "ours": lambda i: weight_maps.distance((i > 0).view(np.uint8))},
    "U-Net": {"usual": usual_unet, "ours": weight_maps.unet},
    "shape-aware": {"usual": usual_shape_aware, "ours": weight_maps.shape_aware},
    "balance, distance and U-Net": {"ours": training_patch},
}
LEFT_OUT = {("3D 128³", "shape-aware", "usual")}


def resident_mib(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) / 1024


def measure_here(name: str, way: str, labels: Path, result: Path, runs: int) -> None:
    """In a process of its own: print the figures, write the map to `result`."""
    instances = np.load(labels)
    run = WAYS[name][way]
    run(crowded_cells((24,) * instances.ndim, 4)[1])  # loads what is loaded once
    Path("/proc/self/clear_refs").write_text("5")  # Linux: start the high-water mark anew
    before = resident_mib("VmRSS")
    wall, cpu = [], []
    for _ in range(runs):
        started = time.perf_counter(), time.process_time()
        weight = run(instances)
        wall.append(time.perf_counter() - started[0])
        cpu.append(time.process_time() - started[1])
    peak = resident_mib("VmHWM") - before
    np.save(result, weight)
    print(json.dumps({"wall": statistics.median(wall), "cpu": statistics.median(cpu), "peak": peak}))


def measure(field: str, name: str, way: str, runs: int, folder: Path) -> tuple[dict[str, float], Array]:
    labels, result = folder / f"{field}.npy", folder / "map.npy"
    if not labels.exists():
        np.save(labels, crowded_cells(*FIELDS[field])[1])
    command = [sys.executable, __file__, "--one", name, way, str(labels), str(result), "--runs", str(runs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1]), np.load(result)


def compare(field: str, name: str, runs: int, folder: Path) -> str:
    figures: dict[str, dict[str, float]] = {}
    maps: list[Array] = []
    for way in WAYS[name]:
        if (field, name, way) not in LEFT_OUT:
            quick = way == "ours" or name in ("balance", "distance")
            figures[way], weight = measure(field, name, way, runs if quick else 1, folder)
            maps.append(weight)
    if len(maps) == 2:
        # Class balance is of the order of 1e-6 where the other maps are of the order of 1.
        difference = np.abs(maps[0] - maps[1]).max() / max(1e-6, min(1, np.abs(maps[0]).max()))
        assert difference < TOLERANCE, f"{field}, {name}: the maps differ by {difference}"
    ours = figures["ours"]
    if "usual" not in figures:
        return (
            f"| {field} | {name} | – | {ours['cpu']:.3f} | {ours['wall']:.3f} | – | – | {ours['peak']:.0f} |"
        )
    usual = figures["usual"]
    return (
        f"| {field} | {name} | {usual['cpu']:.3f} | {ours['cpu']:.3f} | {ours['wall']:.3f} "
        f"| {usual['cpu'] / ours['cpu']:.1f} | {usual['peak']:.0f} | {ours['peak']:.0f} |"
    )


def table(runs: int) -> list[str]:
    rows = [
        "| field | map | usual CPU s | CPU s | wall s | times faster | usual peak MiB | peak MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(rows))
    with tempfile.TemporaryDirectory() as folder:
        for field in FIELDS:
            for name in WAYS:
                rows.append(compare(field, name, runs, Path(folder)))
                print(rows[-1], flush=True)
    return rows


def report(head: str, rows: Callable[[], list[str]], output: Path | None) -> None:
    print(head + "\n")
    text = "\n".join([head, "", *rows(), ""])
    if output:
        output.write_text(text)


def report_loading(output: Path | None) -> None:
    from extra_targets_loading import HEAD, draw_cells, table  # the file beside this one; imports nnU-Net

    from nnunet_ext.training.extra_targets.weight_maps import (
        ClassBalance,
        DistanceMap,
        ShapeAware,
        UNetMap,
    )

    ways = {
        "stock": (None, False),
        "balance": (ClassBalance(), False),
        "distance, per patch": (DistanceMap(), False),
        "distance, per case": (DistanceMap(), True),
        "U-Net, per patch": (UNetMap(), False),
        "U-Net, per case": (UNetMap(), True),
        "shape-aware, per patch": (ShapeAware(), False),
        "shape-aware, per case": (ShapeAware(), True),
    }
    head = f"nnU-Net's training loader with weight maps of crowded cells in four classes, {HEAD}"
    report(head, lambda: table(ways, draw_cells), output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("-o", type=Path, help="also write the table to this file")
    parser.add_argument("--loading", action="store_true", help="measure nnU-Net's data loader with the maps")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, way, labels, result = arguments.one
        return measure_here(name, way, Path(labels), Path(result), arguments.runs)
    if arguments.loading:
        os.environ["OMP_NUM_THREADS"] = "1"
        return report_loading(arguments.o)
    cells = ", ".join(f"{field}: {n} cells" for field, (_, n) in FIELDS.items())
    head = f"Weight maps of crowded cells ({cells}), default parameters, one thread, {arguments.runs} runs"
    return report(head, lambda: table(arguments.runs), arguments.o)


if __name__ == "__main__":
    main()
