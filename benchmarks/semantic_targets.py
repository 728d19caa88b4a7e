"""Semantic classes from instances: how much of the instances they give back, and how long they take to make.

    python benchmarks/semantic_targets.py [-i SAMPLES …] [--volume] [-o RESULT.md]

SAMPLES are folders of instance labels (tif), such as ``instancesTr`` of converted datasets; without them
synthetic cells are measured. ``--volume`` adds a stack of 1024 × 1024 × 508 voxels.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from nnunet_ext.arrays.components import label_components
from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.images.instance_files import read_instances
from nnunet_ext.instances import from_semantic
from nnunet_ext.metrics import panoptic_quality
from nnunet_ext.targets import semantic_from_instances

SETTINGS = [(radius, keep) for radius in (1, 2) for keep in (True, False)]


def round_trips(instances: np.ndarray) -> list[float]:
    """PQ of the instances with those recovered from their classes, per setting."""
    return [
        panoptic_quality(instances, from_semantic(semantic_from_instances(instances, r, keep_cores=k)))["pq"]
        for r, k in SETTINGS
    ]


def quality_table(groups: dict[str, list[np.ndarray]]) -> list[str]:
    heads = [f"radius {r}, {'cores kept' if k else 'to the letter'}" for r, k in SETTINGS]
    lines = [f"| instances | images | {' | '.join(heads)} |", "|---" * (2 + len(heads)) + "|"]
    for name, images in groups.items():
        rows = np.array([round_trips(image) for image in images])
        cells = [f"{mean:.3f} ({low:.3f})" for mean, low in zip(rows.mean(0), rows.min(0), strict=True)]
        lines.append(f"| {name} | {len(images)} | {' | '.join(cells)} |")
    return lines


def speed_row(name: str, instances: np.ndarray, runs: int) -> str:
    wall, cpu = [], []
    for _ in range(runs):
        start = time.perf_counter(), time.process_time()
        semantic_from_instances(instances)
        wall.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    count = len(np.unique(instances)) - 1
    return f"| {name} | {count} | {np.median(wall):.3f} | {np.median(cpu):.3f} | {peak:.1f} |"


def large_volume() -> np.ndarray:
    """A block of crowded cells, repeated with ids of its own up to 508 × 1024 × 1024."""
    block = crowded_cells((127, 128, 128), n_cells=250)[1]
    volume = np.zeros((508, 1024, 1024), np.uint16)
    for number, corner in enumerate(np.ndindex(4, 8, 8)):
        box = tuple(slice(i * n, (i + 1) * n) for i, n in zip(corner, block.shape, strict=True))
        volume[box] = np.where(block, block + 250 * number, 0)
    return volume


def samples(folders: list[Path]) -> dict[str, list[np.ndarray]]:
    """Images by row of the table: a folder is a row; a 3D file is two, by id and by connected piece."""
    groups: dict[str, list[np.ndarray]] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.tif")):
            instances = read_instances(path)[0]
            name = folder.parent.name + (f", {path.stem}" if instances.ndim == 3 else "")
            groups.setdefault(name, []).append(instances)
            if instances.ndim == 3:
                groups[f"{name}, pieces as instances"] = [label_components(instances)[0]]
    if not groups:
        groups["synthetic 520×696, 369 cells"] = [
            crowded_cells((520, 696), 369, seed)[1] for seed in range(3)
        ]
        groups["synthetic 32×128×128, 100 cells"] = [
            crowded_cells((32, 128, 128), 100, seed)[1] for seed in range(3)
        ]
    return groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-i", type=Path, nargs="*", default=[])
    parser.add_argument("--volume", action="store_true")
    parser.add_argument("-o", type=Path)
    arguments = parser.parse_args()
    lines = ["PQ of instances turned into four classes and back: mean (lowest image)", ""]
    lines += quality_table(samples(arguments.i))
    lines += ["", "| labels | instances | wall s | CPU s | peak GiB |", "|---|---|---|---|---|"]
    lines.append(speed_row("2D 520×696", crowded_cells((520, 696), 369)[1], 9))
    if arguments.volume:
        lines.append(speed_row("3D 508×1024×1024", large_volume(), 1))
    text = "\n".join(lines)
    print(text)
    if arguments.o:
        arguments.o.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
