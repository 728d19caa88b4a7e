"""``nnunet_ext convert <dataset>``: one sub-command per converter, its options taken from the converter.

A sub-command is made when it is used: converting one dataset imports one converter. The help of ``convert``
itself and ``--list`` import all twenty, which takes 0.15 s more: title, licence and source of a
dataset are stated in its converter and nowhere else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import Field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args, get_origin, get_type_hints

import typer

from nnunet_ext.cli.commands import MARKUP, Group, make_command
from nnunet_ext.cli.console import PlainConsole, out, track
from nnunet_ext.dataset_conversion import CATALOGUE, load

if TYPE_CHECKING:
    from nnunet_ext.dataset_conversion.base.converter import Converter

_PANEL = "Options of this dataset"


class OnError(str, Enum):
    """What to do about cases that cannot be converted."""

    stop = "stop"
    skip = "skip"


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
    "on_error": (
        OnError,
        typer.Option(
            OnError.stop,
            "--on-error",
            help="Cases that cannot be converted are listed; stop: no dataset until they are corrected; "
            "skip: a dataset without them.",
        ),
    ),
    "yes": (
        bool,
        typer.Option(
            False,
            "--yes",
            help="Go on where images and labels look as if the folders were mixed up (labels like grey "
            "images, no background, the same images for training and test).",
        ),
    ),
    "part_id": (
        int,
        typer.Option(0, "--part-id", "-part_id", help="Job arrays: which part this is, from 0."),
    ),
    "num_parts": (
        int,
        typer.Option(
            1,
            "--num-parts",
            "-num_parts",
            help="Job arrays: number of parts; each converts its share, the last completes the dataset.",
        ),
    ),
}


def _command(converter: type[Converter]) -> Callable[..., None]:
    """Make the function behind a sub-command, with a signature typer can read."""

    def command(**given: Any) -> None:
        from nnunet_ext.cli.conversion_summary import print_conversion
        from nnunet_ext.dataset_conversion.engine.run import convert

        common = {key: given.pop(key) for key in _COMMON}
        options = {spec.name: _value(spec, given[spec.name]) for spec in converter.options()}
        common |= {"name": common["name"] or None, "on_error": common["on_error"].value}
        print_conversion(convert(converter(**options), progress=track, **common))

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
        rich_help_panel=_PANEL,
    )


def _value(spec: Field[Any], given: Any) -> Any:
    """Return what the command line gave as the converter's own type."""
    if spec.metadata["choices"]:
        return next(choice for choice in spec.metadata["choices"] if str(choice) == given.value)
    return tuple(given) if isinstance(spec.default, tuple) else given


def _flags(spec: Field[Any]) -> tuple[str, ...]:
    return spec.metadata["flags"] or ("--" + spec.name.replace("_", "-"),)


def _help(name: str, converter: type[Converter]) -> dict[str, str]:
    """Say what a dataset is: short, for the list of datasets, and at length."""
    facts, flags = converter.facts, converter.example or f"-i {converter.name} -d 501"
    origin = {"Licence": converter.licence, "Source": converter.url}
    about = ". ".join([converter.title, *(f"{key}: {fact}" for key, fact in origin.items() if fact)])
    details = {
        "Registration": facts.registration if facts.registration != "no" else "",
        "Split": facts.split,
        "Not established": "; ".join(facts.open_points),
        "Cite": converter.reference,
    }
    paragraphs = [about, *(f"{key}: {text}" for key, text in details.items() if text)]
    example = f"Example: nnunet_ext convert {name} {flags} -np 4"
    return {"short_help": about, "help": "\n\n".join([*paragraphs, example])}


class _Datasets(Group):
    """The group of `CATALOGUE`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = dict.fromkeys(sorted(CATALOGUE), cast("Any", None))  # made by get_command

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Make the sub-command of a dataset; called by click."""
        if cmd_name not in CATALOGUE:
            return None
        converter = load(cmd_name)
        return make_command(cmd_name, _command(converter), **_help(cmd_name, converter))


convert_app = typer.Typer(
    cls=_Datasets,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=MARKUP,
    help="Convert a public dataset, or your own images with instance labels, to nnU-Net's raw format.\n\n"
    "Example: nnunet_ext convert instances -i images -l labels -d 510 -n MyCells",
)


def _print_list(wanted: bool) -> None:
    if wanted:
        from nnunet_ext.cli.conversion_summary import catalogue_table

        # a pipe has no width; rich takes 80 columns, into which no list of eight columns fits
        wide = out if out.is_terminal else PlainConsole(width=max(out.width, 160))
        wide.print(catalogue_table({name: load(name) for name in sorted(CATALOGUE)}, wide.width))
        raise typer.Exit


@convert_app.callback()
def _datasets(
    listed: Annotated[
        bool,
        typer.Option(
            "--list", callback=_print_list, is_eager=True, help="Print the datasets as a table and end."
        ),
    ] = False,
) -> None:
    pass
