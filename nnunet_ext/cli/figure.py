"""``nnunet_ext figure``: a picture of cases with the mistakes of their predictions, for a paper."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from nnunet_ext.cli.console import err, number_table, out, say, track

if TYPE_CHECKING:
    from nnunet_ext.evaluation.case_folders import CaseFolders
    from nnunet_ext.evaluation.case_mistakes import Mistakes
    from nnunet_ext.evaluation.case_view import CaseView

_INCHES = {"mm": 1 / 25.4, "cm": 1 / 2.54, "in": 1.0}
_NARROWEST, _WIDEST = 1.0, 100.0  # inches
_INSTANCES = "With --instances"


def figure(
    reference: Annotated[Path, typer.Option("-ref", help="Folder with the reference segmentations.")],
    predictions: Annotated[
        list[str],
        typer.Option(
            "-pred",
            metavar="NAME=FOLDER",
            help="Predictions of a model, a panel each. Without NAME it is called like the folder.",
        ),
    ],
    cases: Annotated[
        list[str], typer.Option("--case", metavar="CASE", help="Cases, a row of the picture each.")
    ],
    output: Annotated[
        Path, typer.Option("-o", metavar="FIGURE.pdf", help="Picture to write: .pdf, .svg, .png …")
    ],
    images: Annotated[
        Path | None, typer.Option("-i", help="Folder with the images. Default: only labels are drawn.")
    ] = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="The files hold instance ids, not classes.")
    ] = False,
    width: Annotated[
        str | None,
        typer.Option(
            metavar="89mm", help="Of the picture: mm, cm or in. Default: 69 mm (2.7 in) for each panel."
        ),
    ] = None,
    columns: Annotated[
        int | None, typer.Option(min=1, help="Panels side by side. Default: all, or from five on at most 4.")
    ] = None,
    dpi: Annotated[int, typer.Option(min=30, max=2400, help="Of the images in it, and of a .png.")] = 300,
    dataset_json: Annotated[
        Path | None,
        typer.Option("-djfile", help="dataset.json. Default: the one in PRED, in REF or above REF."),
    ] = None,
    ignore_headers: Annotated[
        bool,
        typer.Option("--ignore-headers", help="Take the files voxel by voxel, wherever they say they lie."),
    ] = False,
    connectivity: Annotated[
        int | None,
        typer.Option(help="Neighbours in components: 1 (4 or 6) to full: 2 in 2D, 3 in 3D. Default: full."),
    ] = None,
    spacing: Annotated[
        list[float] | None, typer.Option(help="Of voxels, (z) y x. Default: what the references say.")
    ] = None,
    iou: Annotated[
        float, typer.Option("--iou", help="Above it instances match.", rich_help_panel=_INSTANCES)
    ] = 0.5,
    ignored: Annotated[
        Path | None,
        typer.Option(
            "--ignored",
            help="Folder of label maps whose ignore label says what nobody judged. Default: beside REF.",
            rich_help_panel=_INSTANCES,
        ),
    ] = None,
) -> None:
    """Image, truth and predictions side by side, with every mistake marked and counted.

    Of classes these are false and missed components, breaks and merges; of instances missed, extra, merged
    and split ones. A volume is shown in the slice with the most mistakes, and as a whole.

    Example: nnunet_ext figure -ref labelsTs -pred Ext=ext SCNP=scnp -i imagesTs --case a b -o figure.pdf

    Example: nnunet_ext figure --instances -ref instancesTs -pred cells --case a -o cells.svg --width 89mm
    """
    from nnunet_ext.cli.named_folders import named_folders
    from nnunet_ext.errors import UserError
    from nnunet_ext.figures.style import check_picture

    folders = named_folders(predictions)
    check_picture(output, [reference, *folders.values(), *((images and [images]) or [])])
    inches = in_inches(width) if width else None
    if not instances and (ignored or iou != 0.5):
        raise UserError(f"{'--ignored' if ignored else '--iou'} is about instances: give --instances too.")
    with err.status("loading …"):
        from nnunet_ext.evaluation.case_folders import CaseFolders
        from nnunet_ext.figures.case_figure import draw_cases
        from nnunet_ext.figures.style import save

        read = CaseFolders(
            reference,
            folders,
            images,
            kind="instances" if instances else "classes",
            dataset_json=dataset_json,
            ignored=ignored,
            spacing=spacing,
            ignore_headers=ignore_headers,
        )
    chosen = list(dict.fromkeys(cases))
    found = list(track(_found(read, chosen, connectivity, iou), len(chosen), "Looking for mistakes"))
    with err.status("drawing …"):
        save(draw_cases(found, inches, columns), output, dpi)
    out.print(_table(found))
    say(f"Wrote {output}")


def _found(
    read: CaseFolders, cases: Sequence[str], connectivity: int | None, iou: float
) -> Iterator[tuple[CaseView, dict[str, Mistakes]]]:
    from nnunet_ext.errors import UserError
    from nnunet_ext.evaluation.case_mistakes import find_mistakes

    for case in cases:
        view = read.view(case)
        try:
            yield view, find_mistakes(view, connectivity, iou)
        except ValueError as error:  # connectivity, iou
            raise UserError(f"--{error}.") from error


def _table(found: Sequence[tuple[CaseView, dict[str, Mistakes]]]) -> Table:
    """A row for each case and model: how many mistakes of each kind."""
    from nnunet_ext.figures.case_marks import LOOKS

    kinds = next(iter(found[0][1].values())).counts
    table = number_table("case", ["model", *(LOOKS[kind].several for kind in kinds)])
    for view, of_models in found:
        for name, mistakes in of_models.items():
            table.add_row(view.case, name, *map(str, mistakes.counts.values()))
    return table


def in_inches(width: str) -> float:
    """Turn a width with its unit into inches.

    Raises
    ------
    UserError
        If it is none, or no picture can be so wide.

    Examples
    --------
    >>> round(in_inches("89mm"), 2), in_inches("3.5in")
    (3.5, 3.5)
    """
    from nnunet_ext.errors import UserError

    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+) ?(mm|cm|in)", width.strip())
    if not match:
        raise UserError(f"--width {width}: expected a number with its unit, such as 89mm, 18.3cm or 7in.")
    inches = float(match[1]) * _INCHES[match[2]]
    if not _NARROWEST <= inches <= _WIDEST:
        raise UserError(f"--width {width}: expected 25.4mm to 2540mm (1in to 100in).")
    return inches
