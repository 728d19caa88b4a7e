"""Folders of references, predictions of several models and images, read one case at a time.

With the checks of the evaluation: what it refuses is not drawn either.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nnunet_ext.arrays.checks import check_spacing
from nnunet_ext.errors import UnusableCase, UserError, some_of
from nnunet_ext.evaluation.case_images import ImageFolder
from nnunet_ext.evaluation.case_view import CaseView, Kind
from nnunet_ext.evaluation.classes import label_maps
from nnunet_ext.evaluation.folders import check_folders
from nnunet_ext.evaluation.grids import are_placed, check_shapes, compare_grids
from nnunet_ext.evaluation.ignored import find_ignored
from nnunet_ext.evaluation.instance_evaluator import check_orientation, read_instance_map
from nnunet_ext.evaluation.instances import instance_maps
from nnunet_ext.evaluation.wrong_folder import refuse_for_classes, refuse_for_instances
from nnunet_ext.images.image import Grid
from nnunet_ext.metrics.checks import BoolArray
from nnunet_ext.nnunet_files.dataset_json import Classes, find_dataset_json, read_classes, read_dataset_json
from nnunet_ext.nnunet_files.reading import find_reader, read_labels

PathLike = str | os.PathLike[str]
Maps = tuple[NDArray[Any], Grid]


def view_of(
    case: str,
    reference_folder: PathLike,
    predictions: Mapping[str, PathLike],
    images_folder: PathLike | None = None,
    *,
    kind: Kind = "classes",
    dataset_json: PathLike | None = None,
    ignored: PathLike | None = None,
    spacing: Sequence[float] | None = None,
    ignore_headers: bool = False,
) -> CaseView:
    """Read one case; for several, `CaseFolders` looks at the folders once and has a method ``view``.

    Parameters and errors are those of `CaseFolders` and its ``view``.
    """
    return CaseFolders(
        reference_folder,
        predictions,
        images_folder,
        kind=kind,
        dataset_json=dataset_json,
        ignored=ignored,
        spacing=spacing,
        ignore_headers=ignore_headers,
    ).view(case)


class CaseFolders:
    """The cases of a reference folder, with the predictions of several models and their images.

    Parameters
    ----------
    reference_folder : path
        Label maps, or instance maps.
    predictions : mapping
        Name of a model -> folder of its predictions; at least one.
    images_folder : path, optional
        Images as nnU-Net names them (``CASE_0000.tif``), or one file per case named like it.
    kind : {"classes", "instances"}
        What the maps hold.
    dataset_json : path, optional
        As in `evaluate_folders` and `evaluate_instance_folders`.
    ignored : path, optional
        Of instances: folder of the label maps with the ignore label. Default: beside the references.
    spacing : sequence of float, optional
        In place of what the reference files state.
    ignore_headers : bool
        Compare voxel by voxel, wherever the files say that they lie.

    Raises
    ------
    UserError
        If a folder is not there, holds something else, or has no files; if the models have dataset.json
        files of different labels and `dataset_json` is not given.
    """

    def __init__(
        self,
        reference_folder: PathLike,
        predictions: Mapping[str, PathLike],
        images_folder: PathLike | None = None,
        *,
        kind: Kind = "classes",
        dataset_json: PathLike | None = None,
        ignored: PathLike | None = None,
        spacing: Sequence[float] | None = None,
        ignore_headers: bool = False,
    ) -> None:
        self.reference = Path(reference_folder)
        self.predictions = {name: Path(folder) for name, folder in predictions.items()}
        self.kind = kind
        self._spacing = tuple(spacing) if spacing else None
        self._ignore_headers = ignore_headers
        self._json = Path(dataset_json) if dataset_json else None
        _check(self.reference, self.predictions, kind)
        if kind == "instances":
            self._region, _ = find_ignored(self.reference, Path(ignored) if ignored else None, self._json)
            pairs = [instance_maps(self.reference, folder) for folder in self.predictions.values()]
        else:
            self._json = self._json or _common_json(self.reference, self.predictions)
            self._content = read_dataset_json(self._json)
            ending = self._content["file_ending"]
            references = label_maps(self.reference, ending)
            pairs = [(references, label_maps(folder, ending)) for folder in self.predictions.values()]
        self._references = pairs[0][0]
        self._predictions = {name: found for name, (_, found) in zip(self.predictions, pairs, strict=True)}
        self._images = ImageFolder(Path(images_folder)) if images_folder else None

    @property
    def cases(self) -> list[str]:
        """The cases that every model has predicted, by name."""
        return sorted(set(self._references).intersection(*self._predictions.values()))

    def view(self, case: str) -> CaseView:
        """Read and check one case.

        Raises
        ------
        UserError
            If the reference, a prediction or the image is not there.
        UnusableCase
            If a file cannot be read, has undeclared labels, another shape or lies elsewhere.
        """
        file = self._file(case, self._references, self.reference)
        files = {
            name: self._file(case, found, self.predictions[name]) for name, found in self._predictions.items()
        }
        reference, at = self._read(file, is_reference=True)
        maps = {name: self._fitting(file, (reference, at), path) for name, path in files.items()}
        names = {} if self.kind == "instances" else _class_names(self._classes)
        spacing = self._checked_spacing(file, at, reference.ndim)
        ignored = self._ignored(case, reference, at)
        image = self._image(case, reference.shape, at)
        return CaseView(case, image, reference, maps, names, spacing, self.kind, ignored)

    def _file(self, case: str, found: Mapping[str, Path], folder: Path) -> Path:
        if case not in found:
            raise UserError(f"{folder} has no case {case}. It has: {some_of(sorted(found))}.")
        return found[case]

    @cached_property
    def _classes(self) -> Classes:
        assert self._json is not None
        return read_classes(self._content, self._json)

    @cached_property
    def _reader(self) -> Any:
        """nnU-Net's, which takes 10 s to import."""
        return find_reader(self._content, next(iter(self._references.values())))

    def _read(self, file: Path, is_reference: bool = False) -> Maps:
        if self.kind == "instances":
            return read_instance_map(file)
        known = self._classes.reference_labels if is_reference else self._classes.labels
        return read_labels(self._reader, file, known)

    def _fitting(self, reference_file: Path, reference: Maps, file: Path) -> NDArray[Any]:
        """Read a prediction and check that it lies where the reference does."""
        files = reference_file, file
        prediction, predicted_at = self._read(file)
        check_shapes(files, (reference[0].shape, prediction.shape))
        grids = reference[1], predicted_at
        compare_grids(files, grids, prediction.shape, self._ignore_headers)
        if self.kind == "instances" and not self._ignore_headers and not are_placed(grids):
            check_orientation(files, (reference[0], prediction))
        return prediction

    def _ignored(self, case: str, reference: NDArray[Any], at: Grid) -> BoolArray | None:
        if self.kind == "classes":
            label = self._classes.ignore_label
            return None if label is None else reference == label
        if self._region is None:
            return None
        counted = self._region.counted(case, reference.shape, Grid() if self._ignore_headers else at)
        return None if counted is None else ~counted

    def _image(self, case: str, shape: tuple[int, ...], at: Grid) -> NDArray[Any] | None:
        if self._images is None:
            return None
        place = Grid() if self._ignore_headers else at
        if self.kind == "instances":
            return self._images.read(case, shape, place)
        return self._images.read_as_nnunet(case, shape, place, self._reader, self._content)

    def _checked_spacing(self, file: Path, at: Grid, ndim: int) -> tuple[float, ...] | None:
        spacing = self._spacing or at.spacing
        if spacing is None:
            return None
        try:
            return check_spacing(spacing, ndim)
        except ValueError as error:
            raise UnusableCase(f"{file}: {error}") from error


