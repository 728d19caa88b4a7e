"""A dataset of nested cells in nnU-Net's raw format, its classes as labels with a nesting or as regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_ext.data.nested import LABELS, nested_cells
from nnunet_ext.data.raw_format import Sample, write_dataset

NESTING: dict[str, Any] = {"cell": {"nucleus": {}}}
REGIONS = {"background": 0, "cell": [1, 2], "nucleus": [2]}


def write_nested_dataset(
    folder: str | Path,
    training: int = 24,
    test: int = 12,
    shape: Sequence[int] = (256, 256),
    cells: int = 14,
    seed: int = 0,
    regions: bool = False,
) -> None:
    """Write a dataset of `nested_cells` in nnU-Net's raw format.

    Parameters
    ----------
    folder : path
        ``DatasetXXX_Name`` inside ``nnUNet_raw``; made if missing.
    training, test : int
        Number of cases in ``imagesTr``/``labelsTr`` and ``imagesTs``/``labelsTs``.
    shape : sequence of int
        Two edges make PNG files, three make NIfTI files; images are 8 bit.
    cells : int
        Cells per image.
    seed : int
        Seed of the first case; each further case adds one.
    regions : bool
        Whether ``dataset.json`` describes nnU-Net's regions, "cell" including its nucleus, instead of labels
        with a "nesting". The files of images and labels are the same.

    Raises
    ------
    ValueError
        If an image has no room for so many cells.
    """

    def draw(number: int) -> Sample:
        image, labels = nested_cells(shape, cells, seed + number)
        return (255 * (image / 1.25).clip(0, 1)).round().astype(np.uint8), labels

    described = (
        {"labels": REGIONS, "regions_class_order": [1, 2]}
        if regions
        else {"labels": LABELS, "nesting": NESTING}
    )
    write_dataset(Path(folder), "nested", draw, training, test, len(shape), described)
