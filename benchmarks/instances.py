"""Instances of a confocal stack of 1024×1024×508 voxels: time and memory, whole and by tiles.

    python benchmarks/instances.py [--threads 2] [-o benchmarks/results/instances_cpu.md]

The stack repeats a block of synthetic crowded cells. Every row is measured in a process of its own, from the
call to the result; the input is there before. On a machine that others use, CPU seconds say more. Peak
memory is sampled. It is split into memory proper, the input included, and pages of mapped files, which the
system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np

from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.instances import from_probabilities, from_semantic
from nnunet_ext.targets import semantic_from_instances

BLOCK, CELLS, REPEATS = (127, 128, 128), 150, (4, 8, 8)
FIELD, FIELD_CELLS = (1024, 1024), 1500
# name: (dimensions, input, by tiles)
ROWS = {
    "2D from_semantic": (2, "labels", False),
    "2D from_probabilities map": (2, "float32", False),
    "2D from_probabilities watershed": (2, "watershed", False),
    "3D from_semantic": (3, "labels", False),
    "3D from_semantic, tiles of 256 on disk": (3, "labels", True),
    "3D from_probabilities map, float16": (3, "float16", False),
    "3D from_probabilities map, float32": (3, "float32", False),
    "3D from_probabilities map, float16, tiles of 256 on disk": (3, "float16", True),
}


def labels_of(ndim: int) -> np.ndarray:
    shape, cells, repeats = (FIELD, FIELD_CELLS, (1, 1)) if ndim == 2 else (BLOCK, CELLS, REPEATS)
    _, instances = crowded_cells(shape, cells)
    return np.tile(semantic_from_instances(instances), repeats)


def write_probabilities(labels: np.ndarray, path: Path, dtype: str) -> None:
    """A probability of 0.55 to 0.95 for the class of the label, the rest shared by the others."""
    p = np.lib.format.open_memmap(path, "w+", dtype, (4, *labels.shape))
    rng = np.random.default_rng(0)
    for z, plane in enumerate(labels):
        sure = rng.uniform(0.55, 0.95, plane.shape)
        for label in range(4):
            p[label, z] = np.where(plane == label, sure, (1 - sure) / 3)


def memory_gb() -> tuple[float, float]:
    """Memory proper and pages of mapped files of this process."""
    status = Path("/proc/self/status").read_text()
    own, files = (int(re.search(rf"{key}:\s+(\d+) kB", status)[1]) for key in ("RssAnon", "RssFile"))
    return own * 1024 / 1e9, files * 1024 / 1e9


class Peak(Thread):
    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.own = self.files = 0.0
        self.finished = Event()

    def run(self) -> None:
        while not self.finished.wait(0.02):
            own, files = memory_gb()
            self.own, self.files = max(self.own, own), max(self.files, files)


def measure(name: str, folder: Path, threads: int) -> dict[str, float]:
    ndim, kind, tiled = ROWS[name]
    options = {"threads": threads}
    if tiled:
        options |= {"tile": 256, "scratch": folder}
    file = folder / f"{ndim}d_{'float32' if kind == 'watershed' else kind}.npy"
    data = np.load(file, mmap_mode="r" if tiled else None)
    peak = Peak()
    peak.start()
    start, cpu = time.perf_counter(), time.process_time()
    if kind == "labels":
        instances = from_semantic(data, **options)
    else:
        method = "watershed" if kind == "watershed" else "map"
        instances = from_probabilities(data, method, **options)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak.finished.set()
    peak.join()
    return {
        "seconds": seconds,
        "cpu": cpu,
        "input": data.nbytes / 1e9,
        "own": peak.own,
        "files": peak.files,
        "instances": int(instances.max()),
    }


def rows(threads: int, scratch: Path | None) -> list[str]:
    table = [
        "| run | s | CPU s | input GB | peak memory GB | mapped files GB | instances |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        for ndim in (2, 3):
            labels = labels_of(ndim)
            np.save(Path(folder, f"{ndim}d_labels.npy"), labels)
            for dtype in ("float16", "float32"):
                write_probabilities(labels, Path(folder, f"{ndim}d_{dtype}.npy"), dtype)
        for name in ROWS:
            command = [sys.executable, __file__, "--row", name, folder, "--threads", str(threads)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            result = json.loads(output)
            table.append(
                f"| {name} | {result['seconds']:.3g} | {result['cpu']:.3g} | {result['input']:.3g} "
                f"| {result['own']:.3g} | {result['files']:.3g} | {result['instances']} |"
            )
            print(table[-1], flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--scratch", type=Path, help="folder with 25 GB free; default: the system's")
    parser.add_argument("-o", type=Path, help="also write the table to this file")
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(measure(arguments.row[0], Path(arguments.row[1]), arguments.threads)))
        return
    size = "×".join(str(edge * repeat) for edge, repeat in zip(BLOCK, REPEATS, strict=True))
    head = (
        f"Instances, 2D {FIELD[0]}×{FIELD[1]} and 3D {size} voxels of synthetic crowded cells, "
        f"{arguments.threads} threads, numpy {np.__version__}, {platform.machine()}"
    )
    print(head)
    table = rows(arguments.threads, arguments.scratch)
    if arguments.o:
        arguments.o.write_text("\n".join([head, "", *table, ""]))


if __name__ == "__main__":
    main()
