"""Pairs of files of one name in two folders, each evaluated, in one process or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.worker_pool import Progress, in_order, silent

_REMEDY = 'Try fewer processes (-np). In a script, call this under `if __name__ == "__main__":`.'
Files = tuple[Path, Path]
Evaluator = Callable[[Files], Any]


def check_folders(*folders: Path) -> None:
    """Raise `UserError` for the first that is not a folder, or if two are the same."""
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}.")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError(
            f"-ref and -pred are one folder, {folders[0]}: anything agrees with itself. Give the folder of "
            "the references and that of the predictions."
        )


def match_cases(
    references: dict[str, Path], predictions: dict[str, Path], chill: bool = False
) -> list[Files]:
    """Pair the files of one case; a `UserError` names every one that is in one folder only.

    Parameters
    ----------
    references, predictions : dict
        As `find_files` returns, neither of them empty.
    chill : bool
        References without a prediction are accepted.
    """
    problems = []
    missing, extra = sorted(set(references) - set(predictions)), sorted(set(predictions) - set(references))
    if missing and not chill:
        problems.append(
            _alone("prediction", predictions, "references", [references[case] for case in missing])
        )
    if extra:
        problems.append(_alone("reference", references, "predictions", [predictions[case] for case in extra]))
    if problems:
        hint = "" if extra else "\n(--chill evaluates the predictions there are.)"
        raise UserError("\n".join(problems) + hint)
    return [(references[case], predictions[case]) for case in sorted(predictions)]


def _alone(what: str, searched: dict[str, Path], others: str, files: Sequence[Path]) -> str:
    folder = next(iter(searched.values())).parent
    return f"No {what} in {folder} for {len(files)} {others}: {', '.join(file.name for file in files)}"


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


def _results(make_evaluator: Callable[[], Evaluator], files: list[Files], processes: int) -> Iterator[Any]:
    yield from in_order(make_evaluator(), files, processes, _REMEDY, name=lambda pair: pair[1].name)
