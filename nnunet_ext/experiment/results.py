"""What an experiment has so far: its record for other commands, and its tables."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.comparison import Comparison, compare_models, save_comparison
from nnunet_ext.evaluation.summary import Summary, load_summary
from nnunet_ext.experiment.plan import Plan, file_name
from nnunet_ext.experiment.steps import Steps
from nnunet_ext.files import read_json, write_json
from nnunet_ext.worker_pool import Progress, silent

RECORD = "experiment.json"
_PACKAGES = ("nnunet-ext", "nnunetv2", "torch", "numpy", "batchgeneratorsv2", "dynamic-network-architectures")


@dataclass(frozen=True)
class Repeat:
    """One repeat of a model.

    Attributes
    ----------
    seed : int
    trainer : str
    trainings : list of Path
        nnU-Net's folder of each fold.
    predictions, evaluation : Path
        What was evaluated (a folder), and the summary; they may not be there yet.
    commands : list of str
        As they were run.
    """

    seed: int
    trainer: str
    trainings: list[Path]
    predictions: Path
    evaluation: Path
    commands: list[str]


@dataclass(frozen=True)
class Results:
    """An experiment's record, as `load_results` reads it.

    Attributes
    ----------
    on : str
        ``"test"`` or ``"validation"``.
    instances : bool
        Whether instances were evaluated.
    references, images, dataset_json : Path
        What the predictions were compared with, and its images.
    baseline : str
    groups : dict
        Name -> pattern of file names.
    metrics : list of str
        Those of its tables; empty for the main ones.
    versions : dict
        Of the packages in use.
    models : dict
        Name -> its repeats.
    """

    on: str
    instances: bool
    references: Path
    images: Path
    dataset_json: Path
    baseline: str
    groups: dict[str, str]
    metrics: list[str]
    versions: dict[str, str]
    models: dict[str, list[Repeat]]


def write_record(plan: Plan, of: Steps, commands: Mapping[str, Sequence[str]]) -> Path:
    """Write what `load_results` reads; `commands` are the command lines of each repeat, ``name/seed``."""
    models = {
        model.name: [
            Repeat(
                seed=seed,
                trainer=trainer,
                trainings=[of.model_folder(model, seed) / f"fold_{fold}" for fold in plan.folds],
                predictions=of.results(model, seed),
                evaluation=of.evaluation(model, seed),
                commands=list(commands.get(f"{model.folder}/seed{seed}", [])),
            )
            for seed, trainer in model.trainers.items()
        ]
        for model in plan.models
    }
    results = Results(
        on=plan.on,
        instances=plan.instances,
        references=plan.references,
        images=plan.images,
        dataset_json=plan.raw / "dataset.json",
        baseline=plan.baseline,
        groups=dict(plan.groups),
        metrics=list(plan.metrics),
        versions=package_versions(),
        models=models,
    )
    file = of.folder / RECORD
    write_json(file, _texts(asdict(results)))
    return file


def load_results(folder: Path) -> Results:
    """Read the record of an experiment.

    Raises
    ------
    UserError
        If the folder is none of an experiment.
    """
    file = folder / RECORD
    if not file.is_file():
        raise UserError(f"{folder} has no {RECORD}: give the output folder of nnunet_ext experiment.")
    content = read_json(file, "Run the experiment again; what is finished is kept.", dict[str, Any])
    try:
        models = {
            name: [
                Repeat(
                    seed=each["seed"],
                    trainer=each["trainer"],
                    trainings=[Path(training) for training in each["trainings"]],
                    predictions=Path(each["predictions"]),
                    evaluation=Path(each["evaluation"]),
                    commands=each["commands"],
                )
                for each in repeats
            ]
            for name, repeats in content["models"].items()
        }
        return Results(
            on=content["on"],
            instances=content["instances"],
            references=Path(content["references"]),
            images=Path(content["images"]),
            dataset_json=Path(content["dataset_json"]),
            baseline=content["baseline"],
            groups=content["groups"],
            metrics=content.get("metrics", []),
            versions=content["versions"],
            models=models,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is not whole ({error}). Run the experiment again.") from error


def evaluated(plan: Plan, of: Steps) -> dict[str, list[Summary]]:
    """Model -> the summaries that are there, one for each repeat."""
    found = {
        model.name: [
            load_summary(of.evaluation(model, seed))
            for seed in model.trainers
            if of.evaluation(model, seed).is_file()
        ]
        for model in plan.models
    }
    return {name: summaries for name, summaries in found.items() if summaries}


def compare_groups(
    plan: Plan, summaries: Mapping[str, Sequence[Summary]], progress: Progress = silent
) -> dict[str, Comparison]:
    """Group of cases -> the models compared on it; "" for all cases. None of fewer than two models."""
    if len(summaries) < 2:
        return {}
    baseline = plan.baseline if plan.baseline in summaries else None
    groups = {"": "*", **plan.groups}
    return {
        group: compare_models(
            {name: [_only(each, pattern, group) for each in of] for name, of in summaries.items()},
            plan.metrics or None,
            baseline=baseline,
            progress=progress,
        )
        for group, pattern in groups.items()
    }


def save_tables(folder: Path, comparisons: Mapping[str, Comparison]) -> list[Path]:
    """Write the means and the differences of each group of cases as CSV."""
    files = []
    for group, comparison in comparisons.items():
        end = f"_{file_name(group)}" if group else ""
        files.append(save_comparison(comparison.means, folder / f"means{end}.csv"))
        files.append(save_comparison(comparison.differences, folder / f"differences{end}.csv"))
    return files


def _only(summary: Summary, pattern: str, group: str) -> Summary:
    """The summary of the cases whose file name fits; what was pooled over all cases is left out."""
    if pattern == "*":
        return summary
    cases = [case for case in summary["metric_per_case"] if fnmatch(_reference_of(case), pattern)]
    if not cases:
        raise UserError(f"groups: no case fits {pattern!r} of {group!r}.")
    return {**{key: value for key, value in summary.items() if key != "pooled"}, "metric_per_case": cases}


def _reference_of(case: Mapping[str, Any]) -> str:
    """File name of a case's reference: instance maps of two formats differ in the ending."""
    return Path(case.get("reference_file", case["prediction_file"])).name


def package_versions() -> dict[str, str]:
    """Version of Python and of the packages that results depend on."""
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _texts(content: Any) -> Any:
    """The same with paths as text."""
    if isinstance(content, dict):
        return {key: _texts(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_texts(value) for value in content]
    return str(content) if isinstance(content, Path) else content
