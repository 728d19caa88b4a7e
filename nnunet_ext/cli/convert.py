"""``nnunet_ext convert <dataset>``: one sub-command per converter, its options taken from the converter."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import Field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args, get_origin, get_type_hints

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
    help="Convert a public dataset, or your own images with instance labels, to nnU-Net's raw format.\n\n"
    "Example: nnunet_ext convert instances -i images -l labels -d 510 -n MyCells",
)

_COMMON: dict[str, tuple[type, Any]] = {
    "source": (
        Path,
        typer.Option(..., "-i", "--input", help="Folder with the data, unpacked; never changed."),
    ),
    "dataset_id": (int, typer.Option(..., "-d", "--dataset-id", help="nnU-Net dataset id, 1 to 999.")),
    "name": (
        str,
        typer.Option("", "-n", "--name", help="Name after the id.", show_default="the dataset's own"),
    ),
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
        options = {spec.name: _value(spec, given[spec.name]) for spec in converter.options()}
        common["name"] = common["name"] or None
        _print(convert(converter(**options), progress=track, **common))

    types = get_type_hints(converter)
    # what only this dataset has comes first in the help
    options = sorted(converter.options(), key=lambda spec: spec.name not in converter.__annotations__)
    parameters = {**_COMMON, **{spec.name: _option(spec, types[spec.name]) for spec in options}}
    kind = inspect.Parameter.KEYWORD_ONLY
    signature = [
        inspect.Parameter(name, kind, default=default, annotation=annotation)
        for name, (annotation, default) in parameters.items()
    ]
    command.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    command.__annotations__ = {name: annotation for name, (annotation, _) in parameters.items()}
    return command


def _option(spec: Field[Any], kind: Any) -> tuple[Any, Any]:
    """Turn an option of a converter, whose type is `kind`, into a type and a default that typer reads."""
    about, default = spec.metadata, cast("Any", spec.default)
    text = about["help"][:1].upper() + about["help"][1:] + "."
    if about["choices"]:
        names = {str(choice): str(choice) for choice in about["choices"]}
        choice = Enum(spec.name, names, type=str)  # type: ignore[misc]
        kind, default = choice, choice(str(default))
    elif get_origin(kind) is tuple:
        kind, default = list[get_args(kind)[0]], list(default)  # type: ignore[misc]
    return kind, typer.Option(
        default,
        *_flags(spec),
        help=text,
        metavar=about["metavar"] or None,
        show_default=about["shown"] or default not in (None, [], False),
    )


def _value(spec: Field[Any], given: Any) -> Any:
    """Return what the command line gave as the converter's own type."""
    if spec.metadata["choices"]:
        return next(choice for choice in spec.metadata["choices"] if str(choice) == given.value)
    return tuple(given) if isinstance(spec.default, tuple) else given


def _flags(spec: Field[Any]) -> tuple[str, ...]:
    return spec.metadata["flags"] or ("--" + spec.name.replace("_", "-"),)


def flags_of_several_values() -> set[str]:
    """Return the flags that may be followed by several values, of all converters."""
    specs = [spec for name in CATALOGUE for spec in load(name).options()]
    return {flag for spec in specs if isinstance(spec.default, tuple) for flag in _flags(spec)}


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
    if any(report.get("instances", {}).values()):
        table.add_row(
            "instances", *(_count(report["instances"].get(part)) for part in parts), end_section=True
        )
    for name, numbers in report["classes"].items():
        cells = []
        for part in parts:
            share = numbers["share"].get(part)
            cells.append("-" if share is None else f"{numbers['voxels'][part]:,} ({share:.2%})")
        table.add_row(f"voxels {name} ({numbers['value']})", *cells)
    table.caption = "\n".join(
        f"{part}: " + ", ".join(f"{count} {group}" for group, count in groups.items())
        for part, groups in report["groups"].items()
        if len(groups) > 1
    )
    return table


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


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
        _say(f"Split: {folds}, in {conversion.installed_split}")
        return
    _say(
        "Split: nnUNet_preprocessed is not set. Set it and run this again, or nnU-Net will not train on "
        f"the split of this dataset ({folds}) in {raw}"
    )


def _register(name: str) -> None:
    converter = load(name)
    facts = {"Licence": converter.licence, "Source": converter.url}
    about = ". ".join([converter.title, *(f"{key}: {fact}" for key, fact in facts.items() if fact)])
    flags = converter.example or f"-i {converter.name} -d 501"
    cite = f"Cite: {converter.reference}\n\n" if converter.reference else ""
    text = f"{about}\n\n{cite}Example: nnunet_ext convert {name} {flags} -np 4"
    convert_app.command(name=name, short_help=about, help=text)(_command(converter))


@convert_app.callback()
def _datasets() -> None:
    # a callback keeps the name of the dataset in the command line while there is a single one
    pass


for _name in sorted(CATALOGUE):
    _register(_name)
