"""SCNP: time and memory of the exact selection against two dense poolings.

    python benchmarks/scnp.py [--device cuda] [-o benchmarks/results/scnp_cpu.md]

The reference is the published formulation: logits of the other class are pushed out of the way with the
constant 9999, then min- and max-pooled over the dense window. It is given its one-hot target and the
complement for free. Both run in the same process, taking turns; the ratio is the median over the turns.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from nnunet_ext.losses import same_class_neighbor_penalization

SHAPES = {"2D 4×2×512²": (4, 2, 512, 512), "3D 2×3×64×128²": (2, 3, 64, 128, 128)}
WIDTHS = (3, 5, 7)
Runs = dict[str, Callable[[], Tensor]]


def dense_poolings(logits: Tensor, one_hot: Tensor, others: Tensor, w: int) -> Tensor:
    pool = F.max_pool2d if logits.dim() == 4 else F.max_pool3d
    lowest = -pool(-(logits * one_hot + 9999 * others), w, 1, w // 2)
    highest = pool(logits * others - 9999 * one_hot, w, 1, w // 2)
    return lowest * one_hot + highest * others


def problem(shape: tuple[int, ...], w: int, device: str) -> tuple[Tensor, Runs]:
    """Random logits, and the two ways as functions of nothing on these and the same labels."""
    torch.manual_seed(0)
    logits = torch.randn(shape, device=device, requires_grad=True)
    # Blobs rather than noise: neighbours mostly share their class, as in a segmentation.
    coarse = torch.rand(shape[0], shape[1], *[n // 16 for n in shape[2:]], device=device)
    labels = F.interpolate(coarse, size=shape[2:], mode="nearest").argmax(1, keepdim=True)
    one_hot = torch.zeros(shape, device=device).scatter_(1, labels, 1)
    others = 1 - one_hot
    runs = {
        "poolings": lambda: dense_poolings(logits, one_hot, others, w),
        "selection": lambda: same_class_neighbor_penalization(logits, labels, w),
    }
    return logits, runs


def check_agreement(logits: Tensor, runs: Runs) -> None:
    """Same values and gradients, up to the rounding that the constant 9999 costs the poolings."""
    values = [run() for run in runs.values()]
    assert (values[0] - values[1]).abs().max() < 2e-3, "the values differ"
    weight = torch.randn_like(logits)
    slow, fast = (torch.autograd.grad((value * weight).sum(), logits)[0] for value in values)
    # Near-ties within the rounding may have another winner.
    assert (slow - fast).abs().sum() < 0.01 * slow.abs().sum(), "the gradients differ"


def seconds(run: Callable[[], Tensor], device: str) -> float:
    start = time.perf_counter()
    run().sum().backward()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def saved_bytes(run: Callable[[], Tensor]) -> float:
    """Bytes per logit kept for the backward pass, counting each storage once."""
    kept: dict[int, int] = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.update({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()}) or t,
        lambda t: t,
    ):
        result = run()
    return sum(kept.values()) / result.numel()


def peak_mib(shape_name: str, w: int, device: str, way: str) -> float:
    """Peak memory of one forward and backward pass beyond its inputs, in a process of its own."""
    command = [sys.executable, __file__, "--device", device, "--peak", shape_name, str(w), way]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def resident_mib(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) / 1024


def print_peak(shape_name: str, w: int, device: str, way: str) -> None:
    _, runs = problem(SHAPES[shape_name], w, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        runs[way]().sum().backward()
        print((torch.cuda.max_memory_allocated() - before) / 2**20)
    else:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: start the high-water mark anew
        before = resident_mib("VmRSS")
        runs[way]().sum().backward()
        print(resident_mib("VmHWM") - before)


def table(device: str, pairs: int) -> list[str]:
    rows = [
        "| logits | w | poolings s | selection s | times faster (min–max) | saved B/logit | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, shape in SHAPES.items():
        for w in WIDTHS:
            logits, runs = problem(shape, w, device)
            check_agreement(logits, runs)
            for run in runs.values():
                seconds(run, device)
            turns = [[seconds(run, device) for run in runs.values()] for _ in range(pairs)]
            ratios = [slow / fast for slow, fast in turns]
            slow, fast = (statistics.median(column) for column in zip(*turns, strict=True))
            kept = [saved_bytes(run) for run in runs.values()]
            peak = [peak_mib(name, w, device, way) for way in runs]
            rows.append(
                f"| {name} | {w} | {slow:.4f} | {fast:.4f} | {statistics.median(ratios):.1f} "
                f"({min(ratios):.1f}–{max(ratios):.1f}) | {kept[0]:.1f} → {kept[1]:.1f} "
                f"| {peak[0]:.0f} → {peak[1]:.0f} |"
            )
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("-o", type=Path, help="also write the table to this file")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        name, w, way = arguments.peak
        return print_peak(name, int(w), arguments.device, way)
    card = (
        torch.cuda.get_device_name()
        if arguments.device == "cuda"
        else f"CPU, {torch.get_num_threads()} threads"
    )
    head = f"SCNP, forward + backward, float32, torch {torch.__version__}, {card}, {arguments.pairs} pairs"
    print(head)
    rows = table(arguments.device, arguments.pairs)
    if arguments.o:
        arguments.o.write_text("\n".join([head, "", *rows, ""]))
    return None


if __name__ == "__main__":
    main()
