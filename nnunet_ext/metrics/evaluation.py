"""A folder of predictions against a folder of references."""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nnunet_ext.errors import UserError
from nnunet_ext.metrics.case import CaseEvaluator
from nnunet_ext.metrics.folders import Progress, check_folders, evaluate_cases, match_cases
from nnunet_ext.metrics.labels import find_dataset_json, read_classes, read_dataset_json
from nnunet_ext.metrics.nested_classes import Nesting, pooled_containment, read_nesting
from nnunet_ext.metrics.summary import Summary, summarize

PathLike = str | os.PathLike[str]


def evaluate_folders(
    reference_folder: PathLike,
    prediction_folder: PathLike,
    dataset_json: PathLike | None = None,
    *,
    processes: int = 1,
    connectivity: int | None = None,
    containment: bool = False,
    chill: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Evaluate every prediction of a folder, per class or region, and average.

    Reads what nnU-Net reads. Dice, IoU and the counts equal nnU-Net's; β0 error, β1 error and clDice
    are added. Voxels of the ignore label are not counted, and are background for the topology. Where
    dataset.json has a ``"nesting"`` or nested regions, it is also measured whether inner classes lie in their
    outer ones, in predictions and, to compare, in references; see `containment`.

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
    containment : bool
        Measure containment even if dataset.json does not say what lies in what: each label in the one before.
    chill : bool
        Accept references without a prediction, as ``nnUNetv2_evaluate_folder --chill`` does.
    progress : callable, optional
        Called with (results, number of cases); yields the results, drawing a progress bar.

    Returns
    -------
    dict
        nnU-Net's summary: ``metric_per_case``, ``mean``, ``foreground_mean``; see `summarize`. With nested
        classes also, by their key in the summary,

        * ``nesting``: the labels of ``inner`` and of ``outer``, and ``outer_name``
        * ``pooled``: containment from the summed counts of all cases

    Raises
    ------
    UserError
        Naming each case that is missing, has another shape, cannot be read or has undeclared labels; or
        the label with which a ``"nesting"`` is wrong.

    Examples
    --------
    .. code-block:: python

        summary = evaluate_folders("labelsTs", "predictions", processes=4)
        summary["foreground_mean"]["Dice"], summary["mean"]["1"]["Beta0Error"]
    """
    reference, prediction = Path(reference_folder), Path(prediction_folder)
    check_folders(reference, prediction)
    json_file = Path(dataset_json) if dataset_json else find_dataset_json(prediction, reference)
    content = read_dataset_json(json_file)
    names = match_cases(reference, prediction, content["file_ending"], chill)
    files = [(reference / name, prediction / name) for name in names]

    def make_evaluator() -> CaseEvaluator:
        # Only this imports nnU-Net (10 s): a wrong path is reported at once, the bar starts at once.
        classes = read_classes(content, json_file)
        nesting = read_nesting(content, classes, containment)
        return CaseEvaluator(_find_reader(content, files[0][0]), classes, connectivity, nesting)

    cases = evaluate_cases(make_evaluator, files, processes, progress)
    classes = read_classes(content, json_file)
    nesting = read_nesting(content, classes, containment)
    return {**summarize(cases, classes.names, connectivity), **_nested_part(cases, nesting)}


def _nested_part(cases: list[dict[str, Any]], nesting: Nesting) -> Summary:
    if not nesting:
        return {}
    return {
        "nesting": {key: asdict(nested) for key, nested in nesting.items()},
        "pooled": {key: pooled_containment(case["metrics"][key] for case in cases) for key in nesting},
    }


def _find_reader(dataset_json: dict[str, Any], example: Path) -> Any:
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json

    # nnU-Net tries the readers on an example and prints the tracebacks of those that fail. If all do, the
    # example is broken: take the reader of the file ending, and name the file with the other broken ones.
    for example_file in (str(example), None):
        with contextlib.suppress(RuntimeError), contextlib.redirect_stderr(io.StringIO()):
            return determine_reader_writer_from_dataset_json(dataset_json, example_file, verbose=False)()
    raise UserError(f"nnU-Net has no reader for the file ending {dataset_json['file_ending']!r}.")
