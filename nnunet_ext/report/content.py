"""What a report is about: the models, their evaluations, and the cases it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.classes import evaluate_folders
from nnunet_ext.evaluation.comparability import stale_notes
from nnunet_ext.evaluation.comparison import (
    FOREGROUND,
    Comparison,
    ComparisonRow,
    case_values,
    choose_metrics,
    compare_models,
    is_higher_better,
)
from nnunet_ext.evaluation.instances import evaluate_instance_folders
from nnunet_ext.evaluation.summary import Summary, load_summary
from nnunet_ext.experiment.results import Results, package_versions
from nnunet_ext.metrics.repeated import CASES
from nnunet_ext.worker_pool import Progress, silent

#: of each kind of cases that are shown
WORST, MEDIAN, DIFFERENT = 3, 2, 3
#: the metrics of the case table, as far as there are any; the first is what cases are chosen by
_OF_CASES = ("Dice", "Beta0Error", "clDice", "PQ", "RQ", "AJI", "ExposedSurface")


@dataclass
class Model:
    """A model in a report.

    Attributes
    ----------
    predictions : list of Path
        A folder for each training.
    summaries : list of dict
        Its evaluation.
    trainings : list of Path
        nnU-Net's folders of the trainings (``fold_0``), for their curves.
    names : list of str
        What each training is called: a trainer with its seed.
    commands : list of str
    """

    predictions: list[Path]
    summaries: list[Summary] = field(default_factory=list)
    trainings: list[Path] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


@dataclass
class Subject:
    """All that a report is made of.

    Attributes
    ----------
    models : dict
        Name -> model; the baseline first.
    reference : Path
        Folder of the references.
    images : Path or None
    dataset_json : Path or None
    instances : bool
    chill : bool
        Accept references without a prediction.
    metrics : list of str
        Those to show; empty for the main ones.
    notes_on_files : list of str
        What is missing, or older than what it was made of.
    versions : dict
        Package -> version.
    """

    models: dict[str, Model]
    reference: Path
    images: Path | None
    dataset_json: Path | None
    instances: bool
    chill: bool = False
    metrics: list[str] = field(default_factory=list)
    notes_on_files: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=package_versions)

    def evaluate(self, processes: int = 1, progress: Progress = silent) -> None:
        """Evaluate the predictions of every model without a summary; errors are those of the evaluation."""
        for model in self.models.values():
            if model.summaries:
                continue
            run = evaluate_instance_folders if self.instances else evaluate_folders
            for folder in model.predictions:
                summary = run(
                    self.reference,
                    folder,
                    dataset_json=self.dataset_json,
                    processes=processes,
                    chill=self.chill,
                    progress=progress,
                )
                model.summaries.append(summary)

    @property
    def summaries(self) -> dict[str, list[Summary]]:
        """Name -> the summaries of a model."""
        return {name: model.summaries for name, model in self.models.items()}

    @property
    def notes(self) -> list[str]:
        """What the evaluations noticed, and what is to be said about their files."""
        return [
            *self.notes_on_files,
            *dict.fromkeys(
                note
                for summaries in self.summaries.values()
                for summary in summaries
                for note in summary.get("notes", [])
            ),
        ]


def of_experiment(results: Results) -> Subject:
    """Take over what an experiment has; repeats without an evaluation are left out, with a note.

    Raises
    ------
    UserError
        If nothing was evaluated yet.
    """
    models, notes = {}, []
    names = [results.baseline, *(name for name in results.models if name != results.baseline)]
    for name in names:
        every = results.models.get(name, [])
        repeats = [repeat for repeat in every if repeat.evaluation.is_file()]
        missing = [f"seed {repeat.seed}" for repeat in every if repeat not in repeats]
        if missing:
            notes.append(f"{name}, {', '.join(missing)}: left out, since there is no evaluation.")
        if repeats:
            models[name] = Model(
                predictions=[repeat.predictions for repeat in repeats],
                summaries=[load_summary(repeat.evaluation) for repeat in repeats],
                trainings=[folder for repeat in repeats for folder in repeat.trainings],
                names=[repeat.trainer for repeat in repeats],
                commands=[line for repeat in repeats for line in repeat.commands],
            )
            for repeat, summary in zip(repeats, models[name].summaries, strict=True):
                notes += stale_notes(repeat.evaluation, summary)
    if not models:
        raise UserError("This experiment has no evaluation yet. Run it first; the same command goes on.")
    images = results.images if results.images.is_dir() else None
    return Subject(
        models,
        results.references,
        images,
        results.dataset_json,
        results.instances,
        metrics=results.metrics,
        notes_on_files=notes,
        versions=results.versions,
    )


def compare(subject: Subject, metrics: Sequence[str] | None, progress: Progress = silent) -> Comparison:
    """The means of all models and, of two or more, their differences to the first."""
    return compare_models(subject.summaries, metrics, single=True, progress=progress)


@dataclass(frozen=True)
class CaseTable:
    """One metric of every case.

    Attributes
    ----------
    metric : str
    higher_is_better : bool or None
    values : dict
        Case -> a number for each model, the mean of its trainings; NaN where there is none.
    """

    metric: str
    higher_is_better: bool | None
    values: dict[str, list[float]]


def case_tables(subject: Subject, metrics: Sequence[str] | None) -> list[CaseTable]:
    """The foreground mean of the chosen metrics, case by case."""
    every = [summary for summaries in subject.summaries.values() for summary in summaries]
    chosen = choose_metrics(metrics, every)
    if metrics is None:
        chosen = [metric for metric in _OF_CASES if metric in chosen] or chosen
    tables = []
    for metric in chosen:
        of_models = [
            [case_values(summary, metric, FOREGROUND) for summary in summaries]
            for summaries in subject.summaries.values()
        ]
        cases = sorted(of_models[0][0])
        values = {
            case: [float(np.mean([training[case] for training in trainings])) for trainings in of_models]
            for case in cases
        }
        tables.append(CaseTable(metric, is_higher_better(metric), values))
    return tables


def choose_cases(table: CaseTable) -> dict[str, list[str]]:
    """Why a case is shown -> the cases, by the metric of the table; each case once.

    The worst are those of the worst mean over the models, the median ones those in the middle of that order.
    The most different are those on which a model differs most from the first. Cases without a number come
    last; of equal ones the first in the alphabet comes first.
    """
    sign = -1 if table.higher_is_better is False else 1

    def quality(case: str) -> tuple[float, str]:
        mean = float(np.mean(table.values[case]))
        return (math.inf if math.isnan(mean) else sign * mean, case)

    def difference(case: str) -> tuple[float, str]:
        first, *others = table.values[case]
        largest = max((abs(other - first) for other in others), default=math.nan)
        return (math.inf if math.isnan(largest) else -largest, case)

    ordered = sorted(table.values, key=quality)
    middle = max(0, (len(ordered) - MEDIAN) // 2)
    groups = {
        "worst": ordered[:WORST],
        "median": ordered[middle : middle + MEDIAN],
        "most different": sorted(table.values, key=difference)[:DIFFERENT] if _several(table) else [],
    }
    seen: set[str] = set()
    chosen = {}
    for group, cases in groups.items():
        chosen[group] = [case for case in cases if case not in seen]
        seen.update(cases)
    return chosen


def _several(table: CaseTable) -> bool:
    return len(next(iter(table.values.values()), [])) > 1


def verdicts(comparison: Comparison, alpha: float = 0.05) -> list[str]:
    """One sentence for each pair of models: what is better or worse beyond chance, and what is not known."""
    sentences = []
    rows = [row for row in comparison.differences if row.p == row.p]
    for a, b in dict.fromkeys((row.a, row.b) for row in rows):
        of_pair = [row for row in rows if (row.a, row.b) == (a, b)]
        keys = {row.class_key for row in of_pair}
        main = [row for row in of_pair if row.class_key == FOREGROUND or len(keys) == 1]
        parts = []
        for word, better in (("better", True), ("worse", False), ("other", None)):
            found = [
                f"{row.metric} (by {abs(row.difference):.3g}, p = {row.p_holm:.2g})"
                for row in main
                if row.p_holm < alpha and _is_better(row) is better
            ]
            parts += [f"{word} in {', '.join(found)}"] if found else []
        unclear = [row.metric for row in main if row.p_holm >= alpha]
        parts += [f"no difference can be shown in {', '.join(unclear)}"] if unclear else []
        # With one training of a model nobody knows what another one would give.
        of_these = ", these trainings" if any(row.chance == CASES for row in main) else ""
        sentences.append(f"{b} against {a}{of_these}: {'; '.join(parts)}.")
    return sentences


def _is_better(row: ComparisonRow) -> bool | None:
    return None if row.higher_is_better is None else (row.difference > 0) == row.higher_is_better


def name_models(pairs: Sequence[tuple[str, Path]]) -> dict[str, list[Path]]:
    """Name -> folders; the same name again is another training.

    Raises
    ------
    UserError
        If a folder is not there, or given twice.
    """
    models: dict[str, list[Path]] = {}
    seen: dict[Path, str] = {}
    for name, folder in pairs:
        if not folder.is_dir():
            raise UserError(f"{name}: there is no folder {folder}.")
        place = folder.resolve()
        if place in seen:
            raise UserError(f"{folder} is given twice, for {seen[place]} and {name}.")
        seen[place] = name
        models.setdefault(name, []).append(folder)
    return models
