"""``nnunet_ext instances``: a folder of nnU-Net predictions to instance labels."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from nnunet_ext.cli.console import count, number_table, out, say, track

if TYPE_CHECKING:
    from nnunet_ext.instances import FolderInstances

_TILE = 256
_ROWS = 30


class Method(str, Enum):
    """Choices of --method."""

    map = "map"
    threshold = "threshold"
    watershed = "watershed"


class Gap(str, Enum):
    """Choices of --gap."""

    background = "background"
    second = "second"
    uniform = "uniform"


def instances(
    prediction: Annotated[Path, typer.Option("-i", help="Folder that nnUNetv2_predict wrote.")],
    output: Annotated[Path, typer.Option("-o", help="Folder for the instances, one CASE.tif each.")],
    method: Annotated[
        Method,
        typer.Option(
            "--method",
            help="map: most probable class. threshold: --gamma-touching, then --gamma-cell. watershed: seeds "
            "where p_cell − p_touching > --gamma-cell, grown over the foreground.",
        ),
    ] = Method.map,
    gap: Annotated[
        Gap,
        typer.Option(
            "--gap",
            help="What gap voxels become: background, the second most probable class, or uniform: "
            "the other classes renormalised.",
        ),
    ] = Gap.background,
    gamma_touching: Annotated[
        float | None, typer.Option(help="Threshold on p_touching, 0 to 1. Default: 0.5.", show_default=False)
    ] = None,
    gamma_cell: Annotated[
        float | None, typer.Option(help="Threshold on p_cell, 0 to 1. Default: 0.5.", show_default=False)
    ] = None,
    min_size: Annotated[
        int, typer.Option(min=0, help="Drop cores with fewer voxels, before touching voxels are given out.")
    ] = 0,
    opening: Annotated[
        int | None,
        typer.Option(
            "--opening",
            help="First erode and dilate the cells with a cube of this odd edge in voxels, such as 5: thin "
            "bridges and specks go. Of --method map.",
            show_default=False,
        ),
    ] = None,
    connectivity: Annotated[
        int | None,
        typer.Option(
            help="Neighbours in a core: 1 (4 or 6), or full: 2 in 2D, 3 in 3D (8, 26). Default: full."
        ),
    ] = None,
    spacing: Annotated[
        tuple[float, float, float] | None,
        typer.Option("--spacing", metavar="z y x", help="Voxel spacing, instead of that of the files."),
    ] = None,
    max_distance: Annotated[
        float | None,
        typer.Option(
            "--max-distance",
            help="Touching voxels farther than this from every cell core become background, in the unit of "
            "the spacing; inf: none. Default: four times the corner of the touching window of the dataset.",
            show_default=False,
        ),
    ] = None,
    tile: Annotated[
        bool,
        typer.Option("--tile", help="For volumes beyond memory: work by tiles, with temporary files in OUT."),
    ] = False,
    tile_size: Annotated[
        int | None,
        typer.Option(help=f"Edge of the tiles; implies --tile. Default: {_TILE}.", show_default=False),
    ] = None,
    processes: Annotated[int, typer.Option("-np", min=1, help="Number of processes.")] = 1,
    dataset_json: Annotated[
        Path | None, typer.Option("-djfile", help="dataset.json. Default: the one in PRED or above.")
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(help="Name of the cell class. Default: 'cell', else the only one.", show_default=False),
    ] = None,
    touching: Annotated[
        str | None,
        typer.Option(help="Name of the touching class. Default: 'touching'.", show_default=False),
    ] = None,
    gap_class: Annotated[
        str | None, typer.Option(help="Name of the gap class. Default: 'gap'.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in OUT.")] = False,
) -> None:
    """Instance labels from nnU-Net predictions of the classes cell, touching and gap.

    Components of the cell class are the instances; every touching voxel goes to the nearest one. With one
    foreground class: its components. --method map works on the label files; the others, and --gap second
    or uniform, on what nnUNetv2_predict --save_probabilities left. Instances have the axes and the spacing of
    the label files. A rerun goes on where it stopped; an evaluation of instances it replaces is removed.

    Example: nnunet_ext instances -i predictions -o instances --min-size 20 -np 4
    """
    from nnunet_ext.errors import UserError
    from nnunet_ext.instances import InstanceOptions, instances_from_folder

    edge = tile_size if tile_size is not None else (_TILE if tile else None)
    result = instances_from_folder(
        prediction,
        output,
        InstanceOptions(
            method.value,
            gap.value,
            gamma_touching,
            gamma_cell,
            connectivity,
            min_size,
            spacing,
            edge,
            max_distance,
            opening,
        ),
        class_names={"cell": cell, "touching": touching, "gap": gap_class},
        dataset_json=dataset_json,
        processes=processes,
        overwrite=overwrite,
        progress=track,
    )
    out.print(summary_table(result))
    kept = f", {result.kept} kept from an earlier run" if result.kept else ""
    made = len(result.cases) - result.kept
    say(f"{made} made{kept}, in {output}")
    for note in result.notes:
        say(f"Note: {note}")
    if result.problems:
        listed = "\n  ".join(result.problems)
        number = len(result.problems) + len(result.cases)
        raise UserError(f"{len(result.problems)} of {number} cases cannot be made:\n  {listed}")


def summary_table(result: FolderInstances) -> Table:
    """A row per case (of many, the first), then the total."""
    cases = result.cases
    headings = ("instances", "median size (voxels)")
    table = number_table("case", headings, title=count(len(cases), "case"))
    for case, entry in list(cases.items())[:_ROWS]:
        size = entry["median_size"]
        table.add_row(case, str(entry["instances"]), "–" if size is None else f"{size:g}")
    if len(cases) > _ROWS:
        table.add_row(f"… {len(cases) - _ROWS} more", "", "")
    table.add_section()
    table.add_row("all", str(sum(entry["instances"] for entry in cases.values())), "", style="bold")
    return table
