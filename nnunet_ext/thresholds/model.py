"""A multi-level model in ``nnUNet_results``: its classes, and the validation predictions of its folds."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import NotRequired, TypedDict

from nnunet_ext.errors import UserError, some_of
from nnunet_ext.files import read_json
from nnunet_ext.nnunet_files.case_files import find_files, list_folder
from nnunet_ext.nnunet_files.dataset_json import read_dataset_json
from nnunet_ext.nnunet_files.folders import dataset_folder
from nnunet_ext.nnunet_files.trained_models import model_folder
from nnunet_ext.thresholds.checkpoint import UNTUNED, Case, Checkpoint

if TYPE_CHECKING:
    from nnunet_ext.training.multilevel import MultiLevelTrainer

FINAL, BEST = "checkpoint_final.pth", "checkpoint_best.pth"


class _Plans(TypedDict):
    """What is relied on in the plans of a trained model, beside what `hierarchy_in` reads."""

    image_reader_writer: str
    label_manager: NotRequired[str]


@dataclass(frozen=True)
class Fold:
    """A fold, ``"0"`` … or ``"all"``: checkpoint, validation, and the command that makes its predictions."""

    name: str
    checkpoint: Checkpoint
    cases: list[Case]
    command: str


class TrainedModel:
    """A trained model with thresholds.

    Parameters
    ----------
    dataset : str
        Id or name.
    configuration, trainer, plans : str
        As for ``nnUNetv2_train``.

    Attributes
    ----------
    hierarchy : Hierarchy
        Its classes; `classes` are their names in the order of thresholds, chain after chain.
    places : list of slice
        Where the classes of each chain are among all.
    presets : list of list of float
        θ of each chain before any tuning.
    label_manager, reader
        nnU-Net's, of the model's plans.

    Raises
    ------
    UserError
        If there is no such model, or the trainer is no multi-level one.
    """

    def __init__(self, dataset: str, configuration: str, trainer: str, plans: str) -> None:
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        from nnunet_ext.training.device import device_option
        from nnunet_ext.training.multilevel import hierarchy_in

        family = _family(trainer)
        self._train = " ".join(
            ["nnUNetv2_train", dataset, configuration, "{}", "-tr", trainer, "-p", plans, *device_option()]
        )
        remedy = f"Train it first: {self._train.format(0)} --npz"
        results = dataset_folder(dataset, "nnUNet_results", remedy)
        self.folder = model_folder(results, trainer, plans, configuration)
        if not self.folder.is_dir():
            there = _names(path for path in results.iterdir() if path.is_dir())
            raise UserError(f"There is no {self.folder.name} in {results}; there: {there}. {remedy}")
        preprocessed = dataset_folder(dataset, "nnUNet_preprocessed", "Preprocess it first.")
        self._references = preprocessed / "gt_segmentations"
        dataset_json = read_dataset_json(self.folder / "dataset.json")
        content = read_json(self.folder / "plans.json", remedy, _Plans)
        self.file_ending = str(dataset_json["file_ending"])
        try:
            self.hierarchy = hierarchy_in(content)
        except (ValueError, UserError) as error:
            raise UserError(f"{self.folder / 'plans.json'}: {error}") from error
        self.classes = [name for chain in self.hierarchy.chains for name in chain]
        ends = np.cumsum([len(chain) for chain in self.hierarchy.chains]).tolist()
        self.places = [slice(*pair) for pair in pairwise([0, *ends])]
        self.presets = family.presets(self.hierarchy)
        try:
            manager = PlansManager(content)
            self.label_manager: Any = manager.get_label_manager(dataset_json)
            with contextlib.redirect_stdout(io.StringIO()):
                self.reader: Any = manager.image_reader_writer_class()
        except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(f"{self.folder}: nnU-Net does not accept its plans: {error}. {remedy}") from error

    def folds(self, names: Sequence[str], checkpoint: str, trust: bool = False) -> list[Fold]:
        """Find folds by name, with the checkpoint of that file name in each, which `trust` concerns.

        Raises
        ------
        UserError
            If a fold, its checkpoint, a ``.npz`` or a reference is missing.
        """
        if Path(checkpoint).stem.endswith(UNTUNED):
            raise UserError(f"-chk {checkpoint} is kept as it is. Give the checkpoint to tune.")
        return [self._fold(name, checkpoint, trust) for name in dict.fromkeys(names)]

    def _fold(self, name: str, file_name: str, trust: bool) -> Fold:
        folder, train = self.folder / f"fold_{name}", self._train.format(name)
        if not folder.is_dir():
            there = _names(self.folder.glob("fold_*"))
            raise UserError(
                f"There is no fold {name} in {self.folder}; there: {there}. Train it: {train} --npz"
            )
        checkpoint = Checkpoint(folder / file_name, trust)
        if len(checkpoint.thresholds) != len(self.classes):
            raise UserError(
                f"{checkpoint.path} has {len(checkpoint.thresholds)} thresholds, but plans.json has "
                f"{len(self.classes)} classes: these do not belong together."
            )
        command = f"{train} --val{' --val_best' if file_name == BEST else ''} --npz"
        files = self._files(folder / "validation", command)
        return Fold(name, checkpoint, [checkpoint.case(*pair) for pair in files], command)

    def _files(self, folder: Path, command: str) -> list[tuple[Path, Path]]:
        """Reference and ``.npz`` of every case of a validation."""
        found = folder.is_dir()
        predictions = find_files(folder, (".npz",), "prediction") if found else {}
        names = [path.name for path in list_folder(folder)] if found else []
        segmentations = [name for name in names if name.endswith(self.file_ending)]
        without = [name for name in segmentations if name.removesuffix(self.file_ending) not in predictions]
        if without or not predictions:
            what = some_of(without, 1) or "any case"
            raise UserError(f"{folder} has no probabilities (.npz) of {what}. Make them: {command}")
        references = [self._references / f"{case}{self.file_ending}" for case in predictions]
        missing = [reference for reference in references if not reference.is_file()]
        if missing:
            raise UserError(
                f"There is no reference {missing[0]} for {folder} ({len(missing)} missing). "
                "Preprocess the dataset again, or remove predictions of earlier cases."
            )
        return list(zip(references, predictions.values(), strict=True))


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(sorted(path.name for path in paths)) or "none"


def _family(trainer: str) -> type[MultiLevelTrainer]:
    """The class of a multi-level trainer."""
    from nnunet_ext.trainers import FAMILIES, family_of, get_trainer
    from nnunet_ext.training.multilevel import MultiLevelTrainer

    family = get_trainer(trainer) if family_of(trainer) else None
    if family is None or not issubclass(family, MultiLevelTrainer):
        known = [name for name in FAMILIES if issubclass(get_trainer(name), MultiLevelTrainer)]
        raise UserError(
            f"-tr {trainer}: this trainer has no thresholds to tune. Trainers that have: {', '.join(known)}."
        )
    return family
