"""TopoLoss: time of a forward and backward pass against one call of a library per patch and class.

    python benchmarks/topological_loss.py [-o benchmarks/results/topological_loss_cpu.md]

The usual way to the births and deaths is a call of gudhi for every patch of every foreground class. Here it
is that call alone, as in the published code, without anything that is done with its result. TopoLoss is all
of it: labels checked, patches compared, births and deaths of the wrong ones, the loss, and the gradient of
the logits. Both have the same probabilities and take turns in the same process, on one thread. Seconds are
CPU seconds, which is what the work takes on a core that nothing else uses; the ratio is the median over the
turns. The value of the loss is checked against the one that follows from gudhi's results.

Vessels: the synthetic ones of `nnunet_ext.data`, predicted by a threshold on the smoothed image, as a network
might after some epochs, with many or with few mistakes. Noise: nothing else, so that every patch is wrong and
has as many components as possible.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from nnunet_ext.data.vessels import vessels
from nnunet_ext.losses import topological, topological_loss
from nnunet_ext.losses.topological import PATCH_EDGE
from nnunet_ext.metrics import betti_numbers

try:
    import gudhi
except ImportError:
    gudhi = None

Array = NDArray[Any]
SHAPES = {"2D 2×2×256²": (256, 256), "3D 2×2×96³": (96, 96, 96)}
THRESHOLD = 0.03


def poor_vessels(shape: tuple[int, ...], seed: int, width: float = 1.0) -> tuple[Array, Array]:
    """Log-odds of the foreground, and labels."""
    image, label = vessels(shape, count=8 if len(shape) == 2 else 20, noise=0.5, seed=seed)
    smooth = gaussian_filter(image.astype(np.float32), width)
    inside, outside = smooth[label > 0].mean(), smooth[label == 0].mean()
    return 12 * (smooth - (inside + outside) / 2) / (inside - outside), label


def good_vessels(shape: tuple[int, ...], seed: int) -> tuple[Array, Array]:
    return poor_vessels(shape, seed, 2.0)


def noise(shape: tuple[int, ...], seed: int) -> tuple[Array, Array]:
    return np.random.default_rng(seed).normal(0, 2, shape), poor_vessels(shape, seed)[1]


def problem(make: Callable[..., tuple[Array, Array]], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Logits of two samples and two classes, and labels."""
    odds, labels = (
        torch.from_numpy(np.stack(both)) for both in zip(*(make(shape, s) for s in (0, 1)), strict=True)
    )
    logits = torch.stack([-odds / 2, odds / 2], 1).float().requires_grad_()
    return logits, labels[:, None].long()


def patches(volume: Array) -> Iterator[Array]:
    """Those of both samples, (2, *spatial)."""
    edge = PATCH_EDGE[volume.ndim - 1]
    starts = [range(0, n, edge) for n in volume.shape[1:]]
    for sample, *corner in itertools.product(volume, *starts):
        yield sample[tuple(slice(start, start + edge) for start in corner)]


def library_calls(probability: Array) -> list[Any]:
    """All births and deaths of every patch."""
    found = []
    for patch in patches(probability):
        height_first = (1 - patch).flatten(order="F")  # gudhi counts along the first axis first
        cubes = gudhi.CubicalComplex(dimensions=patch.shape, top_dimensional_cells=height_first)
        cubes.persistence(homology_coeff_field=2, min_persistence=0)
        found.append((cubes, cubes.cofaces_of_persistence_pairs()))
    return found


def expected_loss(probability: Array, truth: Array, holes: bool) -> tuple[float, int]:
    """The loss by gudhi's values, and the number of wrong patches."""
    total, count, wrong = 0.0, 0, 0
    for patch, inside, (cubes, _) in zip(
        patches(probability), patches(truth), library_calls(probability), strict=True
    ):
        wanted, found = betti_numbers(inside), betti_numbers(patch > 0.5)
        dimensions = [d for d in range(patch.ndim if holes else 1) if wanted[d] != found[d]]
        count, wrong = count + 1, wrong + bool(dimensions)
        for dimension in dimensions:
            intervals = cubes.persistence_intervals_in_dimension(dimension)
            lives = sorted((min(dead, 1.0) - born, born, dead) for born, dead in intervals)
            for place, (persistence, born, dead) in enumerate(reversed(lives)):
                if place < wanted[dimension]:
                    total += born**2 + max(1 - dead, 0) ** 2
                elif persistence > THRESHOLD:
                    total += persistence**2 if dead == np.inf else persistence**2 / 2
    return total / count, wrong


def check(logits: Tensor, labels: Tensor, holes: bool) -> str:
    """Compare the values; how many patches are wrong."""
    probability = logits.detach().softmax(1)[:, 1].numpy()
    expected, wrong = expected_loss(probability, labels[:, 0].numpy() > 0, holes)
    found = float(topological_loss(logits.detach(), labels, holes=holes))
    assert abs(found - expected) < 1e-4 * expected, f"{found} is not {expected}"
    return f"{wrong} of {len(list(patches(probability)))}"


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def row(
    name: str, shape: tuple[int, ...], make: Callable[..., tuple[Array, Array]], holes: bool, turns: int
) -> str:
    logits, labels = problem(make, shape)
    probability = logits.detach().softmax(1)[:, 1].numpy()

    def ours() -> None:
        topological_loss(logits, labels, holes=holes).backward()

    seconds(ours)
    cells = [name, make.__name__.replace("_", " "), "components, holes" if holes else "components"]
    if gudhi is None:
        cells += ["?", "?", f"{np.median([seconds(ours) for _ in range(turns)]):.4f}", "?"]
    else:
        times = [(seconds(lambda: library_calls(probability)), seconds(ours)) for _ in range(turns)]
        ratios = [slow / fast for slow, fast in times]
        slow, fast = np.median(times, axis=0)
        cells += [check(logits, labels, holes), f"{slow:.3f}", f"{fast:.4f}"]
        cells += [f"{np.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("-o", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    topological.THREADS = 1
    library = (
        f"gudhi {gudhi.__version__}" if gudhi else "no gudhi (pip install gudhi), so nothing to compare with"
    )
    head = (
        f"TopoLoss, forward + backward, float32, torch {torch.__version__}, NumPy {np.__version__}, "
        f"{library}, CPU, 1 thread, {arguments.turns} turns, patches of {PATCH_EDGE[2]}² and {PATCH_EDGE[3]}³"
    )
    rows = [
        "| logits | prediction | counted | wrong patches | library s | TopoLoss s | times faster (min–max) |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join([head, "", *rows]), flush=True)
    for (name, shape), make in itertools.product(SHAPES.items(), (good_vessels, poor_vessels, noise)):
        for holes in (False, True) if len(shape) == 2 or (gudhi and make is good_vessels) else (False,):
            rows.append(row(name, shape, make, holes, arguments.turns if len(shape) == 2 else 3))
            print(rows[-1], flush=True)
    if arguments.o:
        arguments.o.write_text("\n".join([head, "", *rows, ""]))


if __name__ == "__main__":
    main()
