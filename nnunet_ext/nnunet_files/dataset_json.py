"""What dataset.json says about the classes to evaluate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from nnunet_ext.errors import UserError
from nnunet_ext.files import read_json
from nnunet_ext.nnunet_files.hierarchy import IGNORE

_Label = Annotated[int, Field(ge=0, le=32_767)]  # nnU-Net preprocesses labels to int16


class _Files(TypedDict):
    images: list[str]
    label: str


class _TouchingRadius(TypedDict):
    radius: Annotated[float, Field(ge=0)]
    unit: Literal["voxels", "spacing"]


class DatasetJson(TypedDict):
    """What nnU-Net and we rely on in a dataset.json; `nesting` is looked at by `hierarchy.hierarchy_of`."""

    labels: dict[str, _Label | list[_Label]]
    file_ending: str
    channel_names: NotRequired[dict[str, str]]
    regions_class_order: NotRequired[list[int] | None]
    overwrite_image_reader_writer: NotRequired[str | None]
    dataset: NotRequired[dict[str, _Files]]
    touching_radius: NotRequired[_TouchingRadius]


@dataclass(frozen=True)
class Classes:
    """The foreground classes or regions, and the label that is not counted.

    Attributes
    ----------
    regions : dict
        Key in the summary, as nnU-Net writes it (``"1"``, ``"(1, 2)"``), to the labels it consists of.
    names : dict
        The same keys to the names in dataset.json.
    labels : tuple of int
        Every label a segmentation may contain, background included, the ignore label not.
    ignore_label : int or None
        Label of the reference that marks what is not counted.
    """

    regions: dict[str, tuple[int, ...]]
    names: dict[str, str]
    labels: tuple[int, ...]
    ignore_label: int | None

    @property
    def reference_labels(self) -> tuple[int, ...]:
        """Every label a reference may contain: `labels`, and the ignore label if there is one."""
        return self.labels if self.ignore_label is None else (*self.labels, self.ignore_label)

    def foreground(self, segmentation: NDArray[Any], key: str) -> NDArray[np.bool_]:
        """Boolean map of one class or region of a label map of any shape."""
        region = self.regions[key]
        return segmentation == region[0] if len(region) == 1 else np.isin(segmentation, region)


def find_dataset_json(prediction_folder: Path, reference_folder: Path) -> Path:
    """The first dataset.json in the prediction folder, the reference folder, or the latter's parent."""
    folders = (prediction_folder, reference_folder, reference_folder.resolve().parent)
    for folder in folders:
        if (folder / "dataset.json").is_file():
            return folder / "dataset.json"
    places = ", ".join(dict.fromkeys(str(folder) for folder in folders))
    raise UserError(f"No dataset.json in {places}. Name one with -djfile.")


def read_dataset_json(path: Path) -> dict[str, Any]:
    """Read a dataset.json; an unreadable one, or one that is no `DatasetJson`, is a `UserError`."""
    if not path.is_file():
        raise UserError(f"There is no file {path}. Name the dataset.json of the dataset with -djfile.")
    content: dict[str, Any] = read_json(
        path, "Expected the dataset.json of an nnU-Net v2 dataset.", DatasetJson
    )
    return content


def read_classes(dataset_json: dict[str, Any], path: Path) -> Classes:
    """Interpret the labels of a dataset.json as nnU-Net's own label manager does."""
    from nnunetv2.evaluation.evaluate_predictions import label_or_region_to_key
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    label_dict = dataset_json["labels"]
    try:
        manager = LabelManager(label_dict, dataset_json.get("regions_class_order"))
        foreground = manager.foreground_regions if manager.has_regions else manager.foreground_labels
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"nnU-Net does not accept the labels of {path}: {error}") from error
    regions, names = {}, {}
    for item in foreground:
        labels = tuple(int(label) for label in item) if isinstance(item, tuple) else (int(item),)
        key = label_or_region_to_key(labels if isinstance(item, tuple) else labels[0])
        regions[key] = labels
        names[key] = _name(label_dict, labels)
    known = tuple(int(label) for label in manager.all_labels)
    return Classes(regions, names, known, manager.ignore_label)


def _name(label_dict: dict[str, Any], labels: tuple[int, ...]) -> str:
    for name, value in label_dict.items():
        values = value if isinstance(value, list | tuple) else [value]
        if name != IGNORE and [int(label) for label in values] == list(labels):
            return name
    return ""
