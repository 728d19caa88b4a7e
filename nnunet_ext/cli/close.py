"""``nnunet_ext close``: gaps in predicted labels filled by binary closing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nnunet_ext.cli.console import count, decimal, number_table, out, say, say_command, track

if TYPE_CHECKING:
    from nnunet_ext.evaluation.summary import Summary
    from nnunet_ext.postprocessing import ClosedFolder

_SIZES = (3, 5, 7)  # the SCNP paper's
_SHOWN = ("Beta0Error", "Beta1Error", "Dice", "clDice")
_TUNING = "With --tune"


def close(
    prediction: Annotated[Path, typer.Option("-i", help="Folder that nnUNetv2_predict wrote.")],
    output: Annotated[Path, typer.Option("-o", help="Folder for the closed labels.")],
    size: Annotated[
        int, typer.Option(min=3, help="Edge of the cube in voxels, odd: gaps below it are filled.")
    ] = 3,
    dataset_json: Annotated[
        Path | None, typer.Option("-djfile", help="dataset.json. Default: the one in PRED or above.")
    ] = None,
    processes: Annotated[int, typer.Option("-np", min=1, help="Number of processes.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in OUT.")] = False,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Try several sizes on validation predictions, a folder in OUT each, and say which is best.",
            rich_help_panel=_TUNING,
        ),
    ] = False,
    sizes: Annotated[
        list[int] | None, typer.Option("--sizes", help="To try. Default: 3 5 7.", rich_help_panel=_TUNING)
    ] = None,
    reference: Annotated[
        Path | None, typer.Option("-ref", help="The truth, to compare with.", rich_help_panel=_TUNING)
    ] = None,
    metric: Annotated[
        str, typer.Option(help="By its mean over cases and classes.", rich_help_panel=_TUNING)
    ] = "Beta0Error",
) -> None:
    """Fill narrow gaps in predicted labels: binary closing of every class or region.

    The baseline to compare trained topology with. A class gains background only, a region also what it is a
    part of. The size is to be chosen on validation cases, never on those that results are reported of.

    Example: nnunet_ext close -i predictions -o closed --size 5

    Example: nnunet_ext close -i fold_0/validation -ref labelsTr -o tried --tune
    """
    from nnunet_ext.errors import UserError
    from nnunet_ext.postprocessing import close_folder

    work = partial(
        close_folder,
        prediction,
        dataset_json=dataset_json,
        processes=processes,
        overwrite=overwrite,
        progress=track,
    )
    if tune and reference is None:
        raise UserError("--tune compares with the truth: give its folder with -ref.")
    if tune and reference:
        evaluate = _evaluation(prediction, output, reference, dataset_json, processes)
        best = _tune(work, evaluate, output, sorted(set(sizes or _SIZES)), metric)
        if best:
            words = ("close", "-i", "PREDICTIONS", "-o", "CLOSED", "--size", best)
            say_command("nnunet_ext", *words)
        return
    if reference or sizes:
        raise UserError(f"{'-ref' if reference else '--sizes'} is about choosing a size: add --tune.")
    _report(work(output, size), output)


def _report(result: ClosedFolder, output: Path) -> None:
    """Print what was gained, and raise where cases could not be made."""
    from nnunet_ext.errors import UserError

    names = list(dict.fromkeys(name for entry in result.cases.values() for name in entry["gained"]))
    table = number_table("class", ("voxels gained",), title=count(len(result.cases), "case"))
    for name in names:
        table.add_row(name, str(sum(entry["gained"][name] for entry in result.cases.values())))
    out.print(table)
    kept = f", {result.kept} kept from an earlier run" if result.kept else ""
    say(f"{len(result.cases) - result.kept} closed{kept}, in {output}")
    for note in result.notes:
        say(f"Note: {note}")
    if result.problems:
        listed = "\n  ".join(result.problems)
        number = len(result.problems) + len(result.cases)
        raise UserError(f"{len(result.problems)} of {number} cases cannot be closed:\n  {listed}")


def _evaluation(
    prediction: Path, output: Path, reference: Path, dataset_json: Path | None, processes: int
) -> Callable[[Path], Summary]:
    """The evaluation of a folder of these cases."""
    from nnunet_ext.evaluation import evaluate_folders
    from nnunet_ext.nnunet_files.prediction_folder import find_description
    from nnunet_ext.outputs import check_output_folder

    check_output_folder(output, [prediction, reference])
    labels = dataset_json or find_description(prediction)
    return lambda folder: evaluate_folders(reference, folder, labels, processes=processes, progress=track)


def _tune(
    work: partial[ClosedFolder],
    evaluate: Callable[[Path], Summary],
    output: Path,
    sizes: list[int],
    metric: str,
) -> int:
    """Try the sizes, print the table, and return the best; 0 if the predictions are best as they are."""
    from nnunet_ext.errors import UserError
    from nnunet_ext.evaluation import save_summary
    from nnunet_ext.evaluation.comparison import ARROWS, is_higher_better
    from nnunet_ext.postprocessing.folder import best_size

    better = is_higher_better(metric)
    if better is None:
        raise UserError(f"--metric {metric}: of it nobody knows which direction is better. Try Beta0Error.")
    summaries = {0: evaluate(work.args[0])}
    if metric not in summaries[0]["foreground_mean"]:
        there = ", ".join(summaries[0]["foreground_mean"])
        raise UserError(f"--metric {metric} is not measured. There are: {there}.")
    for size in sizes:
        folder = output / f"size_{size}"
        result = work(folder, size)
        if result.problems:
            _report(result, folder)
        summaries[size] = evaluate(folder)
        save_summary(summaries[size], folder / "evaluation.json")
    shown = list(dict.fromkeys([metric, *_SHOWN]))
    table = number_table("size", [name + ARROWS[is_higher_better(name)] for name in shown])
    for size, summary in summaries.items():
        cells = [decimal(summary["foreground_mean"][name]) for name in shown]
        table.add_row(str(size) if size else "none", *cells)
    out.print(table)
    best = best_size(summaries, metric, better)
    cases = count(len(summaries[0]["metric_per_case"]), "case")
    say(f"Of {cases}, {metric} is best {f'with size {best}' if best else 'without closing'}.")
    return best
