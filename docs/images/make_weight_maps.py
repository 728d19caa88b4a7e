"""Draws weight_maps.png: a group of synthetic cells, the four classes, and the four weight maps of these."""

from pathlib import Path

import numpy as np
from scipy.ndimage import binary_dilation, center_of_mass

from nnunet_ext.arrays.semantic_classes import CLASSES
from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.figures.weight_maps import CaseMaps, draw, relative, weights
from nnunet_ext.targets import semantic_from_instances
from nnunet_ext.trainers import get_trainer

FAMILIES = ("BWM", "UNetWM", "DWM", "SAW")


def group(radius: float = 42) -> tuple[np.ndarray, np.ndarray]:
    """Image and instances of the cells around the middle."""
    image, instances = crowded_cells((150, 150), n_cells=40, seed=5)
    cells = np.arange(1, instances.max() + 1)
    away = np.linalg.norm(np.array(center_of_mass(instances > 0, instances, cells)) - 75, axis=1)
    instances[np.isin(instances, cells[away > radius])] = 0
    noise = np.random.default_rng(0).normal(25, 8, image.shape).clip(0, 255).astype(np.uint8)
    return np.where(binary_dilation(instances > 0, iterations=2), image, noise), instances


def main() -> None:
    """Write the picture beside this script."""
    image, instances = group()
    labels = semantic_from_instances(instances)
    counts = np.bincount(labels.ravel())
    targets = {name: get_trainer(f"nnUNetTrainer{name}").weight_map((1,)) for name in FAMILIES}
    maps = {name: weights(target, labels, (1, 1), counts) for name, target in targets.items()}
    maps = {name: relative(weight, np.ones(labels.shape, bool)) for name, weight in maps.items()}
    draw(
        [CaseMaps("image", image, labels, maps)],
        {label: name for name, label in CLASSES.items()},
        Path(__file__).with_name("weight_maps.png"),
        "weights relative to their mean; each with its default parameters",
    )


main()
