"""What each loss costs, beside nnU-Net's own, and beside the published ways to compute the same.

    python benchmarks/losses.py [--device cuda] [-o benchmarks/results/losses_cpu.md]
    python benchmarks/losses.py --loading [-o benchmarks/results/losses_loading_cpu.md]

Forward and backward of the loss of one network output. "Held" is what the forward pass leaves for the
backward pass, "peak" the most that both need beyond their inputs, each measured in a process of its own, the
second time it runs there. All take turns in one process; ratios are medians over the turns. On a CPU it is
one thread and processor time, which other programs disturb least.

Published ways, restated: clDice with every step of the soft skeleton kept and poolings of the library, for
prediction and truth; Skeleton Recall with the skeleton made on the main thread. For TopoLoss see
topological_loss.py. It is for the end of a training: here most patches are wrong.

With --loading, instead: what the maps of the losses cost nnU-Net's data loader (extra_targets_loading.py).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from scnp import resident_mib  # the benchmark beside this one
from torch import Tensor

from nnunet_ext.data.vessels import vessels
from nnunet_ext.losses import (
    CenterlineCrossEntropyLoss,
    ClDiceLoss,
    CrossEntropyLoss,
    FocalLoss,
    RegionWiseLoss,
    SkeletonRecallLoss,
    TopologicalLoss,
    TverskyLoss,
)
from nnunet_ext.targets import region_distance, skeleton_tube

SIZES = {"2D 2×2×512²": (2, 512, 512), "3D 2×2×96³": (2, 96, 96, 96)}  # batch and space; two classes
BASE = "CE + Dice"
Runs = dict[str, Callable[[], Tensor]]


def published_skeleton(x: Tensor, steps: int = 10) -> Tensor:
    """The soft skeleton with the library's poolings, every step kept."""
    axes = x.dim() - 2
    pool = F.max_pool2d if axes == 2 else F.max_pool3d

    def erode(x: Tensor) -> Tensor:
        shapes = [tuple(3 if a == axis else 1 for a in range(axes)) for axis in range(axes)]
        lowest = [-pool(-x, shape, 1, tuple(edge // 2 for edge in shape)) for shape in shapes]
        return lowest[0].minimum(lowest[1]) if axes == 2 else lowest[0].minimum(lowest[1]).minimum(lowest[2])

    def thin(x: Tensor) -> Tensor:
        return F.relu(x - pool(erode(x), 3, 1, 1))

    result = thin(x)
    for _ in range(steps):
        x = erode(x)
        delta = thin(x)
        result = result + F.relu(delta - result * delta)
    return result


def published_cldice(logits: Tensor, labels: Tensor) -> Tensor:
    """clDice of the foreground as the authors write it down."""
    p, y = logits.softmax(1)[:, 1:], (labels == 1).float()
    lines, true_lines = published_skeleton(p), published_skeleton(y)
    precision = ((lines * y).sum() + 1) / (lines.sum() + 1)
    sensitivity = ((true_lines * p).sum() + 1) / (true_lines.sum() + 1)
    return 1 - 2 * precision * sensitivity / (precision + sensitivity)


def maps_of(labels: Tensor, make: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """(B, 1, *spatial) of what the loading workers make of each sample."""
    return torch.from_numpy(np.stack([make(each[0].numpy())[None] for each in labels.cpu()])).float()


def problem(shape: tuple[int, ...], device: str) -> tuple[Tensor, Runs]:
    """Logits of a network that is often right, and the losses as functions of nothing."""
    torch.manual_seed(0)
    batch, *space = shape
    truth = np.stack([vessels(space, count=12, radius=4.5, seed=seed)[1] for seed in range(batch)])
    labels = torch.from_numpy(truth)[:, None].to(device, torch.int16)  # as nnU-Net's loader hands them over
    logits = torch.randn(batch, 2, *space, device=device)
    for _ in range(2):
        logits = (F.avg_pool2d if len(space) == 2 else F.avg_pool3d)(logits, 5, 1, 2)
    logits = 10 * logits + torch.cat([1 - labels, labels], 1)
    logits.requires_grad_()
    dice = {"batch_dice": True, "smooth": 1e-5, "do_bg": False, "ddp": False}
    stock = DC_and_CE_loss(dice, {}, dice_class=MemoryEfficientSoftDiceLoss)
    dice_alone = DC_and_CE_loss(dice, {}, weight_ce=0, dice_class=MemoryEfficientSoftDiceLoss)
    tubes = maps_of(labels, lambda each: skeleton_tube(each > 0)).to(device)
    depths = maps_of(labels, region_distance).to(device)

    def on_main_thread() -> Tensor:
        made = maps_of(labels, lambda each: skeleton_tube(each > 0)).to(device)
        return SkeletonRecallLoss(batch_dice=True)(logits, labels, made)

    return logits, {
        BASE: lambda: stock(logits, labels),
        "CE": lambda: CrossEntropyLoss()(logits, labels),
        "Dice": lambda: dice_alone(logits, labels),
        "Focal": lambda: FocalLoss()(logits, labels),
        "Tversky": lambda: TverskyLoss(batch_dice=True)(logits, labels),
        "RegionWise": lambda: RegionWiseLoss()(logits, labels, depths),
        "clDice, k = 10": lambda: ClDiceLoss(10, batch_dice=True)(logits, labels),
        "clDice, k = 10, published": lambda: published_cldice(logits, labels),
        "Centre-line CE, k = 3": lambda: CenterlineCrossEntropyLoss()(logits, labels),
        "Skeleton Recall": lambda: SkeletonRecallLoss(batch_dice=True)(logits, labels, tubes),
        "Skeleton Recall, skeleton on the main thread": on_main_thread,
        "TopoLoss": lambda: TopologicalLoss()(logits, labels),
    }


def check_agreement(logits: Tensor, runs: Runs) -> None:
    """Published and ours have the same value."""
    for ours, published in (
        ("clDice, k = 10", "clDice, k = 10, published"),
        ("Skeleton Recall", "Skeleton Recall, skeleton on the main thread"),
    ):
        torch.testing.assert_close(runs[ours](), runs[published](), rtol=1e-4, atol=0)


def seconds(run: Callable[[], Tensor], device: str) -> float:
    clock = time.perf_counter if device == "cuda" else time.process_time
    start = clock()
    run().backward()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def memory_mib(size: str, device: str, name: str) -> tuple[float, float]:
    """Held for the backward pass, and the peak of both passes, in a process of its own."""
    command = [sys.executable, __file__, "--device", device, "--memory", size, name]
    # Every tensor a mapping of its own, returned when freed: not what the heap keeps between small ones.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    held, peak = map(float, found.split()[-2:])
    return held, peak


def print_memory(size: str, device: str, name: str) -> None:
    logits, runs = problem(SIZES[size], device)
    runs[name]().backward()  # once before: its code is in memory as well then, which is several MiB
    logits.grad = None
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        loss = runs[name]()
        held = torch.cuda.memory_allocated() - before
        loss.backward()
        print(held / 2**20, (torch.cuda.max_memory_allocated() - before) / 2**20)
    else:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: start the high-water mark anew
        before = resident_mib("VmRSS")
        loss = runs[name]()
        held = resident_mib("VmRSS") - before
        loss.backward()
        print(held, resident_mib("VmHWM") - before)


def table(device: str, turns: int) -> list[str]:
    """Print and return the rows."""
    rows = [
        "| logits | loss | seconds | × CE + Dice | held MiB | × | peak MiB | × |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(rows))
    for size, shape in SIZES.items():
        logits, runs = problem(shape, device)
        check_agreement(logits, runs)
        times = [{name: seconds(run, device) for name, run in runs.items()} for _ in range(turns + 1)][1:]
        memory = {name: memory_mib(size, device, name) for name in runs}
        for name in runs:
            ratio = statistics.median(turn[name] / turn[BASE] for turn in times)
            taken = statistics.median(turn[name] for turn in times)
            cells = [size, name, f"{taken:.4f}", f"{ratio:.2f}"]
            for mib, of_base in zip(memory[name], memory[BASE], strict=True):
                cells += [f"{mib:.0f}", f"{mib / of_base:.2f}"]
            rows.append(f"| {' | '.join(cells)} |")
            print(rows[-1], flush=True)
    return rows


def loading_table() -> list[str]:
    """What the maps cost the loader."""
    from extra_targets_loading import draw_vessels
    from extra_targets_loading import table as rows

    from nnunet_ext.training.extra_targets.shapes import Depths, Tubes

    ways = {
        "stock": (None, False),
        "Skeleton Recall, per patch": (Tubes(((1,),)), False),
        "Skeleton Recall, per case": (Tubes(((1,),)), True),
        "region-wise": (Depths(), False),
    }
    return rows(ways, draw_vessels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("-o", type=Path, help="also write the table to this file")
    parser.add_argument("--loading", action="store_true", help="measure nnU-Net's data loader with the maps")
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = arguments.device
    torch.set_num_threads(1)
    if arguments.memory:
        return print_memory(arguments.memory[0], device, arguments.memory[1])
    if arguments.loading:
        os.environ["OMP_NUM_THREADS"] = "1"
        from extra_targets_loading import HEAD

        head = f"nnU-Net's training loader with the maps of losses of shape, on vessels, {HEAD}"
        print(head)
        rows = loading_table()
    else:
        card = torch.cuda.get_device_name() if device == "cuda" else "CPU, 1 thread"
        head = (
            f"Losses, forward + backward, float32, torch {torch.__version__}, {card}, {arguments.turns} turns"
        )
        print(head)
        rows = table(device, arguments.turns)
    if arguments.o:
        arguments.o.write_text("\n".join([head, "", *rows, ""]))
    return None


if __name__ == "__main__":
    main()
