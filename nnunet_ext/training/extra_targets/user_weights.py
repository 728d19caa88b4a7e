"""Weights that the user brings along: ``nnUNet_raw/DATASET/weightsTr/CASE.ending`` beside ``labelsTr``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UserError, some_of
from nnunet_ext.nnunet_files.folders import environment_folder
from nnunet_ext.nnunet_files.raw_dataset import RawDataset
from nnunet_ext.nnunet_files.reading import read_segmentation
from nnunet_ext.training.extra_targets.target import Case, ExtraTarget

_FOLDER = "weightsTr"


@dataclass(frozen=True)
class UserWeights(ExtraTarget):
    """A weight for every voxel, read from files; 0 outside of the image, whatever unit the weights are in.

    Parameters
    ----------
    folder : Path
        Holds ``CASE`` + `file_ending` for every training case: one channel on the voxels of the label file, 0
        or more, finite.
    file_ending : str
        As in dataset.json, such as ``".nii.gz"``.
    reader : type
        nnU-Net's reader of this dataset, ``plans_manager.image_reader_writer_class``.
    transpose : tuple of int
        ``plans_manager.transpose_forward``.
    """

    folder: Path
    file_ending: str
    reader: type
    transpose: tuple[int, ...] = (0, 1, 2)

    from_label = False

    @property
    def name(self) -> str:
        """The folder's name."""
        return _FOLDER

    def compute(self, labels: NDArray[Any], spacing: Sequence[float]) -> NDArray[np.float32]:
        """Not possible: the weights do not follow from the label."""
        raise NotImplementedError("the user's weights are read once per case")

    def path(self, identifier: str) -> Path:
        """The file of a case."""
        return self.folder / f"{identifier}{self.file_ending}"

    def source_files(self, identifier: str) -> Sequence[Path]:
        """The file of the case."""
        return (self.path(identifier),)

    def problems(self, identifiers: Sequence[str]) -> list[str]:
        """Name the cases without file, and files of no case, which may be meant for them."""
        if not self.folder.is_dir():
            return [
                f"There is no folder {self.folder}. This trainer takes its weights from there: one "
                f"CASE{self.file_ending} per training case, beside labelsTr."
            ]
        missing = sorted(case for case in identifiers if not self.path(case).is_file())
        if not missing:
            return []
        known = {self.path(case).name for case in identifiers}
        unexpected = sorted(path.name for path in self.folder.iterdir() if path.name not in known)
        hint = f" Of no case are: {some_of(unexpected)}." if unexpected else ""
        return [
            f"{self.folder} has no {self.file_ending} file for {len(missing)} of {len(identifiers)} cases: "
            f"{some_of(missing)}.{hint}"
        ]

    def compute_case(self, case: Case) -> NDArray[np.float32]:
        """Read, check, crop and resample the weights, as nnU-Net did the label (linear between voxels)."""
        from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

        weights = self._read(case)
        box = (slice(None), *(slice(*edges) for edges in case.properties["bbox_used_for_cropping"]))
        spacing = [case.properties["spacing"][axis] for axis in self.transpose]
        # for a 2D network slices stay where they are
        wanted = [*spacing[: 3 - len(case.spacing)], *case.spacing]
        linear = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
        return resample_data_or_seg_to_shape(weights[box], case.labels.shape, spacing, wanted, **linear)

    def _read(self, case: Case) -> NDArray[np.float32]:
        """(1, z, y, x) weights, checked; axes in the order of the preprocessed data."""
        path = self.path(case.identifier)
        weights, properties = read_segmentation(self.reader(), path)
        shape = case.properties["shape_before_cropping"]
        expected = (1, *(shape[self.transpose.index(axis)] for axis in range(3)))
        if weights.shape != expected:
            raise UserError(f"{path}: (channels, z, y, x) is {expected} for this case; got {weights.shape}")
        _check_geometry(path, properties, case.properties)
        if not np.isfinite(weights).all():
            raise UserError(f"{path}: weights are finite; got NaN or infinity")
        if weights.min() < 0:
            raise UserError(f"{path}: weights are 0 or more; got {weights.min():g}")
        if not weights.any():
            raise UserError(
                f"{path}: every weight is 0, so nothing of this case would be learned. The right file? "
                "Give it weights, or leave the case out of the split."
            )
        return weights.transpose([0, *(axis + 1 for axis in self.transpose)])


def user_weights(plans_manager: Any, dataset_json: Mapping[str, Any]) -> UserWeights:
    """The user's weights of a dataset, in ``weightsTr`` beside its ``labelsTr``."""
    raw = environment_folder("nnUNet_raw") or Path("$nnUNet_raw (not set)")  # read only where maps are made
    return UserWeights(
        raw / plans_manager.dataset_name / _FOLDER,
        dataset_json["file_ending"],
        plans_manager.image_reader_writer_class,
        tuple(plans_manager.transpose_forward),
    )


def weights_of_raw_case(raw: RawDataset, case: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the user's weights of a raw case whose labels have this `shape`, (y, x) or (z, y, x).

    Raises
    ------
    UserError
        If there is no weight file, or it does not fit the label.
    """
    target = UserWeights(raw.folder / _FOLDER, raw.content["file_ending"], type(raw.reader))
    problems = target.problems([case])
    if problems:
        raise UserError("\n".join(problems))
    _, properties = read_segmentation(raw.reader, Path(raw.files[case]["label"]))
    whole = (1,) * (3 - len(shape)) + shape
    properties |= {
        "shape_before_cropping": whole,
        "bbox_used_for_cropping": [(0, edge) for edge in whole],
    }
    no_labels = np.zeros(whole, np.uint8)  # the weights depend on their shape alone
    spacing = tuple(properties["spacing"])
    return target.compute_case(Case(case, no_labels, spacing, properties)).reshape(shape)


def _check_geometry(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Compare what nnU-Net's reader says about a weight file with what it said about the case."""
    spacing, wanted = found["spacing"], expected["spacing"]
    if path.suffix not in (".tif", ".tiff") and not np.allclose(spacing, wanted, rtol=1e-3):
        raise UserError(f"{path}: the spacing is {list(wanted)} for this case; got {list(spacing)}")
    axes = [each["sitk_stuff"]["direction"] for each in (found, expected) if "sitk_stuff" in each]
    if len(axes) == 2 and not np.allclose(axes[0], axes[1], atol=1e-3):
        raise UserError(f"{path}: the axes point to {list(axes[1])} for this case; got {list(axes[0])}")
