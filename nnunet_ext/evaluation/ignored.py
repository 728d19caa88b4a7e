"""What nobody judged: the ignore label of a dataset, for the evaluation of its instances.

Instance maps have no ignore label. It is in the label maps that nnU-Net trains with, which lie beside them:
``labelsTr`` beside ``instancesTr``, under a dataset.json that says which label it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.evaluation.grids import are_placed
from nnunet_ext.images.files import ending_of, read_image
from nnunet_ext.images.image import Grid, Hints, grid_difference
from nnunet_ext.metrics.checks import BoolArray
from nnunet_ext.nnunet_files.dataset_json import read_dataset_json
from nnunet_ext.nnunet_files.hierarchy import IGNORE
from nnunet_ext.nnunet_files.reader_grid import grid_of
from nnunet_ext.nnunet_files.reading import find_reader, read_segmentation

_OPTION = "--ignored"


@dataclass(frozen=True)
class IgnoredRegion:
    """Where the label maps lie, and which label in them is not judged.

    Attributes
    ----------
    folder : Path
        With a label map per case.
    ending : str
        Of their names.
    label : int
        The ignore label.
    """

    folder: Path
    ending: str
    label: int

    def file_of(self, case: str) -> Path | None:
        """The label map of a case, if there is one."""
        file = self.folder / f"{case}{self.ending}"
        return file if file.is_file() else None

    def counted(self, case: str, shape: tuple[int, ...], grid: Grid = Grid()) -> BoolArray | None:  # noqa: B008
        """Where a case was judged (True); None where there is no label map, so that all of it counts.

        Parameters
        ----------
        case : str
            Name of the case.
        shape : tuple of int
            Of its reference instances.
        grid : Grid
            Where those lie.

        Raises
        ------
        UnusableCase
            If the label map cannot be read, or is of another shape or elsewhere.
        """
        file = self.file_of(case)
        if file is None:
            return None
        try:
            channels, place = self._read(file)
        except UserError as error:
            raise UnusableCase(str(error)) from error
        labels = channels[0]
        if labels.ndim == 3 and labels.shape[0] == 1:  # one slice, as for the reference
            labels, place = labels[0], place.plane()
        if len(channels) != 1 or labels.shape != shape:
            raise UnusableCase(
                f"{file}: shape {labels.shape}, but the reference instances, of which it says where they "
                f"were judged, have {shape}"
            )
        difference = grid_difference(place, grid, shape, shape)
        if difference and are_placed((place, grid)):
            raise UnusableCase(
                f"{file}: {difference} of the reference instances, so it does not say what to ignore"
            )
        counted: BoolArray = labels != self.label
        return counted

    def _read(self, file: Path) -> tuple[NDArray[Any], Grid]:
        """The channels of a label map and where it lies."""
        if ending_of(file):
            image = read_image(file, Hints(label=True))
            return image.pixels, image.grid
        reader = find_reader({"file_ending": self.ending}, file)  # what only nnU-Net reads: .mha, .nrrd
        channels, properties = read_segmentation(reader, file)
        return channels, grid_of(reader, file, properties)


def find_ignored(
    reference: Path, labels_folder: Path | None = None, dataset_json: Path | None = None
) -> tuple[IgnoredRegion | None, list[str]]:
    """Look for the ignore label of the dataset that reference instances belong to.

    Parameters
    ----------
    reference : Path
        Folder of reference instances, ``instancesTr`` or ``instancesTs`` of a raw dataset or any other.
    labels_folder : Path, optional
        Folder of label maps. Default: ``labelsTr`` or ``labelsTs`` beside the reference.
    dataset_json : Path, optional
        Default: in the folder above that of the label maps or of the reference, or in the former.

    Returns
    -------
    region : IgnoredRegion or None
        None if nothing says that something is ignored.
    notes : list of str
        What the user has to know if the dataset ignores something and it is not known where.

    Raises
    ------
    UserError
        If `labels_folder` or `dataset_json` is given and does not tell what is ignored.
    """
    asked = f"{_OPTION} {labels_folder}" if labels_folder else f"-djfile {dataset_json}"
    if labels_folder and not labels_folder.is_dir():
        raise UserError(f"{asked}: there is no such folder.")
    file = dataset_json or _dataset_json_near(labels_folder or reference)
    if file is None:
        if labels_folder:
            raise UserError(
                f"{asked}: no dataset.json in it or above it says which label to ignore (-djfile)."
            )
        return None, []
    try:
        content = read_dataset_json(file)
    except UserError as error:
        if labels_folder or dataset_json:
            raise
        return None, [f"Whether a part of the images is to be ignored is not known. {error}"]
    label = content["labels"].get(IGNORE)
    if label is None:
        if labels_folder:
            raise UserError(f"{asked}: {file} declares no label 'ignore', so nothing in it is to be ignored.")
        return None, []
    if not isinstance(label, int):
        raise UserError(f"{file}: the label 'ignore' is one number; got {label}.")
    return _region(reference, labels_folder, file, content, label)


def _region(
    reference: Path, labels_folder: Path | None, file: Path, content: dict[str, Any], label: int
) -> tuple[IgnoredRegion | None, list[str]]:
    folder = labels_folder or _labels_beside(reference)
    if folder is None:
        text = (
            f"{file} declares an ignore label ({label}), but there are no label maps beside {reference} that "
            f"say where: all of the images counts. Name their folder with {_OPTION}."
        )
        return None, [text]
    return IgnoredRegion(folder, content["file_ending"], label), []


def _places(folder: Path) -> list[Path]:
    """The folder as it is named, and as it really is called, where the name is a link."""
    return list(dict.fromkeys((folder.absolute(), folder.resolve())))


def _dataset_json_near(folder: Path) -> Path | None:
    candidates = [place / "dataset.json" for name in _places(folder) for place in (name.parent, name)]
    return next((file for file in candidates if file.is_file()), None)


def _labels_beside(reference: Path) -> Path | None:
    """``labelsTs`` for ``instancesTs``, if it is there."""
    for place in _places(reference):
        beside = place.with_name(place.name.replace("instances", "labels", 1))
        if place.name.startswith("instances") and beside.is_dir():
            return beside
    return None
