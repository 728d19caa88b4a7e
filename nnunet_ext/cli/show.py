"""``nnunet_ext show``: pictures to choose settings by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nnunet_ext.cli.console import err, out, track

if TYPE_CHECKING:
    from nnunet_ext.training.weighted import WeightedTrainer

show_app = typer.Typer(
    no_args_is_help=True,
    help="Pictures to choose settings by.\n\nExample: nnunet_ext show weight-maps -d 510 -o maps.png",
)
# Word on the command line -> the family that trains with the map.
MAPS = {"balance": "BWM", "unet": "UNetWM", "distance": "DWM", "shape": "SAW", "own": "Weighted"}
DEFAULT = ("balance", "unet", "distance", "shape")


@show_app.callback()
def _group() -> None:
    pass


@show_app.command("weight-maps")
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
    with err.status("loading nnU-Net …"):
        from nnunet_ext.training.extra_targets.preview import preview
        from nnunet_ext.training.extra_targets.preview_figure import check_picture, draw

        trainers = {word: _trainer(word) for word in maps or DEFAULT}
    check_picture(output)
    raw, rows = preview(
        dataset,
        {word: None if word == "own" else trainer.weight_map for word, trainer in trainers.items()},
        cases or (),
        window,
        progress=lambda planes, total: track(planes, total, "Weight maps"),
    )
    draw(
        rows,
        _class_names(raw.content["labels"], raw.classes.labels),
        output,
        "weights relative to their mean",
    )
    out.print(_table(trainers, rows))
    out.print(f"Wrote {output}", markup=False, soft_wrap=True)


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
        table.add_row(word, *(f"{end(shown):.3g}" for end in (np.nanmin, np.nanmax)), trainer.__name__)
    return table
