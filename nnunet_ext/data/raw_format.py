"""Synthetic samples in nnU-Net's raw format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.files import write_json

Sample = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def write_dataset(
    folder: Path,
    name: str,
    draw: Callable[[int], Sample],
    training: int,
    test: int,
    dimension: int,
    described: Mapping[str, Any],
) -> None:
    """Write samples, then ``dataset.json``.

    Parameters
    ----------
    folder : Path
        ``DatasetXXX_Name`` inside ``nnUNet_raw``; made if missing.
    name : str
        What the cases are called, before their number.
    draw : callable
        Number of a case -> image and labels.
    training, test : int
        Number of cases in ``imagesTr``/``labelsTr`` and ``imagesTs``/``labelsTs``.
    dimension : int
        2 makes PNG files, 3 NIfTI files.
    described : mapping
        Labels and what else ``dataset.json`` says of them.
    """
    ending = ".png" if dimension == 2 else ".nii.gz"
    for number in range(training + test):
        split = "Tr" if number < training else "Ts"
        for kind, array, suffix in zip(("images", "labels"), draw(number), ("_0000", ""), strict=True):
            (folder / f"{kind}{split}").mkdir(parents=True, exist_ok=True)
            _write(folder / f"{kind}{split}" / f"{name}_{number:03d}{suffix}{ending}", array)
    dataset = {"channel_names": {"0": "grey"}, **described, "numTraining": training, "file_ending": ending}
    write_json(folder / "dataset.json", dataset)


def _write(path: Path, array: NDArray[Any]) -> None:
    if array.ndim == 2:
        from skimage.io import imsave

        imsave(path, array, check_contrast=False)
    else:
        from nnunet_ext.images import nifti
        from nnunet_ext.images.image import Grid

        nifti.write(path, array, Grid())
