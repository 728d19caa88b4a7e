"""A folder of predictions against a folder of references."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from nnunet_ext.errors import UserError
from nnunet_ext.metrics.case import CaseEvaluator, UnusableCase
from nnunet_ext.metrics.labels import find_dataset_json, read_classes, read_dataset_json
from nnunet_ext.metrics.summary import Summary, summarize

PathLike = str | os.PathLike[str]
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


def evaluate_folders(
    reference_folder: PathLike,
    prediction_folder: PathLike,
    dataset_json: PathLike | None = None,
    *,
    processes: int = 1,
    connectivity: int | None = None,
    chill: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Evaluate every prediction of a folder, per class or region, and average.

    Reads what nnU-Net reads. Dice, IoU and the counts equal nnU-Net's; β0 error, β1 error and clDice
    are added. Voxels of the ignore label are not counted, and are background for the topology.

    Parameters
    ----------
    reference_folder, prediction_folder : path
        Label maps with equal file names. Only files with the file ending of the dataset count.
    dataset_json : path, optional
        Default: ``dataset.json`` in the prediction folder (nnUNetv2_predict leaves it there), in the
        reference folder, or in the latter's parent.
    processes : int
        1 works in this process; more start that many (each imports nnU-Net first).
    connectivity : int, optional
        For the Betti numbers: 1 (4 or 6 neighbours) or full (8 or 26), the default.
    chill : bool
        Accept references without a prediction, as ``nnUNetv2_evaluate_folder --chill`` does.
    progress : callable, optional
        Called with (results, number of cases); yields the results, drawing a progress bar.

    Returns
    -------
    dict
        nnU-Net's summary: ``metric_per_case``, ``mean``, ``foreground_mean``; see `summarize`.

    Raises
    ------
    UserError
        Naming each case that is missing, has another shape, cannot be read or has undeclared labels.

    Examples
    --------
    .. code-block:: python

        summary = evaluate_folders("labelsTs", "predictions", processes=4)
        summary["foreground_mean"]["Dice"], summary["mean"]["1"]["Beta0Error"]
    """
    reference, prediction = Path(reference_folder), Path(prediction_folder)
    for folder in (reference, prediction):
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}.")
    json_file = Path(dataset_json) if dataset_json else find_dataset_json(prediction, reference)
    content = read_dataset_json(json_file)
    names = match_cases(reference, prediction, content["file_ending"], chill)
    files = [(reference / name, prediction / name) for name in names]

    # Nothing above imports nnU-Net (10 s): a wrong path is reported at once, the bar starts at once.
    results: Iterable[Any] = _evaluate(files, content, json_file, processes, connectivity)
    results = list(progress(results, len(files)) if progress else results)
    problems = [str(result) for result in results if isinstance(result, UnusableCase)]
    if problems:
        listed = "\n  ".join(problems)
        raise UserError(f"{len(problems)} of {len(files)} cases cannot be evaluated:\n  {listed}")
    return summarize(results, read_classes(content, json_file).names, connectivity)


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


def _file_names(folder: Path, file_ending: str) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file() and path.name.endswith(file_ending)}


def _evaluate(
    files: list[tuple[Path, Path]],
    dataset_json: dict[str, Any],
    json_file: Path,
    processes: int,
    connectivity: int | None,
) -> Iterator[Any]:
    reader = _find_reader(dataset_json, files[0][0])
    evaluate_case = CaseEvaluator(reader, read_classes(dataset_json, json_file), connectivity)
    if min(processes, len(files)) <= 1:
        yield from map(evaluate_case, files)
        return
    # Spawn, as nnU-Net does: forking a process in which torch has started threads can hang.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(min(processes, len(files)), mp_context=context) as pool:
            yield from pool.map(evaluate_case, files)
    except BrokenProcessPool as error:
        raise UserError(
            f"One of {processes} worker processes died, most likely out of memory: try fewer. "
            'In a script, call this under `if __name__ == "__main__":`.'
        ) from error


def _find_reader(dataset_json: dict[str, Any], example: Path) -> Any:
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json

    # nnU-Net tries the readers on an example and prints the tracebacks of those that fail. If all do, the
    # example is broken: take the reader of the file ending, and name the file with the other broken ones.
    for example_file in (str(example), None):
        with contextlib.suppress(RuntimeError), contextlib.redirect_stderr(io.StringIO()):
            return determine_reader_writer_from_dataset_json(dataset_json, example_file, verbose=False)()
    raise UserError(f"nnU-Net has no reader for the file ending {dataset_json['file_ending']!r}.")
