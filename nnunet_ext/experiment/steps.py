"""The commands that a plan comes to, in order, and which of them are done."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnunet_ext import trainers
from nnunet_ext.commands import was_run
from nnunet_ext.errors import UserError, command
from nnunet_ext.evaluation.comparison import SHAPE_METRICS
from nnunet_ext.experiment.plan import Model, Plan
from nnunet_ext.experiment.state import (
    cases_in,
    cases_of_images,
    check_same_data,
    collect,
    file_ending,
    go_on_options,
    is_trained,
    is_usable,
    preprocessed_folder,
    put_damaged_aside,
    raw_folder,
    remove_of_others,
    remove_unusable,
    remove_without_source,
    with_files,
)
from nnunet_ext.files import time_of
from nnunet_ext.nnunet_files.checkpoint import CHECKPOINTS
from nnunet_ext.nnunet_files.dataset_json import read_dataset_json
from nnunet_ext.nnunet_files.folders import required_folder
from nnunet_ext.nnunet_files.plans import SMALL_PLANS, read_configurations
from nnunet_ext.nnunet_files.trained_models import model_folder

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
    """

    key: str
    title: str
    words: Callable[[], list[str]]
    is_done: Callable[[], bool]
    needs: list[str] = field(default_factory=list)
    prepare: Callable[[], None] = lambda: None
    act: Callable[[], None] | None = None
    epochs: int = 0

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
            file = preprocessed_folder(model.dataset) / f"{SMALL_PLANS}.json"
            steps.append(
                Step(
                    key=f"small_plans/{model.dataset}",
                    title=f"small plans of {model.dataset}",
                    words=lambda: ["nnunet_ext", "small-plans", "-d", number, "-c", *configurations],
                    is_done=lambda: file.is_file() and set(configurations) <= set(read_configurations(file)),
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
            words += ["-djfile", str(raw_folder(model.dataset) / "dataset.json")]
            step = self._our_step(
                f"instances/{name}", f"instances of {model.name}, seed {seed}", words, source, target
            )
            step.prepare = lambda: remove_without_source(target, self.predictions(model, seed))
            steps.append(step)
            source = step.key
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
        words += ["--roundness"] if set(self.plan.metrics) & set(SHAPE_METRICS) else []
        steps.append(
            self._our_step(
                f"evaluate/{name}",
                f"evaluate {model.name}, seed {seed}",
                words,
                source,
                evaluation,
                lambda: [
                    self.plan.raw / "dataset.json",
                    *with_files(self.plan.references),
                    *with_files(self.plan.labels),  # of instances they say what nobody judged
                ],
            )
        )
        return steps

    def _our_step(
        self,
        key: str,
        title: str,
        words: list[str],
        source: str,
        target: Path,
        read: Callable[[], Sequence[Path]] = tuple,
    ) -> Step:
        """A step of ours, which writes its results whole: done if it ended after what it needs and reads."""
        return Step(
            key=key,
            title=title,
            words=lambda: words,
            is_done=lambda: (
                was_run(words, self.log(key)) and is_usable(target) and self._is_newer(key, [source], read())
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

        def is_done() -> bool:
            check_same_data(folder.parent, preprocessed_folder(model.dataset), model.plans)
            return is_trained(folder)

        return Step(
            key=f"train/{model.folder}/seed{seed}_fold{fold}",
            title=f"train {model.name}, seed {seed}, fold {fold}",
            words=lambda: [*words, *go_on_options(folder)],
            is_done=is_done,
            needs=[last],
            prepare=lambda: put_damaged_aside(folder),
            epochs=trainers.get_trainer(trainer).epochs if known else 0,
        )

    def _prediction(self, model: Model, seed: int, needs: list[str]) -> Step:
        target = self.predictions(model, seed)
        key = f"predict/{model.folder}/seed{seed}"
        folds = [str(fold) for fold in self.plan.folds]
        final = [self.model_folder(model, seed) / f"fold_{fold}" / CHECKPOINTS[0] for fold in folds]
        ending = file_ending(model.dataset)
        step = Step(
            key=key,
            title=f"predictions of {model.name}, seed {seed}",
            words=lambda: words,
            is_done=lambda: (
                was_run(words, self.log(key))
                and self._is_newer(key, needs, made_of())
                and cases_in([target], ending) == expected()
            ),
            needs=needs,
        )
        if self.plan.on == "validation":
            sources = [file.parent / "validation" for file in final]
            words = ["cp", *(str(source / f"*{ending}") for source in sources), str(target)]
            step.act = lambda: collect(sources, target, ending, words, self.log(key))

            def expected() -> set[str]:
                return cases_in(sources, ending)

            def made_of() -> list[Path]:
                return final
        else:
            images = self.plan.images
            words = ["nnUNetv2_predict", "-d", model.dataset[7:10], "-c", model.configuration, "-f", *folds]
            words += ["-tr", model.trainers[seed], "-p", model.plans, "-device", self.plan.device]
            words += ["-npp", "1", "-nps", "1", "-i", str(images), "-o", str(target), "--continue_prediction"]

            def expected() -> set[str]:
                return cases_of_images(images, ending)

            def made_of() -> list[Path]:
                return [*final, *images.iterdir()]

            def prepare() -> None:
                remove_of_others(target, words, self.log(key))
                remove_unusable(target, ending, expected(), max(map(time_of, made_of())))

            step.prepare = prepare

        return step

    def model_folder(self, model: Model, seed: int) -> Path:
        """nnU-Net's folder of a trainer's results, with its folds."""
        results = required_folder("nnUNet_results") / model.dataset
        return model_folder(results, model.trainers[seed], model.plans, model.configuration)

    def _is_preprocessed(self, dataset: str, configurations: Sequence[str], log: Path) -> bool:
        if log.with_suffix(".unfinished").exists():
            return False
        folder = preprocessed_folder(dataset)
        file = folder / "nnUNetPlans.json"
        if not file.is_file():
            return False
        planned = read_configurations(file)
        wanted = read_dataset_json(raw_folder(dataset) / "dataset.json").get("numTraining", 0)
        for configuration in configurations:
            if configuration not in planned:
                raise UserError(f"{file} has no configuration {configuration}. It has: {', '.join(planned)}.")
            identifier = planned[configuration]["data_identifier"]
            if len(list((folder / identifier).glob("*.pkl"))) < wanted:
                return False
        return True

    def _is_newer(self, key: str, needs: Sequence[str], files: Sequence[Path] = ()) -> bool:
        """Whether a step ended after the steps before it, and after files were written."""
        mine = time_of(self.log(key))
        earlier = [self.log(need) for need in needs if self.log(need).is_file()]
        return all(time_of(file) <= mine for file in (*earlier, *files))


def part_of(steps: Sequence[Step], part: str) -> list[Step]:
    """The steps of a part of a job array: "prepare", the number of a training, "finish"; or "all".

    Raises
    ------
    UserError
        If it is none of these.
    """
    trainings = [step for step in steps if step.is_training]
    preparing = [step for step in steps if step.key.startswith(("plan/", "small_plans/"))]
    if part in ("all", "prepare"):
        return list(steps) if part == "all" else preparing
    if part == "finish":
        return [step for step in steps if step not in trainings and step not in preparing]
    if not part.isdecimal() or not 1 <= int(part) <= len(trainings):
        raise UserError(f"--only {part}: expected prepare, finish or a number from 1 to {len(trainings)}.")
    return [trainings[int(part) - 1]]


def commands_of(steps: Sequence[Step]) -> dict[str, list[str]]:
    """Repeat (``model/seed1``) -> its command lines, for the record."""
    found: dict[str, list[str]] = {}
    for step in steps:
        kind, _, name = step.key.partition("/")
        if kind not in ("plan", "small_plans"):
            words = [word for word in step.words() if word not in ("--c", "--val")]
            found.setdefault(name.partition("_fold")[0], []).append(command(*words))
    return found
