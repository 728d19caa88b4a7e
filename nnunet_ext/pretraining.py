"""Pre-training on another dataset: nnU-Net's chain of commands, checked before and run in one go.

For the weights to fit, the other dataset has to be preprocessed with the plans of the one that is trained
later: its fingerprint is taken, the plans are moved to it, it is preprocessed and trained on all its cases.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_ext.commands import quiet_threads, run_logged, was_run
from nnunet_ext.errors import UserError, command
from nnunet_ext.files import replacing, time_of
from nnunet_ext.nnunet_files.checkpoint import CHECKPOINTS, load_checkpoint
from nnunet_ext.nnunet_files.dataset_json import read_dataset_json
from nnunet_ext.nnunet_files.folders import dataset_folder, required_folder
from nnunet_ext.nnunet_files.hierarchy import IGNORE, hierarchy_of
from nnunet_ext.nnunet_files.plans import read_configurations
from nnunet_ext.nnunet_files.trained_models import model_folder
from nnunet_ext.trainers import get_trainer
from nnunet_ext.training.multilevel import MultiLevelTrainer

Say = Callable[[str], None]
WEIGHTS = "pretrained_weights.pth"
_CONVERT = "Convert it first (nnunet_ext convert)."
_MOST_PROCESSES = 8


@dataclass(frozen=True)
class Pretraining:
    """A training on one dataset for a training on another.

    Attributes
    ----------
    source, target : str
        Names of the datasets: trained first, and trained afterwards with its weights.
    configuration, plans, trainer, device : str
        Of both trainings.
    notes : tuple of str
        What is different about the datasets, though the weights fit.
    """

    source: str
    target: str
    configuration: str
    plans: str
    trainer: str
    device: str
    notes: tuple[str, ...] = ()

    @property
    def moved_plans(self) -> str:
        """Name of the target's plans where they lie with the source."""
        return f"{self.plans}Of{self.target.split('_')[0]}"

    @property
    def folder(self) -> Path:
        """nnU-Net's folder of the first training, ``fold_all``."""
        results = required_folder("nnUNet_results") / self.source
        return model_folder(results, self.trainer, self.moved_plans, self.configuration) / "fold_all"

    @property
    def weights(self) -> Path:
        """What the second training begins with."""
        return self.folder / WEIGHTS

    def steps(self) -> list[tuple[str, list[str]]]:
        """Title and words of each command."""
        source, target = _id(self.source), _id(self.target)
        processes = str(min(_MOST_PROCESSES, os.cpu_count() or 1))
        here = [source, self.configuration, "all", "-tr", self.trainer, "-p", self.moved_plans]
        return [
            (
                f"fingerprint of {self.source}",
                [
                    "nnUNetv2_extract_fingerprint",
                    "-d",
                    source,
                    "-np",
                    processes,
                    "--verify_dataset_integrity",
                ],
            ),
            (
                f"plans of {self.target}",
                [
                    *("nnUNetv2_move_plans_between_datasets", "-s", target, "-t", source),
                    *("-sp", self.plans, "-tp", self.moved_plans),
                ],
            ),
            (
                f"{self.source} preprocessed with them",
                [
                    *("nnUNetv2_preprocess", "-d", source, "-plans_name", self.moved_plans),
                    *("-c", self.configuration, "-np", processes),
                ],
            ),
            ("training on all its cases", ["nnUNetv2_train", *here, "-device", self.device]),
        ]

    def plans_are_moved(self, words: Sequence[str]) -> bool:
        """Whether the result of a command, if it is the plans, is that of the target's plans as they are."""
        if words[0] != "nnUNetv2_move_plans_between_datasets":
            return True
        base = required_folder("nnUNet_preprocessed")
        moved = base / self.source / f"{self.moved_plans}.json"
        return time_of(moved) >= time_of(base / self.target / f"{self.plans}.json")

    def next_command(self) -> list[str]:
        """The second training, of fold 0."""
        words = [
            "nnUNetv2_train",
            _id(self.target),
            self.configuration,
            "0",
            "-tr",
            self.trainer,
            "-p",
            self.plans,
        ]
        device = [] if self.device == "cuda" else ["-device", self.device]
        return [*words, "-pretrained_weights", str(self.weights), *device]


