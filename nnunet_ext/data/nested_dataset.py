"""A dataset of nested cells in nnU-Net's raw format, its classes as labels with a nesting or as regions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.data.nested import LABELS, nested_cells
from nnunet_ext.files import write_texts

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
    folder = Path(folder)
    ending = ".png" if len(shape) == 2 else ".nii.gz"
    for number in range(training + test):
        split = "Tr" if number < training else "Ts"
        image, labels = nested_cells(shape, cells, seed + number)
        grey = (255 * (image / 1.25).clip(0, 1)).round().astype(np.uint8)
        for kind, array, suffix in (("images", grey, "_0000"), ("labels", labels, "")):
            (folder / f"{kind}{split}").mkdir(parents=True, exist_ok=True)
            _write(folder / f"{kind}{split}" / f"nested_{number:03d}{suffix}{ending}", array)
    described = (
        {"labels": REGIONS, "regions_class_order": [1, 2]}
        if regions
        else {"labels": LABELS, "nesting": NESTING}
    )
    dataset = {"channel_names": {"0": "grey"}, **described, "numTraining": training, "file_ending": ending}
    write_texts({folder / "dataset.json": json.dumps(dataset, indent=2) + "\n"})


def _write(path: Path, array: NDArray[Any]) -> None:
    if array.ndim == 2:
        from skimage.io import imsave

        imsave(path, array, check_contrast=False)
    else:
        from nnunet_ext.images import nifti
        from nnunet_ext.images.image import Grid

        nifti.write(path, array, Grid())
