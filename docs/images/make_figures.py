"""Draws figures_classes.png, figures_volume.png and figures_instances.png: made-up mistakes, marked."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, distance_transform_edt, label

from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.data.vessels import vessels
from nnunet_ext.evaluation.case_view import CaseView
from nnunet_ext.figures.case_figure import draw_case
from nnunet_ext.figures.style import save


def balls(where: NDArray, number: int, radius: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Balls around so many voxels of a mask."""
    centres = np.argwhere(where)[rng.integers(0, np.count_nonzero(where), number)]
    grid = np.indices(where.shape)
    found = np.zeros(where.shape, bool)
    for centre in centres:
        offset = grid - centre.reshape(-1, *(1,) * where.ndim)
        found |= (offset**2).sum(0) <= radius**2
    return found


def damaged(truth: NDArray, number: int, seed: int) -> NDArray[np.uint8]:
    """A label with holes and with blobs that are not there."""
    rng = np.random.default_rng(seed)
    thick = binary_closing(np.pad(truth > 0, 5), iterations=number // 2)[(slice(5, -5),) * truth.ndim]
    kept = thick & ~balls(truth > 0, number, 5, rng)
    return (kept | balls(truth == 0, number // 2, 3, rng)).astype(np.uint8)


def vessel_view(image: NDArray, truth: NDArray, spacing: tuple[float, ...]) -> CaseView:
    """Vessels and two models that are wrong about them, one more often than the other."""
    models = {"Ext": damaged(truth, 9, 1), "SCNP": damaged(truth, 4, 2)}
    return CaseView("vessels_012", image, truth, models, {1: "vessel"}, spacing)


def separate_vessels(seed: int) -> tuple[NDArray, NDArray]:
    """Three vessels below one another."""
    strips = [vessels((50, 200), 1, seed=seed + strip) for strip in range(3)]
    images, labels = zip(*strips, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def cell_view() -> CaseView:
    """Cells of which one is lost, two are one, one is two, and one is not there."""
    image, cells = crowded_cells((110, 150), n_cells=30, seed=5)
    cells = cells.astype(np.int32)
    found = cells.copy()
    found[found == 7] = 0
    neighbours = np.unique(cells[balls(cells == 15, 400, 3, np.random.default_rng(0))])
    found[cells == next(cell for cell in neighbours if cell not in (0, 15))] = 15
    columns = np.indices(cells.shape)[1]
    for cell in (3, 22):
        found[(cells == cell) & (columns > columns[cells == cell].mean())] = 100 + cell
    found[label(distance_transform_edt(cells == 0) > 3)[0] == 1] = 99
    return CaseView("cells_003", image, cells, {"cores alone": found, "JC": cells}, {}, None, "instances")


def main() -> None:
    """Write the pictures beside this script."""
    pictures = {
        "classes": vessel_view(*separate_vessels(33), (1.0, 1.0)),
        "volume": vessel_view(*vessels((24, 90, 130), 4, seed=2), (2.0, 1.0, 1.0)),
        "instances": cell_view(),
    }
    for name, view in pictures.items():
        save(draw_case(view), Path(__file__).with_name(f"figures_{name}.png"), dpi=80)


main()
