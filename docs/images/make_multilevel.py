"""Draws multilevel.png: nested cells, the activation of one channel, and the scores that nnU-Net compares."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from nnunet_ext.data.nested import nested_cells
from nnunet_ext.losses.multilevel import multi_level_activation, preset_thresholds
from nnunet_ext.networks.multilevel import MultiLevelHead
from nnunet_ext.nnunet_files.hierarchy import hierarchy_of

COLOURS = {"background": "#8d99ae", "cell": "#17bebb", "nucleus": "#e4572e"}
DATASET = {"labels": {name: label for label, name in enumerate(COLOURS)}, "nesting": ["cell", "nucleus"]}


def draw_classes(axes) -> None:
    """Colour the three levels between the thresholds."""
    edges = [-0.05, *preset_thresholds("mce", 2), 2.05]
    for colour, low, high in zip(COLOURS.values(), edges[:-1], edges[1:], strict=True):
        axes.axvspan(low, high, color=colour, alpha=0.15, lw=0)
    for number, theta in enumerate(edges[1:-1], start=1):
        axes.axvline(theta, color="black", lw=0.8, ls=":")
        axes.text(theta, axes.get_ylim()[1], f"θ{number}", ha="center", va="bottom")


def main() -> None:
    """Write the picture beside this script."""
    figure = Figure(figsize=(12, 3.3), layout="constrained")
    picture, stairs, lines = figure.subplots(1, 3, width_ratios=(1.7, 1.2, 1.4))

    image, labels = nested_cells((160, 160), 8, seed=3)
    image = (image - image.min()) / np.ptp(image)
    colours = ListedColormap(list(COLOURS.values()))(labels)[..., :3]
    both = np.hstack([np.repeat(image[..., None], 3, -1), 0.45 * image[..., None] + 0.55 * colours])
    picture.imshow(both)
    picture.set_title("nucleus in cell in background", fontsize=10)
    picture.axis("off")

    x = torch.linspace(-1.6, 1.6, 400)
    a = multi_level_activation(x, 2)
    stairs.plot(x, a, color="black")
    stairs.set(xlabel="network's output x", ylabel="activation a(x)", yticks=[0, 1, 2])
    stairs.set_title("one channel, three levels", fontsize=10)
    for theta, (low, high), colour in zip(
        [*preset_thresholds("mce", 2), 2.1],
        [(-0.1, 2 / 3), (2 / 3, 4 / 3), (4 / 3, 2.1)],
        COLOURS.values(),
        strict=True,
    ):
        stairs.axhspan(low, high, color=colour, alpha=0.15, lw=0)
        stairs.axhline(theta, color="black", lw=0.8 if theta < 2 else 0, ls=":")
    stairs.set(ylim=(-0.1, 2.1), xlim=(-1.6, 1.6))

    head = MultiLevelHead(hierarchy_of(DATASET), [preset_thresholds("mce", 2)], 10.0, 1.0)
    a = torch.linspace(0, 2, 201)
    for scores, (name, colour) in zip(head.scores([a[None]])[0], COLOURS.items(), strict=True):
        lines.plot(a, scores, color=colour, label=name, lw=2)
    lines.set(xlabel="activation a", ylabel="class score", xlim=(-0.05, 2.05))
    draw_classes(lines)
    lines.set_title("the largest score is the level", fontsize=10, pad=16)
    lines.legend(frameon=False, fontsize=9)
    figure.savefig(Path(__file__).with_name("multilevel.png"), dpi=120)


main()
