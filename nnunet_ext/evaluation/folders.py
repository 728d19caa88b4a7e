"""Pairs of files of one name in two folders, each evaluated, in one process or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.worker_pool import Progress, in_order, silent

_REMEDY = 'Try fewer processes (-np). In a script, call this under `if __name__ == "__main__":`.'
Files = tuple[Path, Path]
Evaluator = Callable[[Files], Any]


def check_folders(*folders: Path) -> None:
    """Raise `UserError` for the first that is not a folder."""
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}.")


def match_cases(reference: Path, prediction: Path, file_ending: str, chill: bool = False) -> list[str]:
    """File names present in both folders; a `UserError` names every one that is in one only."""
    references, predictions = _file_names(reference, file_ending), _file_names(prediction, file_ending)
    for folder, names in ((reference, references), (prediction, predictions)):
        if not names:
            raise UserError(f"No file ending in {file_ending} in {folder}. Is it the right folder?")
    problems = []
    missing, extra = sorted(references - predictions), sorted(predictions - references)
    if missing and not chill:
        problems.append(f"No prediction in {prediction} for {len(missing)} references: {', '.join(missing)}")
    if extra:
        problems.append(f"No reference in {reference} for {len(extra)} predictions: {', '.join(extra)}")
    if problems:
        hint = "" if extra else "\n(--chill evaluates the predictions there are.)"
        raise UserError("\n".join(problems) + hint)
    return sorted(predictions)


def evaluate_cases(
    make_evaluator: Callable[[], Evaluator],
    files: list[Files],
    processes: int = 1,
    progress: Progress = silent,
    description: str = "Evaluating",
) -> list[Any]:
    """Evaluate every pair of files; all that turn out unusable are named in one `UserError`.

    Parameters
    ----------
    make_evaluator : callable
        Returns what turns a pair into a result or an `UnusableCase`, and can be sent to other processes.
        Called once the progress bar is there, so it may be slow.
    files : list of (Path, Path)
        Reference and prediction of each case.
    processes, progress
        As in `evaluate_folders`.
    description : str
        What is being done, for `progress`.
    """
    results = list(progress(_results(make_evaluator, files, processes), len(files), description))
    problems = [str(result) for result in results if isinstance(result, UnusableCase)]
    if problems:
        listed = "\n  ".join(problems)
        raise UserError(f"{len(problems)} of {len(files)} cases cannot be evaluated:\n  {listed}")
    return results


def _file_names(folder: Path, file_ending: str) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file() and path.name.endswith(file_ending)}


def _results(make_evaluator: Callable[[], Evaluator], files: list[Files], processes: int) -> Iterator[Any]:
    yield from in_order(make_evaluator(), files, processes, _REMEDY, name=lambda pair: pair[1].name)
