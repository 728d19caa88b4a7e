"""The datasets of the Cell Tracking Challenge: voxel sizes, unjudged borders, kind of truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nnunet_ext.dataset_conversion import UserError


@dataclass(frozen=True)
class About:
    """What is known of a dataset.

    Attributes
    ----------
    spacing : tuple of float or None
        µm, in the order of the axes; None if it is not established.
    border : int
        Pixels at the edge of the image in which cells are not judged and may lack in gold truth.
    dimension : int or None
        2 or 3; None if not known.
    kind : str
        "sparse": people annotated some frames or slices, perhaps not all of their cells; "simulated": all of
        it is exact; "lineages": only some cells are annotated and only they have markers.
    of_sequence : dict
        Spacing of single sequences where it differs.
    """

    spacing: tuple[float, ...] | None
    border: int
    dimension: int | None
    kind: str = "sparse"
    of_sequence: dict[str, tuple[float, ...]] = field(default_factory=dict)


def _flat(step: float | None, border: int, kind: str = "sparse") -> About:
    return About(None if step is None else (step, step), border, 2, kind)


def _stack(step: float, depth: float, border: int, kind: str = "sparse") -> About:
    return About((depth, step, step), border, 3, kind)


#: for a dataset that is not in the table
OTHER = "other"
TABLE = {
    "BF-C2DL-HSC": _flat(0.645, 25),
    "BF-C2DL-MuSC": _flat(0.645, 25),
    "DIC-C2DH-HeLa": _flat(0.19, 50),
    "Fluo-C2DL-Huh7": _flat(None, 50),
    "Fluo-C2DL-MSC": About((0.3, 0.3), 50, 2, of_sequence={"02": (0.3977, 0.3977)}),
    "Fluo-N2DH-GOWT1": _flat(0.24, 50),
    "Fluo-N2DL-HeLa": _flat(0.645, 25),
    "PhC-C2DH-U373": _flat(0.65, 50),
    "PhC-C2DL-PSC": _flat(1.6, 25),
    "Fluo-N2DH-SIM+": _flat(0.125, 0, "simulated"),
    "Fluo-C3DH-A549": _stack(0.126, 1.0, 0),
    "Fluo-C3DH-A549-SIM": About(None, 0, 3, "simulated"),
    "Fluo-C3DH-H157": _stack(0.126, 0.5, 50),
    "Fluo-C3DL-MDA231": _stack(1.242, 6.0, 25),
    "Fluo-N3DH-CE": _stack(0.09, 1.0, 50),
    "Fluo-N3DH-CHO": _stack(0.202, 1.0, 50),
    "Fluo-N3DH-SIM+": _stack(0.125, 0.2, 0, "simulated"),
    "Fluo-N3DL-DRO": _stack(0.406, 2.03, 0, "lineages"),
    "Fluo-N3DL-TRIC": _stack(1.0, 1.0, 0, "lineages"),  # a cartographic projection: no size in µm
    "Fluo-N3DL-TRIF": _stack(0.38, 0.38, 0, "lineages"),
    OTHER: About(None, 0, None),
}


def about(folder: Path, name: str = "") -> About:
    """Return what is known of the dataset called `name`, by default that of the folder.

    Raises
    ------
    UserError
        If there is no such dataset.
    """
    wanted = name or folder.name
    for key, known in TABLE.items():
        if key.lower() == wanted.lower():
            return known
    raise UserError(
        f"{folder}: '{wanted}' is no dataset of the challenge that is known here. Give its name with "
        f"--dataset, one of: {', '.join(TABLE)}. With '{OTHER}', give the voxel size with --spacing."
    )
