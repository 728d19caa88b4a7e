"""What an experiment is to train and to compare, as its plan says it; checked before anything runs."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nnunet_ext import trainers
from nnunet_ext.errors import UserError, some_of
from nnunet_ext.evaluation.comparison import CLASS_METRICS, INSTANCE_METRICS, SHAPE_METRICS
from nnunet_ext.experiment.plan_file import ModelYaml, PlanYaml
from nnunet_ext.files import composed, read_json, write_json
from nnunet_ext.nnunet_files.dataset_json import read_dataset_json
from nnunet_ext.nnunet_files.folders import dataset_folder, environment_folder
from nnunet_ext.nnunet_files.plans import SMALL_PLANS

PREFIX = "nnUNetTrainer"
_CONVERT_FIRST = "Convert it first (nnunet_ext convert), or mend 'dataset' in the plan."
_FOLDER_NAME = re.compile(r"[^\w.+=-]+")
_PER_MODEL = ("dataset", "configuration", "plans")


@dataclass(frozen=True)
class Model:
    """One row of the table: a trainer on a dataset, trained once for each seed and fold.

    Attributes
    ----------
    name : str
        In tables and on the command line of `report`.
    dataset : str
        The whole name, such as ``Dataset501_TopoMortar``.
    configuration, plans : str
        As nnU-Net's ``-c`` and ``-p``.
    trainers : dict
        Seed -> trainer; of a trainer that takes no seed there is one, under the first seed.
    """

    name: str
    dataset: str
    configuration: str
    plans: str
    trainers: Mapping[int, str]

    @property
    def folder(self) -> str:
        """Its name as that of a folder."""
        return file_name(self.name)


def file_name(name: str) -> str:
    """The name of a model, or of a group of cases, as that of a file or a folder."""
    return _FOLDER_NAME.sub("_", composed(name)).strip("_.")


@dataclass(frozen=True)
class Plan:
    """An experiment.

    Attributes
    ----------
    models : list of Model
    folds : list
        Numbers, or ``"all"``.
    device : str
        "cuda", "cpu" or "mps".
    on : str
        ``"test"`` or ``"validation"``: the cases that are evaluated.
    reference : str
        The dataset whose labels (and dataset.json) all models are evaluated against.
    instances : bool
        Whether these are instances, made from predicted classes.
    baseline : str
        The model that the others are compared with.
    groups : dict
        Name -> pattern of file names, of cases that get a table of their own.
    metrics : list of str
        Those of the table; empty for the main ones.
    notes : list of str
        What the user should know before it starts.
    """

    models: Sequence[Model]
    folds: Sequence[int | str]
    device: str
    on: str
    reference: str
    instances: bool
    baseline: str
    groups: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def raw(self) -> Path:
        """The raw dataset that the predictions are compared with."""
        return dataset_folder(self.reference, "nnUNet_raw", _CONVERT_FIRST)

    @property
    def references(self) -> Path:
        """Folder of the labels or instances that the predictions are compared with."""
        return self.raw / f"instances{self._part}" if self.instances else self.labels

    @property
    def labels(self) -> Path:
        """Folder of the labels of these cases."""
        return self.raw / f"labels{self._part}"

    @property
    def images(self) -> Path:
        """Folder of the images of these cases."""
        return self.raw / f"images{self._part}"

    @property
    def _part(self) -> str:
        return "Ts" if self.on == "test" else "Tr"


def save_plan(plan: Plan, file: Path) -> None:
    """Write what was looked up, for people."""
    write_json(file, asdict(plan))


def make_plan(content: PlanYaml) -> Plan:
    """Look up everything that a plan names.

    Raises
    ------
    UserError
        If a trainer, dataset, fold or name is not there, is given twice, or does not fit.
    """
    notes: list[str] = []
    seeds, folds = content.get("seeds", []), content.get("folds", [0])
    given: dict[str, Sequence[int | str]] = {"seeds": seeds, "folds": folds}
    for key, values in given.items():
        twice = next((value for value in values if list(values).count(value) > 1), None)
        if twice is not None:
            raise UserError(f"{key}: {twice} is there twice.")
    models = [_model(each, content, seeds, notes) for each in content["models"]]
    _check_names(models)
    reference = str(content.get("reference", models[0].dataset))
    raw = dataset_folder(reference, "nnUNet_raw", _CONVERT_FIRST)
    on = content.get("cases") or ("test" if (raw / "labelsTs").is_dir() else "validation")
    instances = (raw / ("instancesTs" if on == "test" else "instancesTr")).is_dir()
    for folder in ("imagesTs", "instancesTs" if instances else "labelsTs") if on == "test" else ():
        if not (raw / folder).is_dir():
            raise UserError(f"cases: test, but {raw} has no {folder}. Use cases: validation.")
    if on == "validation":
        _check_validation(models, folds)
    _check_metrics(content.get("metrics", ()), instances)
    baseline = content.get("baseline", models[0].name)
    if baseline not in [model.name for model in models]:
        raise UserError(f"baseline: there is no model {baseline!r}.")
    plan = Plan(
        models=models,
        folds=folds,
        device=content.get("device", "cuda"),
        on=on,
        reference=raw.name,
        instances=instances,
        baseline=baseline,
        groups=content.get("groups", {}),
        metrics=content.get("metrics", ()),
        notes=notes,
    )
    names = [file.name for file in plan.references.iterdir()]
    for group in _alike(list(plan.groups)):
        raise UserError(f"groups: {group!r} and another would be written to the same file. Name them apart.")
    for group, pattern in plan.groups.items():
        if not fnmatch.filter(names, pattern):
            raise UserError(
                f"groups: {group}: no case fits {pattern!r}. There are: {some_of(sorted(names))} in "
                f"{plan.references}."
            )
    return plan


def _model(given: str | ModelYaml, content: PlanYaml, seeds: Sequence[int], notes: list[str]) -> Model:
    entry: ModelYaml = {"trainer": given} if isinstance(given, str) else given
    settings = {key: entry.get(key, content.get(key)) for key in _PER_MODEL}
    if settings["dataset"] is None:
        raise UserError(
            f"{entry['trainer']}: no dataset. Give 'dataset: 501' for all models, or for this one."
        )
    raw = dataset_folder(str(settings["dataset"]), "nnUNet_raw", _CONVERT_FIRST)
    read_dataset_json(raw / "dataset.json")
    plans = settings["plans"] or "nnUNetPlans"
    family = entry["trainer"].removeprefix(PREFIX)
    return Model(
        name=entry.get("name", family if family[:1].isalnum() else PREFIX + family),
        dataset=raw.name,
        configuration=str(settings["configuration"] or "2d"),
        plans=SMALL_PLANS if plans == "small" else str(plans),
        trainers=_trainers(PREFIX + family, content, seeds, notes),
    )


def _trainers(name: str, content: PlanYaml, seeds: Sequence[int], notes: list[str]) -> dict[int, str]:
    """Seed -> the whole name of the trainer; the length of the training is an option in it, too."""
    if trainers.family_of(name) is None:
        _check_stock(name)
        if len(seeds) > 1 or {"epochs", "iterations", "options"} & set(content):
            notes.append(
                f"{name} is nnU-Net's own: it takes no seed, no length and no options, and is trained once."
            )
        return {seeds[0] if seeds else 0: name}
    length = [f"{content['epochs']}epochs"] if "epochs" in content else []
    length += [f"{content['iterations']}iters"] if "iterations" in content else []
    extra = content.get("options", "").strip("_").split("_") if content.get("options") else []
    found = {}
    for seed in seeds or [0]:
        of_seed = [f"seed{seed}"] if seeds else []
        trainer = trainers.get_trainer("_".join([name, *extra, *length, *of_seed]))
        found[seed] = trainer.same_as or trainer.__name__
    return found


def _check_stock(name: str) -> None:
    """Raise unless nnU-Net has a trainer of that name itself."""
    import nnunetv2
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    folder = Path(nnunetv2.__path__[0]) / "training" / "nnUNetTrainer"
    if recursive_find_python_class(str(folder), name, "nnunetv2.training.nnUNetTrainer") is None:
        trainers.get_trainer(name)  # raises, with the trainers there are


def _check_metrics(metrics: Sequence[str], instances: bool) -> None:
    """Raise for a metric that the evaluation will not have: better now than after the trainings."""
    known = (*INSTANCE_METRICS, *SHAPE_METRICS) if instances else CLASS_METRICS
    for metric in metrics:
        if metric not in known:
            close = difflib.get_close_matches(metric, known, 1)
            hint = f" Did you mean {close[0]}?" if close else f" There are: {', '.join(known)}."
            raise UserError(
                f"metrics: {metric!r} is none of {'instances' if instances else 'classes'}.{hint}"
            )


def _alike(names: Sequence[str]) -> list[str]:
    """Names that would be those of the same files; `UserError` if one would be of none."""
    files = [file_name(name).casefold() for name in names]  # as macOS and Windows compare them
    for name, file in zip(names, files, strict=True):
        if not file:
            raise UserError(f"{name!r} is no name: it needs a letter or a digit.")
    return [name for name, file in zip(names, files, strict=True) if files.count(file) > 1]


def _check_names(models: Sequence[Model]) -> None:
    for name in _alike([model.name for model in models]):
        raise UserError(f"Two models are called {name!r}. Give them names: 'name: …' beside 'trainer: …'.")
    seen: dict[tuple[Any, ...], str] = {}
    for model in models:
        key = (model.dataset, model.configuration, model.plans, *model.trainers.values())
        if key in seen:
            raise UserError(f"{seen[key]!r} and {model.name!r} are the same training.")
        seen[key] = model.name


def _check_validation(models: Sequence[Model], folds: Sequence[int | str]) -> None:
    if "all" in folds:
        raise UserError(
            "folds: [all] trains on every case, so there is nothing to validate on. Use cases: test."
        )
    for model in models:
        splits = _splits(model.dataset)
        for fold in folds if splits else ():
            if int(fold) >= len(splits):
                raise UserError(
                    f"folds: {model.dataset} has {len(splits)} folds, from 0; there is no fold {fold}."
                )


def _splits(dataset: str) -> list[Any]:
    """The folds of a dataset; none if it was not preprocessed yet."""
    base = environment_folder("nnUNet_preprocessed")
    file = base / dataset / "splits_final.json" if base else None
    return read_json(file, "Plan the dataset again.", list[dict[str, Any]]) if file and file.is_file() else []
