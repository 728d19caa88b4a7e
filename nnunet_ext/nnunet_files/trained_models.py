"""Trained models of a dataset, as nnU-Net names their folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nnunet_ext.nnunet_files.checkpoint import CHECKPOINTS
from nnunet_ext.nnunet_files.folders import environment_folder


@dataclass(frozen=True)
class Model:
    """A model with folds that are trained to their end.

    Attributes
    ----------
    trainer, plans, configuration : str
        As given to ``nnUNetv2_train``.
    folds : tuple of str
        "0", "1", … or "all".
    trained : float
        When the last of them ended, seconds since 1970.
    """

    trainer: str
    plans: str
    configuration: str
    folds: tuple[str, ...]
    trained: float

    def options(self) -> tuple[str, ...]:
        """Return what ``nnUNetv2_predict`` has to be given to use it; the usual plans need no naming."""
        plans = () if self.plans == "nnUNetPlans" else ("-p", self.plans)
        return ("-c", self.configuration, "-f", *self.folds, "-tr", self.trainer, *plans)


def model_folder(results: Path, trainer: str, plans: str, configuration: str) -> Path:
    """nnU-Net's folder of a model, with its folds, among the results of a dataset."""
    return results / f"{trainer}__{plans}__{configuration}"


def trained_models(dataset: str) -> list[Model]:
    """Return the trained models of ``DatasetXXX_Name`` in ``nnUNet_results``, the newest one first.

    Empty if there are none, or the variable is not set.
    """
    base = environment_folder("nnUNet_results")
    if base is None:
        return []
    models = filter(None, map(_model, (base / dataset).glob("*__*__*")))
    return sorted(models, key=lambda model: (-model.trained, model.options()))


def _model(folder: Path) -> Model | None:
    trainer, plans, configuration = folder.name.split("__", 2)
    ends = {file.parent.name[len("fold_") :]: file for file in folder.glob(f"fold_*/{CHECKPOINTS[0]}")}
    if not ends:
        return None
    folds = tuple(sorted(ends.keys() - {"all"})) or ("all",)
    return Model(trainer, plans, configuration, folds, max(file.stat().st_mtime for file in ends.values()))
