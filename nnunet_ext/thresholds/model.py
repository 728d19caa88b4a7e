"""A multi-level model in ``nnUNet_results``: its classes, and the validation predictions of its folds."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.folders import Files
from nnunet_ext.files import read_json
from nnunet_ext.nnunet_files.folders import dataset_folder
from nnunet_ext.thresholds.checkpoint import UNTUNED, Checkpoint

if TYPE_CHECKING:
    from nnunet_ext.training.multilevel import MultiLevelTrainer

FINAL, BEST = "checkpoint_final.pth", "checkpoint_best.pth"


@dataclass(frozen=True)
class Fold:
    """One fold of a model.

    Attributes
    ----------
    name : str
        ``"0"`` … or ``"all"``.
    checkpoint : Checkpoint
        What will predict with the tuned thresholds.
    files : list of (Path, Path)
        Reference, and ``.npz`` of its prediction, of every validation case.
    """

    name: str
    checkpoint: Checkpoint
    files: list[Files]


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
        Its classes.
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

        from nnunet_ext.training.multilevel import hierarchy_in

        family = _family(trainer)
        self._train = f"nnUNetv2_train {dataset} {configuration} {{fold}} -tr {trainer} -p {plans}"
        results = dataset_folder(dataset, "nnUNet_results", f"Train it first: {self.command('0')}")
        self.folder = results / f"{trainer}__{plans}__{configuration}"
        if not self.folder.is_dir():
            there = ", ".join(sorted(path.name for path in results.iterdir() if path.is_dir())) or "none"
            raise UserError(
                f"There is no {self.folder.name} in {results}; there: {there}. "
                f"Train it first: {self.command('0')}"
            )
        self._references = (
            dataset_folder(dataset, "nnUNet_preprocessed", "Preprocess it first.") / "gt_segmentations"
        )
        self._content = read_json(self.folder / "dataset.json")
        plans_content = read_json(self.folder / "plans.json")
        try:
            self.hierarchy = hierarchy_in(plans_content)
        except ValueError as error:
            raise UserError(f"{self.folder / 'plans.json'}: {error}") from error
        self.presets = family.presets(self.hierarchy)
        manager = PlansManager(plans_content)
        self.label_manager: Any = manager.get_label_manager(self._content)
        with contextlib.redirect_stdout(io.StringIO()):
            self.reader: Any = manager.image_reader_writer_class()

    @property
    def file_ending(self) -> str:
        """Of segmentations."""
        return str(self._content["file_ending"])

    @property
    def classes(self) -> list[str]:
        """Names in the order of thresholds: chain after chain."""
        return [name for chain in self.hierarchy.chains for name in chain]

    @property
    def lengths(self) -> list[int]:
        """Levels of each chain."""
        return [len(chain) for chain in self.hierarchy.chains]

    def command(self, fold: str) -> str:
        """What trains a fold."""
        return f"{self._train.format(fold=fold)} --npz"

    def validation_command(self, fold: str, checkpoint: str = FINAL) -> str:
        """What makes a fold's validation predictions again, with that checkpoint."""
        best = " --val_best" if checkpoint == BEST else ""
        return f"{self._train.format(fold=fold)} --val{best} --npz"

    def folds(self, names: Sequence[str], checkpoint: str) -> list[Fold]:
        """Find the folds.

        Parameters
        ----------
        names : sequence of str
            ``"0"`` …, ``"all"``.
        checkpoint : str
            File name in each fold's folder.

        Raises
        ------
        UserError
            If a fold, its checkpoint, a ``.npz`` or a reference is missing.
        """
        if Path(checkpoint).stem.endswith(UNTUNED):
            raise UserError(f"-chk {checkpoint} is kept as it is. Give the checkpoint to tune.")
        return [self._fold(name, checkpoint) for name in dict.fromkeys(names)]

    def _fold(self, name: str, checkpoint: str) -> Fold:
        folder = self.folder / f"fold_{name}"
        if not folder.is_dir():
            there = ", ".join(sorted(path.name for path in self.folder.glob("fold_*"))) or "none"
            raise UserError(
                f"There is no fold {name} in {self.folder}; there: {there}. Train it: {self.command(name)}"
            )
        opened = Checkpoint(folder / checkpoint)
        if len(opened.thresholds) != sum(self.lengths):
            raise UserError(
                f"{opened.path} has {len(opened.thresholds)} thresholds, but plans.json has "
                f"{sum(self.lengths)} classes: these do not belong together."
            )
        predictions = self._predictions(folder / "validation", self.validation_command(name, checkpoint))
        references = [self._references / f"{file.stem}{self.file_ending}" for file in predictions]
        missing = [reference for reference in references if not reference.is_file()]
        if missing:
            raise UserError(
                f"There is no reference {missing[0]} for {folder / 'validation'} ({len(missing)} missing). "
                "Preprocess the dataset again, or remove predictions of earlier cases."
            )
        return Fold(name, opened, list(zip(references, predictions, strict=True)))

    def _predictions(self, folder: Path, remedy: str) -> list[Path]:
        predictions = sorted(folder.glob("*.npz"))
        segmentations = sorted(folder.glob(f"*{self.file_ending}"))
        names = {file.stem for file in predictions}
        without = [path for path in segmentations if path.name.removesuffix(self.file_ending) not in names]
        if predictions and not without:
            return predictions
        what = f"{without[0].name} and {len(without) - 1} more" if len(without) > 1 else "any case"
        raise UserError(
            f"{folder} has no probabilities (.npz) of {what if len(without) != 1 else without[0].name}. "
            f"Make them: {remedy}"
        )


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
