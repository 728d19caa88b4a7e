"""Draws cells.png: synthetic cells, their labels, the four classes, and the instances made of these."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.instances import from_semantic
from nnunet_ext.metrics import panoptic_quality
from nnunet_ext.targets import semantic_from_instances

CLASSES = ListedColormap(["#1b1b1b", "#3fa34d", "#e4572e", "#4a7fb5"])  # background, cell, touching, gap


def main() -> None:
    """Write the picture beside this script."""
    image, instances = crowded_cells((110, 110), n_cells=22, seed=5)
    semantic = semantic_from_instances(instances)
    again = from_semantic(semantic)
    quality = panoptic_quality(instances, again)["pq"]
    colours = np.random.default_rng(1).random((instances.max() + 1, 3)) * 0.8 + 0.2
    colours[0] = 0.1
    same = [colours[np.bincount(instances[again == cell]).argmax()] for cell in range(again.max() + 1)]
    panels = [
        ("image", image, {"cmap": "gray"}),
        ("instance labels", colours[instances], {}),
        ("cell, touching, gap", semantic, {"cmap": CLASSES, "vmin": 0, "vmax": 3}),
        (f"instances again (PQ {quality:.3f})", np.array(same)[again], {}),
    ]
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.3), layout="constrained")
    for axis, (title, pixels, style) in zip(axes, panels, strict=True):
        axis.imshow(pixels, interpolation="nearest", **style)
        axis.set_title(title, fontsize=11)
        axis.axis("off")
    figure.savefig(Path(__file__).with_name("cells.png"), dpi=100)


main()
