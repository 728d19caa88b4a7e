"""The commands that a plan comes to, in order, and which of them are done."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunet_ext import trainers
from nnunet_ext.commands import was_run
from nnunet_ext.errors import UserError, command, some_of
from nnunet_ext.experiment.plan import Model, Plan
from nnunet_ext.files import read_json, replacing
from nnunet_ext.images.files import check_whole
from nnunet_ext.nnunet_files.checkpoint import CHECKPOINTS
from nnunet_ext.nnunet_files.folders import environment_folder
from nnunet_ext.nnunet_files.plans import SMALL_PLANS

_MOST_PROCESSES = 8


@dataclass
class Step:
    """One command.

    Attributes
    ----------
    key : str
        Names it and, as a path, its log: ``train/SCNP/seed1_fold0``.
    title : str
        For people.
    words : callable
        Returns the command as it has to be run now: a training that was interrupted is continued.
    is_done : callable
        Whether its results are there, whole and as new as what they were made of.
    needs : list of str
        Keys of the steps that come before it.
    prepare : callable
        Called before the command is run: removes what an interruption left half-written.
    act : callable, optional
        Called in place of a command.
    epochs : int
        That its log will report; 0 if nobody knows.
    uses_device : bool
        Whether it trains or predicts.
    """

    key: str
    title: str
    words: Callable[[], list[str]]
    is_done: Callable[[], bool]
    needs: list[str] = field(default_factory=list)
    prepare: Callable[[], None] = lambda: None
    act: Callable[[], None] | None = None
    epochs: int = 0
    uses_device: bool = False

    @property
    def is_training(self) -> bool:
        """Whether it trains a network."""
        return self.key.startswith("train/")


class Steps:
    """All steps of a plan whose results go to `folder` (and nnU-Net's, to nnU-Net's three folders)."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder

    def all(self) -> list[Step]:
        """Every step after those it needs; the first repeat of every model comes before the second of any."""
        steps = [step for model in self.plan.models for step in self._preparation(model)]
        steps = list({step.key: step for step in steps}.values())
        seeds = list(dict.fromkeys(seed for model in self.plan.models for seed in model.trainers))
        for seed in seeds:
            for model in self.plan.models:
                if seed in model.trainers:
                    steps += self._repeat(model, seed)
        return steps

    def log(self, key: str) -> Path:
        """The log of a step."""
        return self.folder / "logs" / f"{key}.txt"

    def predictions(self, model: Model, seed: int) -> Path:
        """Folder of the predictions of one repeat, all folds together."""
        return self.folder / "predictions" / model.folder / f"seed{seed}"

    def results(self, model: Model, seed: int) -> Path:
        """Folder of what is evaluated: these predictions, or the instances made of them."""
        return (
            self.folder / "instances" / model.folder / f"seed{seed}"
            if self.plan.instances
            else self.predictions(model, seed)
        )

    def evaluation(self, model: Model, seed: int) -> Path:
        """The summary of one repeat."""
        return self.folder / "evaluations" / model.folder / f"seed{seed}.json"

    def _preparation(self, model: Model) -> list[Step]:
        number = model.dataset[7:10]
        processes = str(min(_MOST_PROCESSES, os.cpu_count() or 1))
        same = [other.configuration for other in self.plan.models if other.dataset == model.dataset]
        configurations = list(dict.fromkeys(same))
        plan_words = [
            *("nnUNetv2_plan_and_preprocess", "-d", number, "-c", *configurations),
            *("-npfp", processes, "-np", *[processes] * len(configurations), "--verify_dataset_integrity"),
        ]
        plan_key = f"plan/{model.dataset}"
        steps = [
            Step(
                key=plan_key,
                title=f"plan and preprocess {model.dataset}",
                words=lambda: plan_words,
                is_done=lambda: self._is_preprocessed(model.dataset, configurations, self.log(plan_key)),
            )
        ]
        if model.plans == SMALL_PLANS:
            file = _preprocessed(model.dataset) / f"{SMALL_PLANS}.json"
            steps.append(
                Step(
                    key=f"small_plans/{model.dataset}",
                    title=f"small plans of {model.dataset}",
                    words=lambda: ["nnunet_ext", "small-plans", "-d", number, "-c", *configurations],
                    is_done=lambda: file.is_file() and set(configurations) <= set(_configurations(file)),
                    needs=[plan_key],
                )
            )
        return steps

    def _repeat(self, model: Model, seed: int) -> list[Step]:
        """Train all folds, bring the predictions together, make instances of them, evaluate."""
        name = f"{model.folder}/seed{seed}"
        trainings = [self._training(model, seed, fold) for fold in self.plan.folds]
        predict = self._prediction(model, seed, [step.key for step in trainings])
        steps, source = [*trainings, predict], predict.key
        if self.plan.instances:
            target = self.results(model, seed)
            words = ["nnunet_ext", "instances", "-i", str(self.predictions(model, seed)), "-o", str(target)]
            words += ["-djfile", str(_raw(model.dataset) / "dataset.json")]
            steps.append(
                self._our_step(
                    f"instances/{name}", f"instances of {model.name}, seed {seed}", words, source, target
                )
            )
            source = steps[-1].key
        evaluation = self.evaluation(model, seed)
        words = ["nnunet_ext", "evaluate", *(["--instances"] if self.plan.instances else [])]
        words += [
            "-ref",
            str(self.plan.references),
            "-pred",
            str(self.results(model, seed)),
            "-o",
            str(evaluation),
        ]
        words += ["-djfile", str(self.plan.raw / "dataset.json")]
        words += ["--chill"] if self.plan.on == "validation" else []
        steps.append(
            self._our_step(
                f"evaluate/{name}", f"evaluate {model.name}, seed {seed}", words, source, evaluation
            )
        )
        return steps

    def _our_step(self, key: str, title: str, words: list[str], source: str, target: Path) -> Step:
        """A step of ours, which writes its results whole: done if it was run after what it needs."""
        return Step(
            key=key,
            title=title,
            words=lambda: words,
            is_done=lambda: (
                was_run(words, self.log(key)) and target.exists() and self._is_newer(key, [source])
            ),
            needs=[source],
            prepare=lambda: target.parent.mkdir(parents=True, exist_ok=True),
        )

    def _training(self, model: Model, seed: int, fold: int | str) -> Step:
        folder = self.model_folder(model, seed) / f"fold_{fold}"
        trainer = model.trainers[seed]
        words = ["nnUNetv2_train", model.dataset[7:10], model.configuration, str(fold), "-tr", trainer]
        words += ["-p", model.plans, "-device", self.plan.device]
        last = f"small_plans/{model.dataset}" if model.plans == SMALL_PLANS else f"plan/{model.dataset}"
        known = trainers.family_of(trainer) is not None
        return Step(
            key=f"train/{model.folder}/seed{seed}_fold{fold}",
            title=f"train {model.name}, seed {seed}, fold {fold}",
            words=lambda: [*words, *_go_on(folder)],
            is_done=lambda: _is_trained(folder),
            needs=[last],
            prepare=lambda: self._check_before_training(model, seed, fold),
            epochs=trainers.get_trainer(trainer).epochs if known else 0,
            uses_device=True,
        )

    def _prediction(self, model: Model, seed: int, needs: list[str]) -> Step:
        target = self.predictions(model, seed)
        key = f"predict/{model.folder}/seed{seed}"
        folds = [str(fold) for fold in self.plan.folds]
        final = [self.model_folder(model, seed) / f"fold_{fold}" / CHECKPOINTS[0] for fold in folds]
        title = f"predictions of {model.name}, seed {seed}"
        if self.plan.on == "validation":
            sources = [file.parent / "validation" for file in final]
            words = ["cp", *(str(source / f"*{_ending(model.dataset)}") for source in sources), str(target)]
            return Step(
                key=key,
                title=title,
                words=lambda: words,
                is_done=lambda: (
                    was_run(words, self.log(key))
                    and self._is_newer(key, needs, final)
                    and _has(target, _cases_in(sources, _ending(model.dataset)))
                ),
                needs=needs,
                act=lambda: _collect(sources, target, _ending(model.dataset), words, self.log(key)),
            )
        images = self.plan.images
        words = ["nnUNetv2_predict", "-d", model.dataset[7:10], "-c", model.configuration, "-f", *folds]
        words += ["-tr", model.trainers[seed], "-p", model.plans, "-device", self.plan.device]
        words += ["-npp", "1", "-nps", "1", "-i", str(images), "-o", str(target), "--continue_prediction"]
        return Step(
            key=key,
            title=title,
            words=lambda: words,
            is_done=lambda: (
                was_run(words, self.log(key))
                and self._is_newer(key, needs, final)
                and _has(target, _cases_of(images, model.dataset))
            ),
            needs=needs,
            prepare=lambda: _remove_unusable(target, _ending(model.dataset), max(map(_time, final))),
            uses_device=True,
        )

    def model_folder(self, model: Model, seed: int) -> Path:
        """nnU-Net's folder of a trainer's results, with its folds."""
        base = environment_folder("nnUNet_results")
        if base is None:
            raise UserError("nnUNet_results is not set. Run 'nnunet_ext doctor' to see what is missing.")
        return base / model.dataset / f"{model.trainers[seed]}__{model.plans}__{model.configuration}"

    def _check_before_training(self, model: Model, seed: int, fold: int | str) -> None:
        """Put damaged checkpoints aside; refuse to go on with what was trained with other plans or data."""
        folder = self.model_folder(model, seed)
        for name in CHECKPOINTS:
            file = folder / f"fold_{fold}" / name
            if file.is_file() and not _is_whole(file):
                file.replace(file.with_suffix(".damaged"))
        plans = _preprocessed(model.dataset)
        for trained, there in (("plans.json", f"{model.plans}.json"), ("dataset.json", "dataset.json")):
            if not (folder / trained).is_file() or not (folder / f"fold_{fold}").is_dir():
                continue
            if read_json(folder / trained) != read_json(plans / there):
                raise UserError(
                    f"{folder} was begun with another {there} than {plans / there}. Move that folder away to "
                    "train anew, or get the earlier file back."
                )

    def _is_preprocessed(self, dataset: str, configurations: Sequence[str], log: Path) -> bool:
        if log.with_suffix(".unfinished").exists():
            return False
        folder = _preprocessed(dataset)
        file = folder / "nnUNetPlans.json"
        if not file.is_file():
            return False
        planned = _configurations(file)
        wanted = read_json(_raw(dataset) / "dataset.json").get("numTraining", 0)
        for configuration in configurations:
            if configuration not in planned:
                raise UserError(f"{file} has no configuration {configuration}. It has: {', '.join(planned)}.")
            identifier = _resolved(planned, configuration, "data_identifier")
            if len(list((folder / identifier).glob("*.pkl"))) < wanted:
                return False
        return True

    def _is_newer(self, key: str, needs: Sequence[str], files: Sequence[Path] = ()) -> bool:
        """Whether a step ended after the steps before it, and after files were written."""
        mine = _time(self.log(key))
        earlier = [self.log(need) for need in needs if self.log(need).is_file()]
        return all(_time(file) <= mine for file in (*earlier, *files))


