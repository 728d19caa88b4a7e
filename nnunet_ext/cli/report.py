"""``nnunet_ext report``: one HTML page to look at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nnunet_ext.cli.console import say, track, warn
from nnunet_ext.cli.named_folders import named_pairs

if TYPE_CHECKING:
    from nnunet_ext.report.content import Subject


def report(
    output: Annotated[Path, typer.Option("-o", help="Folder for the page, index.html.")],
    experiment: Annotated[
        Path | None, typer.Option("--experiment", help="Output folder of nnunet_ext experiment.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option("-ref", help="Folder with the reference segmentations.")
    ] = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(
            "-pred",
            metavar="NAME=FOLDER",
            help="Predictions of a model; the first is the baseline. The same "
            "NAME again: another training of it.",
        ),
    ] = None,
    images: Annotated[Path | None, typer.Option("-i", help="Folder with the images.")] = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="The files hold instance ids, not classes.")
    ] = False,
    dataset_json: Annotated[
        Path | None, typer.Option("-djfile", help="dataset.json. Default: as for evaluate.")
    ] = None,
    trainings: Annotated[
        list[str] | None,
        typer.Option(
            "--training",
            metavar="NAME=FOLDER",
            help="nnU-Net's folder of a training (…/fold_0), for its curves.",
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="Metrics to show; cases are chosen by the first. Default: those of the experiment, "
            "or the main ones.",
        ),
    ] = None,
    chill: Annotated[
        bool, typer.Option("--chill", help="Accept references without a prediction, as evaluate does.")
    ] = False,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "",
    processes: Annotated[int, typer.Option("-np", min=1, help="Number of processes.")] = 1,
) -> None:
    """One page with tables, tests, plots and the cases that matter, their mistakes marked in pictures.

    It is a single file that needs no server and no network: it can be sent by mail.

    Example: nnunet_ext report -ref labelsTs -pred Ext=baseline -pred SCNP=scnp -i imagesTs -o report

    Example: nnunet_ext report --experiment topomortar -o report
    """
    from nnunet_ext.errors import UserError, command
    from nnunet_ext.files import write_texts
    from nnunet_ext.report.content import case_tables, choose_cases, compare
    from nnunet_ext.report.page import render
    from nnunet_ext.report.pictures import draw_pictures
    from nnunet_ext.report.plots import curves

    _check_output(output)
    if experiment:
        given = {"-ref": reference, "-pred": predictions, "-i": images, "-djfile": dataset_json}
        other = next((flag for flag, value in given.items() if value), None)
        if other:
            raise UserError(f"{other} does not go with --experiment, which knows it.")
        subject = _of_experiment(experiment)
    else:
        subject = _of_folders(reference, predictions or [], images, dataset_json, instances, trainings or [])
        subject.chill = chill
    subject.evaluate(processes, track)
    chosen = metrics or subject.metrics or None
    comparison = compare(subject, chosen, track)
    tables = case_tables(subject, chosen)
    pictures = draw_pictures(subject, choose_cases(tables[0]), track)
    for picture in pictures:
        if picture.problem:
            warn(f"{picture.case} is not drawn: {picture.problem}")
    drawn = curves({name: model.trainings for name, model in subject.models.items()})
    if not experiment:
        first = next(iter(subject.models.values()))
        first.commands.append(command("nnunet_ext", *sys.argv[1:]))
    page = output / "index.html"
    text = render(subject, comparison, tables, pictures, drawn, title or _title(subject))
    write_texts({page: text})
    for note in [*subject.notes_on_files, *comparison.notes]:
        warn(note)
    say(f"Wrote {page} ({len(text) / 1e6:.1f} MB): open it in a browser.")


def _of_experiment(folder: Path) -> Subject:
    from nnunet_ext.experiment.results import load_results
    from nnunet_ext.report.content import of_experiment

    return of_experiment(load_results(folder))


def _of_folders(
    reference: Path | None,
    predictions: list[str],
    images: Path | None,
    dataset_json: Path | None,
    instances: bool,
    trainings: list[str],
) -> Subject:
    from nnunet_ext.errors import UserError
    from nnunet_ext.report.content import Model, Subject, name_models

    if reference is None or not predictions:
        raise UserError("Give -ref FOLDER and -pred NAME=FOLDER (for each model), or --experiment FOLDER.")
    if images is not None and not images.is_dir():
        raise UserError(f"-i: there is no folder {images}.")
    models = {
        name: Model(predictions=folders) for name, folders in name_models(named_pairs(predictions)).items()
    }
    for name, folder in named_pairs(trainings, "--training"):
        if name not in models:
            raise UserError(f"--training {name}={folder}: there is no model {name!r} among -pred.")
        models[name].trainings.append(folder)
    return Subject(models, reference, images, dataset_json, instances)


def _check_output(folder: Path) -> None:
    from nnunet_ext.errors import UserError
    from nnunet_ext.outputs import check_output_folder

    check_output_folder(folder)
    if folder.is_dir() and any(path.name != "index.html" for path in folder.iterdir()):
        raise UserError(f"-o {folder} holds other files. Choose a new folder.")


def _title(subject: Subject) -> str:
    place = subject.reference.absolute().parent.name
    names = list(subject.models)
    return f"{' and '.join(names) if len(names) < 4 else f'{len(names)} models'} on {place}"
