"""Youden's J: time and memory of sums per label against a loop over all pairs of classes.

    python benchmarks/jc.py [--device cuda] [-o benchmarks/results/jc_cpu.md]

The reference is the formula as it is printed: one-hot labels of all classes, divided by the classes' sizes,
then a true positive and a true negative rate for every pair. "Indexed" is how one writes it down, p[:, i]:
each of these indexings fills a tensor of all classes with its gradient. "Unbound" avoids that by taking the
classes apart once, the best that such a loop can do. All run in the same process, taking turns; ratios are
medians over the turns. On a CPU it is one thread and processor time, which other programs disturb least.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import torch
import torch.nn.functional as F
from scnp import resident_mib  # the benchmark beside this one
from torch import Tensor

from nnunet_ext.losses import youden_j_loss

CLASSES = (2, 4, 8, 16, 32, 64)
PAIRWISE = (2, 128, 128)  # batch and space: small, for the sake of 4032 pairs
SIZES = {"2×128²": PAIRWISE, "2×256²": (2, 256, 256), "2×512²": (2, 512, 512), "1×64×128²": (1, 64, 128, 128)}
Runs = dict[str, Callable[[], Tensor]]


def pairwise(logits: Tensor, labels: Tensor, unbound: bool, weight: float = 0.5) -> Tensor:
    """The printed sum over pairs of classes; all of them are there."""
    one_hot = torch.zeros_like(logits).scatter_(1, labels, 1)
    axes = (0, *range(2, logits.dim()))
    shares = (one_hot / one_hot.sum(axes, keepdim=True)).unbind(1)
    p = logits.softmax(1)
    taken = p.unbind(1) if unbound else ()
    loss = torch.zeros((), device=logits.device)
    for i, k in permutations(range(len(shares)), 2):
        alpha = ((taken[i] if unbound else p[:, i]) * shares[i]).sum()
        beta = ((1 - (taken[i] if unbound else p[:, i])) * shares[k]).sum()
        loss = loss - weight * ((alpha + beta) / 2).clamp_min(1e-8).log()
    return loss


def problem(shape: tuple[int, ...], classes: int, device: str) -> tuple[Tensor, Runs]:
    """Random logits, and the three ways as functions of nothing on these and the same labels."""
    torch.manual_seed(0)
    batch, *space = shape
    logits = torch.randn(batch, classes, *space, device=device, requires_grad=True)
    # Blobs rather than noise, as in a segmentation; and every class somewhere.
    cells = [max(1, n // 16) for n in space]
    coarse = torch.rand(batch, classes, *cells, device=device).argmax(1, keepdim=True)
    coarse.view(-1)[:classes] = torch.arange(classes, device=device)
    labels = F.interpolate(coarse.float(), size=space, mode="nearest").long()
    return logits, {
        "indexed": lambda: pairwise(logits, labels, unbound=False),
        "unbound": lambda: pairwise(logits, labels, unbound=True),
        "sums": lambda: youden_j_loss(logits, labels),
    }


def check_agreement(logits: Tensor, runs: Runs) -> None:
    """Same values and gradients, up to the rounding of float32."""
    expected = runs["unbound"]()
    (gradient,) = torch.autograd.grad(expected, logits)
    tolerance = 1e-5 * float(gradient.abs().max())
    for way in ("indexed", "sums"):
        value = runs[way]()
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
        (found,) = torch.autograd.grad(value, logits)
        torch.testing.assert_close(found, gradient, rtol=1e-3, atol=tolerance)


def seconds(run: Callable[[], Tensor], device: str) -> float:
    clock = time.perf_counter if device == "cuda" else time.process_time
    start = clock()
    run().backward()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def peak_mib(classes: int, device: str, way: str) -> float:
    """Peak memory of one forward and backward pass beyond its inputs, in a process of its own."""
    command = [sys.executable, __file__, "--device", device, "--peak", str(classes), way]
    # Every tensor a mapping of its own, returned when freed: not what the heap keeps between small ones.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def print_peak(classes: int, device: str, way: str) -> None:
    _, runs = problem(PAIRWISE, classes, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        runs[way]().backward()
        print((torch.cuda.max_memory_allocated() - before) / 2**20)
    else:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: start the high-water mark anew
        before = resident_mib("VmRSS")
        runs[way]().backward()
        print(resident_mib("VmHWM") - before)


def faster(times: list[dict[str, float]], way: str) -> str:
    ratios = [turn[way] / turn["sums"] for turn in times]
    return f"{statistics.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})"


def against_pairs(device: str, turns: int) -> list[str]:
    rows = [
        "| C | indexed s | unbound s | sums s | times faster than indexed | than unbound | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for classes in CLASSES:
        logits, runs = problem(PAIRWISE, classes, device)
        check_agreement(logits, runs)
        enough = max(3, min(turns, 8 * turns // classes))
        times = [{way: seconds(run, device) for way, run in runs.items()} for _ in range(enough)]
        medians = [f"{statistics.median(turn[way] for turn in times):.4f}" for way in runs]
        ratios = [faster(times, way) for way in ("indexed", "unbound")]
        peak = " → ".join(f"{peak_mib(classes, device, way):.0f}" for way in runs)
        rows.append("| " + " | ".join([str(classes), *medians, *ratios, peak]) + " |")
        print(rows[-1], flush=True)
    return rows


def over_classes(device: str, turns: int) -> list[str]:
    """Seconds for every number of classes on the same voxels, taking turns."""
    heads = " | ".join(f"C = {classes}" for classes in CLASSES)
    rows = [f"| voxels | {heads} | C = 64 / C = 4 |", "|---" * (len(CLASSES) + 2) + "|"]
    for name, shape in SIZES.items():
        runs = {classes: problem(shape, classes, device)[1]["sums"] for classes in CLASSES}
        for run in runs.values():
            seconds(run, device)
        times = [{classes: seconds(run, device) for classes, run in runs.items()} for _ in range(turns)]
        medians = " | ".join(f"{statistics.median(t[classes] for t in times):.4f}" for classes in CLASSES)
        rows.append(f"| {name} | {medians} | {statistics.median(t[64] / t[4] for t in times):.1f} |")
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("-o", type=Path, help="also write the tables to this file")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = arguments.device
    torch.set_num_threads(1)
    if arguments.peak:
        return print_peak(int(arguments.peak[0]), device, arguments.peak[1])
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU, 1 thread"
    turns = arguments.turns
    head = f"Youden's J, forward + backward, float32, torch {torch.__version__}, {card}, {turns} turns"
    print(head)
    voxels = "×".join(map(str, PAIRWISE))
    tables = [
        head,
        f"Sums per label against pairs of classes, {voxels} voxels:",
        "\n".join(against_pairs(device, turns)),
        "Seconds over the number of classes (16 is linear):",
        "\n".join(over_classes(device, turns)),
    ]
    if arguments.o:
        arguments.o.write_text("\n\n".join(tables) + "\n")
    return None


if __name__ == "__main__":
    main()