def _raw(dataset: str) -> Path:
    return (environment_folder("nnUNet_raw") or Path()) / dataset


def _preprocessed(dataset: str) -> Path:
    base = environment_folder("nnUNet_preprocessed")
    if base is None:
        raise UserError("nnUNet_preprocessed is not set. Run 'nnunet_ext doctor' to see what is missing.")
    return base / dataset


def _configurations(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(file, "Plan the dataset again.", dict[str, Any])["configurations"]
    return found


def _resolved(planned: dict[str, Any], name: str, key: str) -> str:
    while key not in planned[name]:
        name = planned[name]["inherits_from"]
    return str(planned[name][key])


def _ending(dataset: str) -> str:
    return str(read_json(_raw(dataset) / "dataset.json")["file_ending"])


def _time(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


def _is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint, a zip file, was written to its end."""
    try:
        with zipfile.ZipFile(checkpoint) as file:
            return file.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def _is_trained(folder: Path) -> bool:
    """Whether a training and the validation at its end are complete."""
    final, summary = folder / CHECKPOINTS[0], folder / "validation" / "summary.json"
    return summary.is_file() and final.is_file() and _time(final) <= _time(summary) and _is_whole(final)


def _go_on(folder: Path) -> list[str]:
    """The option that continues a training: only its validation is missing, or part of the training."""
    there = [name for name in CHECKPOINTS if (folder / name).is_file()]
    if CHECKPOINTS[0] in there:
        return ["--val"]
    return ["--c"] if there else []


def _cases_of(images: Path, dataset: str) -> set[str]:
    """Files that a prediction of a folder of images has to make."""
    ending = _ending(dataset)
    return {file.name[: -len(ending) - 5] + ending for file in images.glob(f"*_0000{ending}")}


def _cases_in(folders: Sequence[Path], ending: str) -> set[str]:
    return {file.name for folder in folders for file in folder.glob(f"*{ending}")}


def _has(folder: Path, names: set[str]) -> bool:
    return folder.is_dir() and names <= {file.name for file in folder.iterdir()}


def _remove_unusable(folder: Path, ending: str, trained: int) -> None:
    """Remove predictions that are damaged or from before the training ended, which nnU-Net would keep."""
    for file in folder.glob(f"*{ending}"):
        try:
            check_whole(file, labels=True)
            usable = _time(file) >= trained
        except UserError:
            usable = False
        if not usable:
            file.unlink()


def _collect(sources: Sequence[Path], target: Path, ending: str, words: Sequence[str], log: Path) -> None:
    """Bring the validation predictions of all folds into one folder; each case once, or it is an error."""
    files = [file for source in sources for file in sorted(source.glob(f"*{ending}"))]
    names = [file.name for file in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"These cases were validated in several folds: {some_of(twice)}.")
    for file in target.glob(f"*{ending}"):
        file.unlink()
    for file in files:
        with replacing(target / file.name) as temporary:
            shutil.copyfile(file, temporary)
    log.parent.mkdir(parents=True, exist_ok=True)
    with replacing(log) as temporary:
        temporary.write_text(f"$ {command(*words)}\n", encoding="utf-8")
