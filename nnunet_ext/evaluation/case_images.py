"""The image of a case, to be shown below its labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UnusableCase, UserError, some_of
from nnunet_ext.evaluation.grids import are_placed
from nnunet_ext.images.files import IMAGE_ENDINGS, read_image
from nnunet_ext.images.image import Grid, grid_difference
from nnunet_ext.nnunet_files.case_files import ending_in, list_folder
from nnunet_ext.nnunet_files.reading import read_channels

_RGB = ["R", "G", "B"]


@dataclass(frozen=True)
class ImageFolder:
    """A folder of images: ``CASE_0000.tif`` and further channels, or ``CASE.tif``.

    Attributes
    ----------
    folder : Path
        The folder.
    """

    folder: Path

    def read_as_nnunet(
        self, case: str, shape: tuple[int, ...], at: Grid, reader: Any, dataset_json: dict[str, Any]
    ) -> NDArray[Any]:
        """Read an image with nnU-Net's reader of the dataset, which turns it as it turns the labels."""
        files = self._files(case, [dataset_json["file_ending"]])
        channels, grid = read_channels(reader, files)
        names = [str(name).upper() for name in dataset_json.get("channel_names", {}).values()]
        return _fitting(files[0], channels, grid, shape, at, names == _RGB)

    def read(self, case: str, shape: tuple[int, ...], at: Grid) -> NDArray[Any]:
        """Read an image of any known format, as the instance maps are read.

        Parameters
        ----------
        case : str
            Its name.
        shape : tuple of int
            Of the reference.
        at : Grid
            Where that lies; empty to look only at the shapes.

        Returns
        -------
        ndarray
            As in `CaseView`: the first channel, or the three of a flat colour image.

        Raises
        ------
        UserError
            If there is none.
        UnusableCase
            If it cannot be read, or does not lie where the reference does.
        """
        files = self._files(case, sorted(IMAGE_ENDINGS))
        try:
            image = read_image(files[0])
        except UserError as error:
            raise UnusableCase(str(error)) from error
        pixels = image.pixels
        is_colour = len(pixels) == 3 and pixels.dtype == np.uint8 and len(files) == 1
        return _fitting(files[0], pixels, image.grid, shape, at, is_colour)

    def _files(self, case: str, endings: Sequence[str]) -> list[Path]:
        """The files of the channels, in order, or the one file of the case."""
        if not self.folder.is_dir():
            raise UserError(f"There is no folder {self.folder}.")
        found = {}
        for path in list_folder(self.folder):
            ending = ending_in(path.name, endings)
            if ending:
                found[path.name[: -len(ending)]] = path
        channel = re.compile(f"{re.escape(case)}_[0-9]{{4}}")
        channels = [path for name, path in found.items() if channel.fullmatch(name)]
        if channels or case in found:
            return channels or [found[case]]
        there = some_of([path.name for path in found.values()], 3) or f"no file ending in {some_of(endings)}"
        raise UserError(f"{self.folder} has no image of the case {case}. It has: {there}.")


def _fitting(
    file: Path, channels: NDArray[Any], grid: Grid, shape: tuple[int, ...], at: Grid, is_colour: bool
) -> NDArray[Any]:
    """Check the shape and the place of an image, and choose what is shown of it."""
    if channels.ndim == 4 and channels.shape[1] == 1 and len(shape) == 2:
        channels, grid = channels[:, 0], grid.plane()
    if channels.shape[1:] != shape:
        raise UnusableCase(f"{file}: shape {channels.shape[1:]}, but the reference has {shape}")
    difference = grid_difference(grid, at, shape, shape)
    if difference and are_placed((grid, at)):
        raise UnusableCase(
            f"{file}: {difference} in the reference, so the two lie in different places. If only the headers "
            "are wrong, --ignore-headers takes them voxel by voxel"
        )
    return np.moveaxis(channels, 0, -1) if is_colour and len(shape) == 2 else channels[0]