def plan_pretraining(
    source: str, target: str, configuration: str, trainer: str, plans: str, device: str
) -> Pretraining:
    """Check that weights of one dataset can begin a training on another.

    Parameters
    ----------
    source, target : str
        Ids or names of the datasets.
    configuration, trainer, plans, device : str
        As nnU-Net's commands take them.

    Raises
    ------
    UserError
        If a dataset or the target's plans are not there, the configuration is none of theirs or a cascade,
        the trainer is none, or the weights would not fit: other channels, other chains of nested classes.
    """
    first, then = (dataset_folder(name, "nnUNet_raw", _CONVERT) for name in (source, target))
    if first == then:
        raise UserError(f"{first.name} is to be trained on itself: give two datasets, -d and --for.")
    family = get_trainer(trainer)
    planned = dataset_folder(
        target, "nnUNet_preprocessed", f"Plan it first: nnUNetv2_plan_and_preprocess -d {target}"
    )
    configurations = read_configurations(planned / f"{plans}.json")
    if configuration not in configurations:
        raise UserError(
            f"{plans} of {then.name} have no configuration {configuration}. They have: "
            f"{', '.join(configurations)}."
        )
    if configurations[configuration].get("previous_stage"):
        raise UserError(
            f"{configuration} continues another stage, whose predictions {first.name} does not have. "
            "Pre-train a configuration without a stage before it."
        )
    contents = [read_dataset_json(folder / "dataset.json") for folder in (first, then)]
    notes = _compare_channels(first.name, then.name, *contents)
    notes += _compare_classes(first.name, then.name, *contents)
    if issubclass(family, MultiLevelTrainer):
        _check_chains(first.name, then.name, *contents)
    return Pretraining(first.name, then.name, configuration, plans, trainer, device, tuple(notes))


def run_pretraining(pretraining: Pretraining, say: Say = lambda line: None) -> Path:
    """Run what has not been run yet; return the file of weights, with all tensors on the CPU.

    Commands that were completed before are not run again, and a training that was interrupted goes on. Their
    output is in files beside the checkpoint.

    Raises
    ------
    UserError
        If a command fails.
    """
    final = pretraining.folder / CHECKPOINTS[0]
    changed = False
    for number, (title, words) in enumerate(pretraining.steps(), 1):
        log = pretraining.folder.parent / "logs" / f"{number}_{words[0]}.log"
        is_training = words[0] == "nnUNetv2_train"
        done = final.is_file() if is_training else was_run(words, log) and pretraining.plans_are_moved(words)
        if done and is_training and changed:
            raise UserError(
                f"{pretraining.folder} was trained before its data were prepared as they are now. Move it "
                "away, and run this again."
            )
        if done and not changed:
            say(f"[{number}/4] {title}: done before")
            continue
        begun = is_training and any((pretraining.folder / name).is_file() for name in CHECKPOINTS)
        if begun:
            words = [*words, "--c"]
        if words[0] == "nnUNetv2_preprocess":
            _copy_dataset_json(pretraining.source)
        say(f"[{number}/4] {title}: {command(*words)}")
        run_logged(words, log, quiet_threads(), lambda epoch: say(f"epoch {epoch} done"))
        changed = True
    if time_of(pretraining.weights) < time_of(final):
        _to_cpu(final, pretraining.weights)
    return pretraining.weights


def _copy_dataset_json(dataset: str) -> None:
    """What planning does for a dataset that is planned itself; preprocessing and training look for it."""
    source, target = (required_folder(f"nnUNet_{kind}") / dataset for kind in ("raw", "preprocessed"))
    with replacing(target / "dataset.json") as temporary:
        shutil.copyfile(source / "dataset.json", temporary)


def _id(dataset: str) -> str:
    """501 of Dataset501_TopoMortar."""
    return str(int(dataset[len("Dataset") :].split("_")[0]))


def _to_cpu(checkpoint: Path, target: Path) -> None:
    """nnU-Net loads weights onto the device they were saved from, which the second machine may not have."""
    import torch

    content = load_checkpoint(checkpoint)
    with replacing(target) as temporary:
        torch.save(content, temporary)


def _channels(content: dict[str, Any]) -> list[str]:
    return [str(name) for name in content.get("channel_names", content.get("modality", {})).values()]


def _classes(content: dict[str, Any]) -> list[str]:
    return [name for name in content["labels"] if name != IGNORE]


def _compare_channels(source: str, target: str, first: Any, then: Any) -> list[str]:
    a, b = _channels(first), _channels(then)
    if len(a) != len(b):
        raise UserError(
            f"{source} has {len(a)} channel{'s' * (len(a) != 1)} ({', '.join(a)}), {target} {len(b)} "
            f"({', '.join(b)}): the weights would not fit. Convert one of them to the channels of the other."
        )
    if a == b:
        return []
    return [
        f"The channels are called {', '.join(a)} in {source} and {', '.join(b)} in {target}: they have to "
        f"mean the same in this order, and are normalised as those of {target}."
    ]


def _compare_classes(source: str, target: str, first: Any, then: Any) -> list[str]:
    a, b = _classes(first), _classes(then)
    if a == b:
        return []
    return [
        f"The classes differ: {', '.join(a)} in {source}, {', '.join(b)} in {target}. The last layer begins "
        "anew in any case; the rest is taken over."
    ]


def _check_chains(source: str, target: str, first: Any, then: Any) -> None:
    a, b = ([len(chain) for chain in hierarchy_of(content).chains] for content in (first, then))
    if a != b:
        raise UserError(
            f"A multi-level head has the shape of the nesting: chains of {_words(a)} levels in {source}, of "
            f"{_words(b)} in {target}. Pre-train with another trainer, or on a dataset nested alike."
        )


def _words(numbers: Sequence[int]) -> str:
    return " and ".join(map(str, numbers))