def _check(reference: Path, predictions: Mapping[str, Path], kind: Kind) -> None:
    """Refuse folders that are not there, are the same, or hold something else."""
    if not predictions:
        raise UserError("No folder of predictions is given.")
    refuse = refuse_for_instances if kind == "instances" else refuse_for_classes
    seen: dict[Path, str] = {}
    for name, folder in predictions.items():
        check_folders(reference, folder)
        refuse(reference, folder)
        other = seen.setdefault(folder.resolve(), name)
        if other != name:
            raise UserError(f"{other} and {name} are one folder, {folder}.")


def _common_json(reference: Path, predictions: Mapping[str, Path]) -> Path:
    """The dataset.json of the models; a `UserError` if their labels differ."""
    files = {name: find_dataset_json(folder, reference) for name, folder in predictions.items()}
    (first, chosen), *others = files.items()
    labels = read_dataset_json(chosen)["labels"]
    for name, file in others:
        if file != chosen and read_dataset_json(file)["labels"] != labels:
            raise UserError(
                f"{first} and {name} have different labels, {chosen} and {file}. Say with -djfile which "
                "dataset.json counts."
            )
    return chosen


def _class_names(classes: Classes) -> dict[int | tuple[int, ...], str]:
    return {
        labels[0] if len(labels) == 1 else labels: classes.names[key] or key
        for key, labels in classes.regions.items()
    }
