"""``nnunet_ext show``: pictures of a dataset, and to choose settings by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nnunet_ext.cli.commands import MARKUP, Command, Group
from nnunet_ext.cli.console import err, out, say, track

if TYPE_CHECKING:
    from nnunet_ext.figures.contact_sheet import CaseFacts
    from nnunet_ext.training.weighted import WeightedTrainer

show_app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=MARKUP,
    help="Pictures of a dataset, or of weight maps to choose their settings by.\n\n"
    "Example: nnunet_ext show dataset -d 510 -o dataset.png",
)
# Word on the command line -> the family that trains with the map.
MAPS = {"balance": "BWM", "unet": "UNetWM", "distance": "DWM", "shape": "SAW", "own": "Weighted"}
_NOTES = 5  # alike, that are printed
DEFAULT = ("balance", "unet", "distance", "shape")


@show_app.callback()
def _group() -> None:
    pass


@show_app.command("dataset", cls=Command)
def dataset_sheet(
    dataset: Annotated[str, typer.Option("-d", help="Dataset id or name in nnUNet_raw.")],
    output: Annotated[Path, typer.Option("-o", metavar="FIGURE.png", help="Picture to write.")],
    cases: Annotated[
        int, typer.Option("--cases", min=1, help="How many training cases, evenly spread over their names.")
    ] = 6,
) -> None:
    """A contact sheet: images with the contours of their labels, sizes, spacing, intensities, class counts.

    The first thing to do after a conversion. Of a volume it shows a slice along each axis, the middle one
    unless that has few labels, and the maximum projection along z.

    Example: nnunet_ext show dataset -d 510 -o dataset.png --cases 6
    """
    from nnunet_ext.figures.style import check_picture

    check_picture(output)
    with err.status("loading nnU-Net …"):
        from nnunet_ext.errors import UserError
        from nnunet_ext.figures.contact_sheet import draw, sheet, spread
        from nnunet_ext.nnunet_files.raw_dataset import RawDataset

        raw = RawDataset(dataset)
    names = _class_names(raw.content["labels"], raw.classes.labels)
    chosen = spread(list(raw.files), cases)
    rows, facts, problems = sheet(raw, chosen, names, track)
    if rows:
        title = f"{raw.folder.name}: {len(rows)} of {len(raw.files)} training cases"
        draw(rows, names, raw.classes.ignore_label, output, title)
        out.print(_facts_table(title, facts, names))
        _say_notes([note for case in facts for note in case.notes])
        say(f"Wrote {output}")
    if problems:
        listed = "\n  ".join(map(str, problems))
        raise UserError(f"{len(problems)} of {len(chosen)} cases cannot be shown:\n  {listed}")


def _facts_table(title: str, cases: Sequence[CaseFacts], names: Mapping[int, str]) -> Table:
    """A row per case, and one for all that are shown."""
    from nnunet_ext.figures.style import shortened

    table = Table(title=title, title_justify="left")
    table.add_column("case", overflow="fold")
    for heading in ("size", "spacing", "intensity", *names.values()):
        table.add_column(heading, justify="right")
    for i, facts in enumerate(cases):
        table.add_row(
            shortened(facts.case),
            " x ".join(map(str, facts.shape)),
            facts.spacing_text,
            ", ".join(dict.fromkeys(map(facts.range_text, range(len(facts.ranges))))),
            *_shares(facts.voxels),
            end_section=i == len(cases) - 1,
        )
    total = {label: sum(facts.voxels[label] for facts in cases) for label in names}
    table.add_row("all shown", "", "", "", *_shares(total))
    return table


def _say_notes(notes: Sequence[str]) -> None:
    for note in notes[:_NOTES]:
        say(f"Note: {note}.")
    if len(notes) > _NOTES:
        say(f"Note: and {len(notes) - _NOTES} more like these.")


def _shares(voxels: Mapping[int, int]) -> list[str]:
    total = sum(voxels.values()) or 1
    return [f"{number / total:.2%}" if number else "none" for number in voxels.values()]


@show_app.command("weight-maps", cls=Command)
def weight_maps(
    dataset: Annotated[str, typer.Option("-d", help="Dataset id or name in nnUNet_raw.")],
    output: Annotated[Path, typer.Option("-o", metavar="FIGURE.png", help="Picture to write.")],
    cases: Annotated[
        list[str] | None,
        typer.Option("-case", help="Training cases, a row of the picture each. Default: the first one."),
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="balance, unet, distance, shape, own (your files in weightsTr); with options as in the name "
            "of the trainer, such as unet_peak3_sigma10. Default: the first four.",
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(min=8, help="Show only the square of this edge, in pixels, that has the most cells."),
    ] = None,
) -> None:
    """Image, label and weight maps side by side, of real cases, with colour bars.

    Maps are shown relative to their mean over the case, as the loss takes them. Of a volume it is the slice
    with the most cells. Class frequencies are those of the cases shown.

    Example: nnunet_ext show weight-maps -d 510 -case a b --map unet unet_sigma10 -o maps.png
    """
    from nnunet_ext.figures.style import check_picture

    check_picture(output)
    with err.status("loading nnU-Net …"):
        from nnunet_ext.figures.weight_maps import draw, preview

        trainers = {word: _trainer(word) for word in maps or DEFAULT}
    raw, rows = preview(
        dataset,
        {word: None if word == "own" else trainer.weight_map for word, trainer in trainers.items()},
        cases or (),
        window,
        progress=track,
    )
    draw(
        rows,
        _class_names(raw.content["labels"], raw.classes.labels),
        output,
        "weights relative to their mean",
    )
    out.print(_table(trainers, rows))
    _say_notes([row.note for row in rows if row.note])
    say(f"Wrote {output}")


def _trainer(word: str) -> type[WeightedTrainer]:
    """The trainer behind ``unet_peak3``: the family of the map with these options."""
    from nnunet_ext.errors import UserError
    from nnunet_ext.trainers import get_trainer
    from nnunet_ext.training.names import PREFIX

    name, joint, options = word.partition("_")
    if name not in MAPS:
        raise UserError(f"--map {word}: there is no map {name!r}. Known maps: {', '.join(MAPS)}.")
    trainer: Any = get_trainer(f"{PREFIX}{MAPS[name]}{joint}{options}")
    return trainer


def _class_names(labels: Mapping[str, Any], values: Sequence[int]) -> dict[int, str]:
    """Label -> class, the ignore label included; a label that only regions have is named by its number."""
    names = {value: str(value) for value in values}
    return names | {value: name for name, value in labels.items() if isinstance(value, int)}


def _table(trainers: Mapping[str, type[WeightedTrainer]], rows: Sequence[Any]) -> Table:
    """A row per map: how far its weights go in what is shown, and the trainer's name."""
    import numpy as np

    table = Table("map")
    for heading in ("least", "most"):
        table.add_column(heading, justify="right")
    table.add_column("train with", no_wrap=True)
    for word, trainer in trainers.items():
        shown = np.concatenate([row.maps[word].ravel() for row in rows])
        table.add_row(
            word,
            *(f"{end(shown):.3g}" for end in (np.nanmin, np.nanmax)),
            trainer.same_as or trainer.__name__,
        )
    return table
