"""A dataset in ``nnUNet_raw``: its classes, and its training cases read with nnU-Net's own reader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.nnunet_files.dataset_json import read_classes, read_dataset_json
from nnunet_ext.nnunet_files.folders import dataset_folder
from nnunet_ext.nnunet_files.reading import find_reader, read_channels, read_labels


class RawDataset:
    """The training cases of a raw dataset.

    Parameters
    ----------
    dataset : str
        Id or name.

    Attributes
    ----------
    folder : Path
        ``…/DatasetXXX_Name``.
    content : dict
        Its dataset.json.
    classes : nnunet_ext.nnunet_files.dataset_json.Classes
        What that says about the labels.
    files : dict
        Case -> ``images`` (one file per channel) and ``label``.

    Raises
    ------
    UserError
        If the dataset is not there or not in nnU-Net's raw format.
    """

    def __init__(self, dataset: str) -> None:
        from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

        remedy = "Give -d the id of a dataset in nnU-Net's raw format."
        self.folder = dataset_folder(dataset, "nnUNet_raw", remedy)
        self.content = read_dataset_json(self.folder / "dataset.json")
        self.classes = read_classes(self.content, self.folder / "dataset.json")
        try:
            files = get_filenames_of_train_images_and_targets(str(self.folder), self.content)
        except FileNotFoundError as error:
            raise UserError(f"There is no folder {error.filename}.") from error
        if not files:
            raise UserError(f"No file ending in {self.content['file_ending']} in {self.folder / 'imagesTr'}.")
        self.files: dict[str, dict[str, Any]] = files
        self.reader = find_reader(self.content, Path(next(iter(files.values()))["label"]))

    def check(self, cases: Sequence[str]) -> None:
        """Raise a `UserError` that names the cases which are none of this dataset."""
        unknown = [case for case in cases if case not in self.files]
        if unknown:
            known = sorted(self.files)
            some = ", ".join(known[:3]) + (f" … {known[-1]}" if len(known) > 3 else "")
            raise UserError(f"{self.folder} has no training case {', '.join(unknown)}. It has: {some}.")

    def read(self, case: str) -> tuple[NDArray[Any], NDArray[Any], tuple[float, ...]]:
        """First channel and labels, both (y, x) or (z, y, x), and spacing; errors as in `read_channels`."""
        channels, labels, spacing = self.read_channels(case)
        return channels[0], labels, spacing

    def read_channels(self, case: str) -> tuple[NDArray[Any], NDArray[Any], tuple[float, ...]]:
        """All channels, (channels, y, x) or (channels, z, y, x), labels without channels, and spacing.

        The spacing is the image's, with which nnU-Net plans; ones where there is none, as nnU-Net takes it.

        Raises
        ------
        UnusableCase
            If a file cannot be read, the two do not fit, or a label is not in dataset.json.
        """
        label, images = Path(self.files[case]["label"]), [Path(file) for file in self.files[case]["images"]]
        labels, _ = read_labels(self.reader, label, self.classes.reference_labels)
        channels, grid = read_channels(self.reader, images)
        if labels.ndim == 2:
            channels, grid = channels[:, 0], grid.plane()
        if channels.shape[1:] != labels.shape:
            image = channels.shape[1:]
            raise UnusableCase(f"{label}: {labels.shape} voxels, but those of the image are {image}")
        return channels, labels, grid.spacing or (1.0,) * labels.ndim
