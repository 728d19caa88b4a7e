"""A dataset in ``nnUNet_raw``: its classes, and its training cases read with nnU-Net's own reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.images.image import grid_difference, unplaced_beside
from nnunet_ext.nnunet_files.case_files import list_folder
from nnunet_ext.nnunet_files.dataset_json import read_classes, read_dataset_json
from nnunet_ext.nnunet_files.folders import dataset_folder
from nnunet_ext.nnunet_files.reading import find_reader, read_channels, read_labels


@dataclass(frozen=True)
class RawCase:
    """An image with its label.

    Attributes
    ----------
    channels : ndarray
        (channels, y, x) or (channels, z, y, x).
    labels : ndarray
        The same without channels.
    spacing : tuple of float
        In the order of the axes: the image's, with which nnU-Net plans; ones where it states none.
    is_stated : bool
        Whether it states one.
    note : str
        How the grid that the label file states differs from that of the image, or "".
    """

    channels: NDArray[Any]
    labels: NDArray[Any]
    spacing: tuple[float, ...]
    is_stated: bool
    note: str


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
    channel_names : list of str
        In the order of the channels.
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
        self.channel_names = [str(name) for name in self.content.get("channel_names", {"0": "0"}).values()]
        self.files: dict[str, dict[str, Any]] = dict(sorted({**self._without_image(), **files}.items()))
        self.reader = find_reader(self.content, Path(next(iter(files.values()))["label"]))

    def _without_image(self) -> dict[str, dict[str, Any]]:
        """Every label with the image it should have: nnU-Net passes over those that have none."""
        if "dataset" in self.content:  # it lists the cases
            return {}
        ending = self.content["file_ending"]
        labels = [path for path in list_folder(self.folder / "labelsTr") if path.name.endswith(ending)]
        cases = {path.name.removesuffix(ending): path for path in labels}
        return {
            case: {"images": [str(self.folder / "imagesTr" / f"{case}_0000{ending}")], "label": str(label)}
            for case, label in cases.items()
        }

    def check(self, cases: Sequence[str]) -> None:
        """Raise a `UserError` that names the cases which are none of this dataset."""
        unknown = [case for case in cases if case not in self.files]
        if unknown:
            known = sorted(self.files)
            some = ", ".join(known[:3]) + (f" … {known[-1]}" if len(known) > 3 else "")
            raise UserError(f"{self.folder} has no training case {', '.join(unknown)}. It has: {some}.")

    def read(self, case: str) -> RawCase:
        """Read a case.

        Raises
        ------
        UnusableCase
            If a file cannot be read, the two do not fit, channels are missing, or a label is not in
            dataset.json.
        """
        label, images = Path(self.files[case]["label"]), [Path(file) for file in self.files[case]["images"]]
        labels, stated = read_labels(self.reader, label, self.classes.reference_labels)
        channels, grid = read_channels(self.reader, images)
        if labels.ndim == 2 and channels.shape[1] == 1:
            channels, grid = channels[:, 0], grid.plane()
        if channels.shape[1:] != labels.shape:
            image = channels.shape[1:]
            raise UnusableCase(f"{label}: {labels.shape} voxels, but those of the image are {image}")
        if len(channels) != len(self.channel_names):
            raise UnusableCase(
                f"{images[0]}: {len(channels)} channels in {len(images)} files, but dataset.json names "
                f"{len(self.channel_names)}"
            )
        note = grid_difference(stated, grid, labels.shape, labels.shape)
        if note:
            note = f"{label}: states another grid than the image ({note}); nnU-Net takes the image's"
        elif unplaced_beside(stated, grid):
            note = f"{label}: has neither sform nor qform; nnU-Net takes the grid of the image"
        spacing = grid.spacing or (1.0,) * labels.ndim
        return RawCase(channels, labels, spacing, grid.spacing is not None, note)
