"""``nnunet_ext convert <dataset>``: one sub-command per converter, its options taken from the converter."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from nnunet_ext.cli.console import out, track
from nnunet_ext.dataset_conversion import CATALOGUE, load
from nnunet_ext.files import read_json

if TYPE_CHECKING:
    from nnunet_ext.dataset_conversion.converter import Converter
    from nnunet_ext.dataset_conversion.report import Conversion

convert_app = typer.Typer(
    no_args_is_help=True,
    help="Convert a public dataset to nnU-Net's raw format.\n\n"
    "Example: nnunet_ext convert topomortar -i TopoMortar -d 501",
)

_COMMON: dict[str, tuple[type, Any]] = {
    "source": (
        Path,
        typer.Option(..., "-i", "--input", help="Folder with the unpacked dataset; never changed."),
    ),
    "dataset_id": (int, typer.Option(..., "-d", "--dataset-id", help="nnU-Net dataset id, 1 to 999.")),
    "name": (str, typer.Option("", "--name", help="Name after the id.", show_default="the dataset's own")),
    "processes": (int, typer.Option(1, "-np", "--processes", help="Worker processes.")),
    "overwrite": (
        bool,
        typer.Option(
            False,
            "--overwrite",
            help="Replace an earlier conversion, and another split in nnUNet_preprocessed.",
        ),
    ),
}


def _command(converter: type[Converter]) -> Callable[..., None]:
    """Make the function behind a sub-command, with a signature typer can read."""

    def command(**given: Any) -> None:
        from nnunet_ext.dataset_conversion.run import convert

        common = {key: given.pop(key) for key in _COMMON}
        options = {key: getattr(value, "value", value) for key, value in given.items()}
        common["name"] = common["name"] or None
        _print(convert(converter(**options), progress=track, **common))

    parameters = {**_COMMON, **{spec.name: _option(spec) for spec in converter.options()}}
    kind = inspect.Parameter.KEYWORD_ONLY
    signature = [
        inspect.Parameter(name, kind, default=default, annotation=annotation)
        for name, (annotation, default) in parameters.items()
    ]
    command.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    command.__annotations__ = {name: annotation for name, (annotation, _) in parameters.items()}
    return command


def _option(spec: Any) -> tuple[type, Any]:
    """Turn an option of a converter into a type and a typer option."""
    choices = spec.metadata["choices"]
    flag = "--" + spec.name.replace("_", "-")
    text = spec.metadata["help"][:1].upper() + spec.metadata["help"][1:] + "."
    if not choices:
        return type(spec.default), typer.Option(spec.default, flag, help=text)
    kind = Enum(spec.name, {choice: choice for choice in choices}, type=str)  # type: ignore[misc]
    return kind, typer.Option(kind(spec.default), flag, help=text)


def _say(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)


def _print(conversion: Conversion) -> None:
    """Print what was done, the summary tables and the next command."""
    report, folder, number = conversion.report, conversion.folder, conversion.converted
    if conversion.nothing_to_do:
        _say(f"{folder.name} is complete already: nothing to do.")
    else:
        kept = f", {conversion.kept} kept from an earlier run" if conversion.kept else ""
        _say(f"{number} case{'s' * (number != 1)} converted{kept}.")
    out.print(_cases_table(folder.name, report))
    for kind in dict.fromkeys(note["kind"] for note in report["notes"]):
        _print_notes(kind, [note["text"] for note in report["notes"] if note["kind"] == kind])
    _print_split(conversion)
    _say(f"Report: {folder / 'conversion_report.json'}")
    dataset_id = int(folder.name[len("Dataset") :].partition("_")[0])
    _say(f"Next: nnUNetv2_plan_and_preprocess -d {dataset_id} --verify_dataset_integrity")


def _cases_table(title: str, report: dict[str, Any]) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("")
    parts = [part for part, count in report["counts"].items() if count]
    for part in parts:
        table.add_column(part, justify="right")
    table.add_row("cases", *(str(report["counts"][part]) for part in parts), end_section=True)
    for name, numbers in report["classes"].items():
        shares = (numbers["share"].get(part) for part in parts)
        cells = ("-" if share is None else f"{share:.2%}" for share in shares)
        table.add_row(f"voxels {name} ({numbers['value']})", *cells)
    table.caption = "\n".join(
        f"{part}: " + ", ".join(f"{count} {group}" for group, count in groups.items())
        for part, groups in report["groups"].items()
        if len(groups) > 1
    )
    return table


def _print_notes(kind: str, texts: list[str], limit: int = 10) -> None:
    _say(f"Note: {kind}")
    for text in texts[:limit]:
        _say(f"  {text}")
    if len(texts) > limit:
        _say(f"  and {len(texts) - limit} more, see the report")


def _print_split(conversion: Conversion) -> None:
    raw = conversion.folder / "splits_final.json"
    if not raw.exists():
        return
    last = len(read_json(raw)) - 1
    folds = f"folds 0 to {last}" if last else "fold 0"
    if conversion.installed_split is not None:
        _say(f"Split: the dataset's own ({folds}), in {conversion.installed_split}")
        return
    _say(
        "Split: nnUNet_preprocessed is not set. Set it and run this again, or nnU-Net will not train on "
        f"the dataset's own split ({folds}) in {raw}"
    )


def _register(name: str) -> None:
    converter = load(name)
    about = f"{converter.title}. Licence: {converter.licence}. Source: {converter.url}"
    example = f"Example: nnunet_ext convert {name} -i {converter.name} -d 501 -np 4"
    text = f"{about}\n\nCite: {converter.reference}\n\n{example}"
    convert_app.command(name=name, short_help=about, help=text)(_command(converter))


@convert_app.callback()
def _datasets() -> None:
    # a callback keeps the name of the dataset in the command line while there is a single one
    pass


for _name in sorted(CATALOGUE):
    _register(_name)
