"""How the instances of a folder are made: the method with its parameters, and which labels are what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_ext.errors import UserError
from nnunet_ext.instances.from_probabilities import NO_TILES, check_method
from nnunet_ext.instances.losses import DEFAULT_RADIUS
from nnunet_ext.nnunet_files.hierarchy import IGNORE


@dataclass(frozen=True)
class InstanceOptions:
    """How instances are made; the attributes are the arguments of `from_probabilities`.

    Attributes
    ----------
    spacing : tuple of float, optional
        (z, y, x), instead of that of the files; 2D takes the last two.
    max_distance : float, optional
        In the unit of the spacing. Default: from the touching radius of the dataset.
    opening : int, optional
        Edge of the cube with which the cell class is opened first, in voxels; of the label files only.
    tile : int, optional
        Edge of the tiles; the large arrays are then files in the output folder.
    """

    method: str = "map"
    gap: str = "background"
    gamma_touching: float | None = None
    gamma_cell: float | None = None
    connectivity: int | None = None
    min_size: int = 0
    spacing: tuple[float, ...] | None = None
    tile: int | None = None
    max_distance: float | None = None
    opening: int | None = None

    def check(self) -> None:
        """Raise `UserError` where the options do not go together."""
        try:
            check_method(self.method, self.gap, self.gamma_touching, self.gamma_cell)
        except ValueError as error:
            raise UserError(f"{str(error).replace('gamma_', '--gamma-')}.") from error
        if self.tile is not None and self.method == "watershed":
            raise UserError(f"--tile: {NO_TILES}.")
        if self.tile is not None and self.tile < 1:
            raise UserError(f"--tile-size {self.tile}: a tile has at least one voxel.")
        if self.opening is not None and (self.opening < 3 or self.opening % 2 == 0):
            raise UserError(f"--opening {self.opening}: expected an odd number of voxels, 3 or more.")
        if self.opening is not None and (self.method != "map" or self.gap != "background"):
            raise UserError("--opening works on predicted classes: with --method map and --gap background.")
        if self.max_distance is not None and self.method == "watershed":
            raise UserError("--max-distance: seeds of method 'watershed' grow as far as they are connected.")
        if self.max_distance is not None and not self.max_distance >= 0:
            raise UserError(f"--max-distance {self.max_distance}: expected 0 or more, or inf.")
        if self.spacing is not None and not all(0 < step < np.inf for step in self.spacing):
            raise UserError(f"--spacing {self.spacing}: expected positive numbers.")

    def need_probabilities(self, classes: CellClasses) -> bool:
        """Whether the label files do not say enough."""
        return self.method != "map" or (self.gap != "background" and classes.gap is not None)


@dataclass(frozen=True)
class CellClasses:
    """The labels of the classes that make instances; None for a class the dataset does not have.

    Attributes
    ----------
    others : tuple of str
        Foreground classes that are none of the three; background in the instances.
    largest : int
        The largest label of all that can be predicted.
    touching_radius : float
        Of the window by which the touching class was made, as dataset.json says; else the usual one.
    radius_in_voxels : bool
        Whether it is in voxels, or in the unit of the spacing.
    ignored : int or None
        The ignore label, which nothing predicts.
    """

    cell: int
    touching: int | None
    gap: int | None
    others: tuple[str, ...]
    largest: int
    touching_radius: float = DEFAULT_RADIUS
    radius_in_voxels: bool = True
    ignored: int | None = None

    @property
    def channels(self) -> list[int]:
        """Channels of nnU-Net's probabilities in the order background, cell, touching, gap."""
        return [0, *(label for label in (self.cell, self.touching, self.gap) if label is not None)]


def find_cell_classes(
    dataset_json: dict[str, Any],
    path: Path,
    cell: str | None = None,
    touching: str | None = None,
    gap: str | None = None,
) -> CellClasses:
    """Find the classes by their names in dataset.json, `path` in error texts.

    Parameters
    ----------
    dataset_json : dict
        Its content.
    path : Path
        Where it lies.
    cell, touching, gap : str, optional
        Names of the classes. Default: "cell" (else the only foreground class), "touching", "gap".

    Raises
    ------
    UserError
        If there are regions, a name is not there, or it is not clear which class is the cell.
    """
    labels = {name: label for name, label in dataset_json["labels"].items() if name != IGNORE}
    if not all(isinstance(label, int) for label in labels.values()):
        raise UserError(f"{path} describes regions; instances are made from plain classes.")
    foreground = {name: label for name, label in labels.items() if label > 0}
    wanted = {"cell": cell, "touching": touching, "gap": gap}
    for role, name in wanted.items():
        if name is not None and name not in foreground:
            raise UserError(f"{path} has no class {name!r} for {role}. {_listed(foreground)}")
    if cell is None and "cell" not in foreground and len(foreground) != 1:
        raise UserError(f"{path} has no class 'cell'. {_listed(foreground)} Name it with --cell.")
    found = {role: name or (role if role in foreground else None) for role, name in wanted.items()}
    found["cell"] = found["cell"] or next(iter(foreground))
    names = [name for name in found.values() if name is not None]
    if len(set(names)) < len(names):
        raise UserError(f"Cell, touching and gap are different classes; got {', '.join(names)}.")
    values = {role: None if name is None else foreground[name] for role, name in found.items()}
    others = tuple(name for name in foreground if name not in names)
    assert values["cell"] is not None
    made = dataset_json.get("touching_radius", {"radius": DEFAULT_RADIUS, "unit": "voxels"})
    return CellClasses(
        values["cell"],
        values["touching"],
        values["gap"],
        others,
        max(labels.values()),
        float(made["radius"]),
        made["unit"] == "voxels",
        dataset_json["labels"].get(IGNORE),
    )


def _listed(foreground: dict[str, int]) -> str:
    return f"Its classes: {', '.join(foreground) or 'none'}."
